use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use super::number::push_padded;
use crate::util::calendar::date_of_day;

const SECONDS_PER_DAY: u64 = 86_400;
/// The length of `03:04:05.678`, which follows the `T`.
const TIME_LEN: usize = 12;

/// The time of a line in UTC, `2026-01-02T03:04:05.678901Z`.
///
/// Date and time of day are formatted once per second: the same thread writes many lines within one.
#[derive(Debug, Default)]
pub(super) struct Timestamp {
    text: String,
    /// The second that the text begins with, and the length of that part; `None` before the first line.
    second: Option<(u64, usize)>,
}

impl Timestamp {
    /// Returns a point in time as text. A time before 1970, of a clock that was never set, is the beginning of 1970.
    pub(super) fn format(&mut self, now: SystemTime) -> &str {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let len = match self.second {
            Some((second, len)) if second == since.as_secs() => len,
            _ => self.set_second(since.as_secs()),
        };
        self.text.truncate(len);
        push_padded::<6>(&mut self.text, since.subsec_micros());
        self.text.push('Z');
        &self.text
    }

    /// Returns the time of day with milliseconds, `03:04:05.678`.
    pub(super) fn format_time(&mut self, now: SystemTime) -> &str {
        let text = self.format(now);
        let time = text.split_once('T').map_or(text, |(_, time)| time);
        time.get(..TIME_LEN).unwrap_or(time)
    }

    /// Writes `2026-01-02T03:04:05.`, and returns its length.
    #[cold]
    fn set_second(&mut self, second: u64) -> usize {
        let (year, month, day) = date_of_day((second / SECONDS_PER_DAY) as i64);
        let time = second % SECONDS_PER_DAY;
        let (hour, minute, seconds) = (time / 3_600, time / 60 % 60, time % 60);
        self.text.clear();
        let _ = write!(
            self.text,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{seconds:02}."
        );
        self.second = Some((second, self.text.len()));
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64, micros: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, micros * 1_000 + 999)
    }

    #[test]
    fn timestamp_has_microseconds_and_follows_the_second() {
        let mut timestamp = Timestamp::default();
        let mut format = |seconds, micros| timestamp.format(at(seconds, micros)).to_owned();
        assert_eq!(format(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(format(0, 7), "1970-01-01T00:00:00.000007Z");
        assert_eq!(
            format(1_767_323_045, 678_901),
            "2026-01-02T03:04:05.678901Z"
        );
        assert_eq!(
            format(1_767_323_045, 999_999),
            "2026-01-02T03:04:05.999999Z"
        );
        assert_eq!(format(1_767_323_046, 0), "2026-01-02T03:04:06.000000Z");
        // A clock that is set back.
        assert_eq!(format(951_868_799, 1), "2000-02-29T23:59:59.000001Z");
        assert_eq!(format(951_868_800, 1), "2000-03-01T00:00:00.000001Z");
        assert_eq!(format(253_402_300_800, 0), "10000-01-01T00:00:00.000000Z");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(timestamp.format(before), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn timestamp_shows_time_of_day_with_milliseconds() {
        let mut timestamp = Timestamp::default();
        let time = timestamp.format_time(at(1_767_323_045, 678_901));
        assert_eq!(time, "03:04:05.678");
    }

    proptest! {
        #[test]
        fn timestamp_agrees_with_http_date(seconds in 0..253_402_300_800_u64) {
            let mut timestamp = Timestamp::default();
            let text = timestamp.format(at(seconds, 0)).to_owned();
            let expected = httpdate::fmt_http_date(at(seconds, 0));
            let (year, rest) = text.split_once('-').expect("a year");
            let (month, rest) = rest.split_once('-').expect("a month");
            let (day, rest) = rest.split_once('T').expect("a day");
            let month = month.parse::<usize>().expect("a number") - 1;
            let names = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = &names[3 * month..][..3];
            let time = rest.strip_suffix(".000000Z").expect("no fraction");
            prop_assert_eq!(format!("{day} {month} {year} {time} GMT"), &expected[5..]);
        }
    }
}
