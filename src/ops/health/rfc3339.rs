//! Times as text.

use std::time::SystemTime;

/// The first second of the year 10000, which the format cannot have.
const END: u64 = 253_402_300_800;
const DAY: u64 = 86_400;

/// Returns a time as `2026-01-17T03:36:48Z`; `None` if a clock that is wrong gave one before 1970 or after 9999.
pub(super) fn rfc3339(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    if since >= END {
        return None;
    }
    let (year, month, day) = date(since / DAY);
    let (hour, minute, second) = (since % DAY / 3_600, since / 60 % 60, since % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

/// Returns year, month and day of a number of days since 1970-01-01: Howard Hinnant's `civil_from_days`.
///
/// Years are counted from March, so that the leap day is the last day.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01. After 400 years, which have 146,097 days, the calendar repeats.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on, and again from August on, have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
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
