//! Reads when a peer wants to be called again: `Retry-After`, gRPC's pushback and `RetryInfo`. Pure: the time of day is
//! an argument. Used by retries and by circuit breakers.

mod retry_info;

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, header};
use httpdate::parse_http_date;

use self::retry_info::delay_in_header;
#[cfg(feature = "tonic")]
use self::retry_info::delay_in_status;
use crate::call::{Rejection, find};

/// The longest wait that is read: longer ones are cut, so that adding it to a time never overflows.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The wait that a peer asks for before another attempt.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_keep::retry::RetryAfter;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("retry-after", "2".parse()?);
/// let retry_after = RetryAfter::from_headers(&headers, SystemTime::now());
/// assert_eq!(retry_after, Some(RetryAfter::NotBefore(Duration::from_secs(2))));
///
/// headers.insert("grpc-retry-pushback-ms", "-1".parse()?);
/// let retry_after = RetryAfter::from_headers(&headers, SystemTime::now());
/// assert_eq!(retry_after, Some(RetryAfter::Never));
/// # Ok::<_, http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryAfter {
    /// Retry after this time, at most a day, whatever the caller's backoff: gRPC's pushback.
    After(Duration),
    /// Retry after this time, at most a day, or the caller's backoff, whichever is longer: `Retry-After`. A peer cannot
    /// shorten the backoff of its clients.
    NotBefore(Duration),
    /// Do not retry.
    Never,
}

impl RetryAfter {
    /// Name of gRPC's header or trailer (proposal A6).
    pub const PUSHBACK_HEADER: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

    /// Reads `grpc-retry-pushback-ms`, else the `RetryInfo` of `grpc-status-details-bin`, else `Retry-After`, from
    /// headers or trailers.
    ///
    /// A date is compared with the peer's own `Date` if it sent one, since clocks differ, else with `now`. Of several
    /// values, the first counts.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tower_keep::retry::RetryAfter;
    ///
    /// let mut headers = http::HeaderMap::new();
    /// headers.insert("retry-after", "2".parse()?);
    /// let retry_after = RetryAfter::from_headers(&headers, SystemTime::now());
    /// assert_eq!(retry_after, Some(RetryAfter::NotBefore(Duration::from_secs(2))));
    /// # Ok::<_, http::header::InvalidHeaderValue>(())
    /// ```
    pub fn from_headers(headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        if let Some(value) = headers.get(RetryAfter::PUSHBACK_HEADER) {
            return Some(RetryAfter::parse_pushback(value.as_bytes()));
        }
        // Before `Retry-After`, which a proxy may have added.
        let details = headers.get("grpc-status-details-bin");
        if let Some(wait) = details.and_then(|details| delay_in_header(details.as_bytes())) {
            return Some(RetryAfter::NotBefore(wait.min(MAX_RETRY_AFTER)));
        }
        let value = headers.get(header::RETRY_AFTER)?;
        let date = headers.get(header::DATE);
        let peers_now = date.and_then(|date| parse_date(date.as_bytes()));
        let wait = parse_delay(value.as_bytes(), peers_now.unwrap_or(now))?;
        Some(RetryAfter::NotBefore(wait))
    }

    /// Reads the value of `Retry-After`: seconds, or a date. A date in the past is a wait of zero. Returns `None` for a
    /// value that cannot be parsed.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tower_keep::retry::RetryAfter;
    ///
    /// let now = SystemTime::UNIX_EPOCH;
    /// let wait = |value: &str| RetryAfter::parse_retry_after(value.as_bytes(), now);
    /// assert_eq!(wait("120"), Some(RetryAfter::NotBefore(Duration::from_secs(120))));
    /// let date = "Thu, 01 Jan 1970 00:00:30 GMT";
    /// assert_eq!(wait(date), Some(RetryAfter::NotBefore(Duration::from_secs(30))));
    /// assert_eq!(wait("soon"), None);
    /// ```
    pub fn parse_retry_after(value: &[u8], now: SystemTime) -> Option<Self> {
        parse_delay(value, now).map(RetryAfter::NotBefore)
    }

