//! Times as the API has them.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_has_milliseconds_and_is_never_negative() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_400);
        assert_eq!(unix(at), 1.5);
        assert_eq!(unix(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0.0);
    }

    #[test]
    fn clock_is_the_time_of_day() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_621_008_999);
        assert_eq!(clock(at), "03:36:48 UTC");
        assert_eq!(clock(SystemTime::UNIX_EPOCH), "00:00:00 UTC");
    }
}
