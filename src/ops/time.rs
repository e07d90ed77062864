//! Times as the API and the file of the store have them.

use std::time::{Duration, SystemTime};

/// Returns a time in seconds since 1970, to the millisecond; 0 for one before.
pub(super) fn unix(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or(Duration::ZERO).as_millis();
    millis as f64 / 1e3
}

/// Returns the time of day, such as `22:13:05 UTC`.
pub(super) fn clock(at: SystemTime) -> String {
    let second = unix(at) as u64 % 86_400;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02} UTC", second % 60)
}

/// Returns a time in whole milliseconds since 1970; 0 for one before.
pub(super) fn to_millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time of these milliseconds; that of 1970 where there is none.
#[cfg(feature = "ops-sqlite")]
pub(super) fn from_millis(millis: i64) -> SystemTime {
    let since = Duration::from_millis(millis.max(0) as u64);
    let at = SystemTime::UNIX_EPOCH.checked_add(since);
    at.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_has_milliseconds_and_is_never_negative() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_400);
        assert_eq!(unix(at), 1.5);
        assert_eq!(unix(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0.0);
    }

    #[cfg(feature = "ops-sqlite")]
    #[test]
    fn millis_are_those_of_a_time() {
        for millis in [0, 1, 1_768_621_008_999] {
            assert_eq!(to_millis(from_millis(millis)), millis);
        }
        assert_eq!(from_millis(-1), SystemTime::UNIX_EPOCH);
        assert_eq!(
            to_millis(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            0
        );
    }

    #[test]
    fn clock_is_the_time_of_day() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_621_008_999);
        assert_eq!(clock(at), "03:36:48 UTC");
        assert_eq!(clock(SystemTime::UNIX_EPOCH), "00:00:00 UTC");
    }
}