    /// Reads the value of `grpc-retry-pushback-ms`. A value that is negative or cannot be parsed means never.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::retry::RetryAfter;
    ///
    /// let wait = Duration::from_millis(250);
    /// assert_eq!(RetryAfter::parse_pushback(b"250"), RetryAfter::After(wait));
    /// assert_eq!(RetryAfter::parse_pushback(b"-1"), RetryAfter::Never);
    /// ```
    pub fn parse_pushback(value: &[u8]) -> Self {
        let text = std::str::from_utf8(value).ok();
        // A signed 32-bit number, as in the proposal.
        let millis = text.and_then(|text| text.trim().parse::<i32>().ok());
        match millis.and_then(|millis| u64::try_from(millis).ok()) {
            Some(millis) => RetryAfter::After(Duration::from_millis(millis).min(MAX_RETRY_AFTER)),
            None => RetryAfter::Never,
        }
    }
}

/// Reads the retry-after of an error: a rejection by this process, or a `tonic::Status` with its metadata.
pub(crate) fn retry_after_of(error: &(dyn Error + 'static)) -> Option<RetryAfter> {
    if let Some(rejection) = find::<Rejection>(error) {
        return rejection.retry_after().map(RetryAfter::NotBefore);
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = find::<tonic::Status>(error) {
        if let Some(value) = status.metadata().get(RetryAfter::PUSHBACK_HEADER.as_str()) {
            return Some(RetryAfter::parse_pushback(value.as_bytes()));
        }
        let wait = delay_in_status(status.details())?;
        return Some(RetryAfter::NotBefore(wait.min(MAX_RETRY_AFTER)));
    }
    None
}

fn parse_delay(value: &[u8], now: SystemTime) -> Option<Duration> {
    let value = value.trim_ascii();
    let wait = if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let digits = std::str::from_utf8(value).ok()?;
        // A number of digits fails to parse only if it is too large.
        digits.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let at = parse_date(value)?;
        at.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn parse_date(value: &[u8]) -> Option<SystemTime> {
    parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use httpdate::fmt_http_date;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    const fn after(millis: u64) -> RetryAfter {
        RetryAfter::After(Duration::from_millis(millis))
    }

    const fn not_before(millis: u64) -> RetryAfter {
        RetryAfter::NotBefore(Duration::from_millis(millis))
    }

    #[test]
    fn retry_after_header_reads_seconds_and_all_date_formats() {
        let now = parse_date(b"Sun, 06 Nov 1994 08:49:07 GMT").expect("a date");
        let read = |text: &str| RetryAfter::parse_retry_after(text.as_bytes(), now);
        for ten in [
            "10",
            " 10 ",
            "0010",
            "Sun, 06 Nov 1994 08:49:17 GMT",
            "Sunday, 06-Nov-94 08:49:17 GMT",
            "Sun Nov  6 08:49:17 1994",
        ] {
            assert_eq!(read(ten), Some(not_before(10_000)), "{ten}");
        }
        assert_eq!(read("0"), Some(not_before(0)));
        assert_eq!(
            read("Sun, 06 Nov 1994 08:49:00 GMT"),
            Some(not_before(0)),
            "past"
        );
        for odd in ["", " ", "-1", "1.5", "1s", "+3", "soon", "Sun, 06 Nov 1994"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
        let day = Some(RetryAfter::NotBefore(MAX_RETRY_AFTER));
        for long in [
            "86400",
            "99999999999999999999999",
            "Sat, 06 Nov 2094 08:49:07 GMT",
        ] {
            assert_eq!(read(long), day, "{long}");
        }
    }

    #[test]
    fn pushback_is_milliseconds_or_never() {
        let read = |text: &str| RetryAfter::parse_pushback(text.as_bytes());
        assert_eq!(read("0"), after(0));
        assert_eq!(read("1200"), after(1_200));
        assert_eq!(read("2147483647"), RetryAfter::After(MAX_RETRY_AFTER));
        for never in ["-1", "2147483648", "", "1.5", "soon", "10s"] {
            assert_eq!(read(never), RetryAfter::Never, "{never:?}");
        }
        assert_eq!(RetryAfter::parse_pushback(b"\xff1"), RetryAfter::Never);
    }

    #[test]
    fn retry_after_date_uses_the_clock_of_the_peer() {
        let mut headers = HeaderMap::new();
        let put = |headers: &mut HeaderMap, name, text| {
            headers.insert(name, HeaderValue::from_static(text));
        };
        let fast_clock = SystemTime::now() + Duration::from_secs(365 * 86_400);
        assert_eq!(RetryAfter::from_headers(&headers, fast_clock), None);
        put(&mut headers, header::DATE, "Sun, 06 Nov 1994 08:49:07 GMT");
        put(
            &mut headers,
            header::RETRY_AFTER,
            "Sun, 06 Nov 1994 08:49:08 GMT",
        );
        assert_eq!(
            RetryAfter::from_headers(&headers, fast_clock),
            Some(not_before(1_000))
        );
        put(&mut headers, header::DATE, "now");
        assert_eq!(
            RetryAfter::from_headers(&headers, fast_clock),
            Some(not_before(0))
        );
        put(&mut headers, RetryAfter::PUSHBACK_HEADER, "7");
        assert_eq!(
            RetryAfter::from_headers(&headers, fast_clock),
            Some(after(7))
        );
    }

    #[test]
    fn retry_info_precedes_retry_after_and_follows_pushback() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("9"));
        // Status { code: 14, details: [RetryInfo { retry_delay: 2 s }] }
        let details = "CA4aMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAg";
        headers.insert("grpc-status-details-bin", HeaderValue::from_static(details));
        let read = |headers: &HeaderMap| RetryAfter::from_headers(headers, UNIX_EPOCH);
        assert_eq!(read(&headers), Some(not_before(2_000)));
        headers.insert(RetryAfter::PUSHBACK_HEADER, HeaderValue::from_static("5"));
        assert_eq!(read(&headers), Some(after(5)));
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn retry_info_of_tonic_status_is_found() {
        let details = crate::retry_after::retry_info::tests::status(3, 0);
        let code = tonic::Code::Unavailable;
        let status = tonic::Status::with_details(code, "down", details.into());
        assert_eq!(retry_after_of(&status), Some(not_before(3_000)));
        let far = crate::retry_after::retry_info::tests::status(1 << 40, 0);
        let status = tonic::Status::with_details(code, "down", far.into());
        assert_eq!(
            retry_after_of(&status),
            Some(RetryAfter::NotBefore(MAX_RETRY_AFTER))
        );
    }

    proptest! {
        #[test]
        fn retry_after_parsers_never_panic(
            bytes: Vec<u8>, text in "[0-9+-]{0,24}|\\PC{0,40}|[SunMoDecGT0-9 :,-]{0,40}", now: u32,
        ) {
            let now = UNIX_EPOCH + Duration::from_secs(u64::from(now));
            for value in [&bytes[..], text.as_bytes()] {
                for hint in [Some(RetryAfter::parse_pushback(value)), RetryAfter::parse_retry_after(value, now)] {
                    if let Some(RetryAfter::After(wait) | RetryAfter::NotBefore(wait)) = hint {
                        prop_assert!(wait <= MAX_RETRY_AFTER);
                    }
                }
            }
        }

        #[test]
        fn retry_after_numbers_are_exact(seconds in 0_u32..86_400, millis in 0_i32..86_400_000) {
            let read = RetryAfter::parse_retry_after(seconds.to_string().as_bytes(), UNIX_EPOCH);
            prop_assert_eq!(read, Some(not_before(u64::from(seconds) * 1_000)));
            let read = RetryAfter::parse_pushback(millis.to_string().as_bytes());
            prop_assert_eq!(read, after(millis as u64));
        }

        #[test]
        fn retry_after_date_is_the_time_until_then(now: u32, ahead in 0_u32..86_400) {
            let now = UNIX_EPOCH + Duration::from_secs(u64::from(now));
            let date = fmt_http_date(now + Duration::from_secs(u64::from(ahead)));
            let read = RetryAfter::parse_retry_after(date.as_bytes(), now);
            prop_assert_eq!(read, Some(not_before(u64::from(ahead) * 1_000)));
        }
    }
}
