use std::time::Duration;

use http::HeaderValue;

/// Reads `grpc-timeout`: at most eight digits and a unit, as the gRPC protocol over HTTP/2 writes it.
pub(crate) fn parse_grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
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

/// Writes `grpc-timeout`: in the finest unit that eight digits have room for, rounded down, since nobody waits longer.
pub(crate) fn grpc_timeout(time: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let seconds = u128::from(time.as_secs());
    let (number, unit) = [
        (time.as_nanos(), 'n'),
        (time.as_micros(), 'u'),
        (time.as_millis(), 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
    ]
    .into_iter()
    .find(|(number, _)| *number <= MOST)
    .unwrap_or(((seconds / 3600).min(MOST), 'H'));
    HeaderValue::try_from(format!("{number}{unit}")).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_finest_unit_that_fits() {
        let written = |time| {
            grpc_timeout(time)
                .to_str()
                .map(str::to_owned)
                .expect("text")
        };
        assert_eq!(written(Duration::ZERO), "0n");
        assert_eq!(written(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(written(Duration::from_nanos(100_000_999)), "100000u");
        assert_eq!(written(Duration::from_secs(2)), "2000000u");
        assert_eq!(written(Duration::from_secs(100)), "100000m");
        assert_eq!(written(Duration::from_secs(100_000_000)), "1666666M");
        assert_eq!(written(Duration::MAX), "99999999H");
    }

    #[test]
    fn units_are_read_and_everything_else_is_nothing() {
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
        fn what_is_written_is_read_and_never_longer(nanos: u64) {
            let time = Duration::from_nanos(nanos);
            let read = parse_grpc_timeout(&grpc_timeout(time)).expect("our own");
            proptest::prop_assert!(read <= time);
            proptest::prop_assert!(time - read <= time / 100_000);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = parse_grpc_timeout(&value);
            }
        }
    }
}
