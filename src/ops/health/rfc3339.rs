//! Times as text.

use std::time::SystemTime;

use crate::util::calendar::date_of_day;

/// The first second of the year 10000, which the format cannot have.
const END: u64 = 253_402_300_800;
const DAY: u64 = 86_400;

/// Returns a time as `2026-01-17T03:36:48Z`; `None` if a clock that is wrong gave one before 1970 or after 9999.
pub(in crate::ops) fn rfc3339(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    if since >= END {
        return None;
    }
    let (year, month, day) = date_of_day((since / DAY) as i64);
    let (hour, minute, second) = (since % DAY / 3_600, since / 60 % 60, since % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_is_written_in_utc() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (1_704_067_200, "2024-01-01T00:00:00Z"),
            (1_768_621_008, "2026-01-17T03:36:48Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (END - 1, "9999-12-31T23:59:59Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
            assert_eq!(rfc3339(time).as_deref(), Some(expected));
        }
    }

    #[test]
    fn time_out_of_range_has_no_text() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch - Duration::from_nanos(1)), None);
        assert_eq!(rfc3339(epoch + Duration::from_secs(END)), None);
    }
}
