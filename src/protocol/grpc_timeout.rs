use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::util::headers::find_header;

static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Returns how long the caller of a gRPC request waits, if that says so.
#[inline]
pub(crate) fn grpc_timeout_of(headers: &HeaderMap) -> Option<Duration> {
    find_header(headers, &GRPC_TIMEOUT).and_then(parse_grpc_timeout)
}

/// Parses `grpc-timeout`: at most eight digits and a unit, as the gRPC protocol over HTTP/2 has it.
// Never inlined: most calls have none, and their path is shorter without it.
#[inline(never)]
fn parse_grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        // Eight digits fit, in hours too.
        .fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The largest number that the protocol allows: eight digits.
const MAX_NUMBER: u64 = 99_999_999;
/// The length of that number and a unit.
const MAX_LEN: usize = 9;

/// Sets the time that the peer has: in the finest unit for which eight digits suffice, never longer than the time.
///
/// The protocol has no zero: no time at all becomes a nanosecond.
pub(crate) fn set_grpc_timeout(headers: &mut HeaderMap, time: Duration) {
    headers.insert(&GRPC_TIMEOUT, write_grpc_timeout(time));
}

/// Removes the time that the peer has.
pub(crate) fn remove_grpc_timeout(headers: &mut HeaderMap) {
    headers.remove(&GRPC_TIMEOUT);
}

fn write_grpc_timeout(time: Duration) -> HeaderValue {
    let (seconds, nanos) = (time.as_secs(), u64::from(time.subsec_nanos()));
    // Integer division rounds down: the peer must not believe that it has more time than there is.
    let (number, letter) = match seconds {
        0 if nanos <= MAX_NUMBER => (nanos.max(1), b'n'),
        0..100 => (seconds * 1_000_000 + nanos / 1_000, b'u'),
        100..100_000 => (seconds * 1_000 + nanos / 1_000_000, b'm'),
        100_000..100_000_000 => (seconds, b'S'),
        100_000_000..6_000_000_000 => (seconds / 60, b'M'),
        _ => ((seconds / 3_600).min(MAX_NUMBER), b'H'),
    };
    // Digits from the last to the first, without a formatter.
    let (mut text, mut first, mut rest) = ([letter; MAX_LEN], MAX_LEN - 1, number as u32);
    loop {
        first -= 1;
        text[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&text[first..]).expect("digits and a letter are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_is_written_in_the_finest_unit_that_fits() {
        let write = |time| write_grpc_timeout(time);
        assert_eq!(write(Duration::ZERO), "1n");
        assert_eq!(write(Duration::from_nanos(10)), "10n");
        assert_eq!(write(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(write(Duration::from_nanos(100_000_999)), "100000u");
        assert_eq!(write(Duration::from_millis(100)), "100000u");
        assert_eq!(write(Duration::from_secs(100)), "100000m");
        assert_eq!(write(Duration::new(99_999, 999_999_999)), "99999999m");
        assert_eq!(write(Duration::from_secs(100_000)), "100000S");
        assert_eq!(write(Duration::from_secs(1_000_000_000)), "16666666M");
        assert_eq!(write(Duration::MAX), "99999999H");
    }

    #[test]
    fn grpc_timeout_parses_units_and_nothing_else() {
        let read = |text: &'static str| parse_grpc_timeout(&HeaderValue::from_static(text));
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in [
            "",
            "m",
            "1",
            "123456789m",
            "-1m",
            "1.5S",
            "1s",
            " 1S",
            "1S ",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn grpc_timeout_roundtrip_is_no_longer_and_hardly_shorter(seconds in 0_u64..400_000_000, nanos in 1_u32..1_000_000_000) {
            let time = Duration::new(seconds, nanos);
            let value = write_grpc_timeout(time);
            proptest::prop_assert!(value.len() <= 9);
            let read = parse_grpc_timeout(&value).expect("as the format says");
            proptest::prop_assert!(read <= time);
            proptest::prop_assert!((time - read).as_secs_f64() <= time.as_secs_f64() * 1e-4);
        }

        #[test]
        fn grpc_timeout_parses_any_bytes_without_a_panic(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = parse_grpc_timeout(&value);
            }
        }
    }
}
