//! Numbers as the formats write them.

use std::fmt::Write;

/// Beyond these powers of ten, plain digits would be many.
const PLAIN: std::ops::Range<f64> = 1e-6..1e21;

/// Appends a whole number.
pub(super) fn push_integer(out: &mut String, mut number: u64) {
    // 20 digits are the most that a `u64` has.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    // At once, since a scrape has thousands of numbers.
    out.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

/// Appends a number: `17`, `0.25`, `1e-9`, `+Inf`, `-Inf` or `NaN`.
pub(super) fn push_number(out: &mut String, number: f64) {
    let size = number.abs();
    if number == number.trunc() && size < 9e15 {
        // Most values are whole.
        if number < 0.0 {
            out.push('-');
        }
        push_integer(out, size as u64);
    } else if number.is_nan() {
        out.push_str("NaN");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        // A `String` takes everything.
        let _ = match PLAIN.contains(&size) {
            true => write!(out, "{number}"),
            false => write!(out, "{number:e}"),
        };
    }
}

/// Returns a bound as OpenMetrics writes it, which is as Go does, with `.0` after whole numbers: `0.005`, `1.0`, `1e+06`.
pub(super) fn canonical(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) && number != 0.0 => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{number:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: f64) -> String {
        let mut out = String::new();
        push_number(&mut out, number);
        out
    }

    #[test]
    fn numbers_are_written_short() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (17.0, "17"),
            (-17.0, "-17"),
            (0.25, "0.25"),
            (9e15, "9000000000000000"),
            (1e21, "1e21"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(written(number), expected);
        }
    }

    #[test]
    fn bounds_are_canonical_in_open_metrics() {
        for (number, expected) in [
            (0.0, "0.0"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (1024.0, "1024.0"),
            (262_144.0, "262144.0"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (4_294_967_296.0, "4.294967296e+09"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(canonical(number), expected);
        }
    }

    proptest! {
        #[test]
        fn integer_is_written_as_std_does(number in any::<u64>()) {
            let mut out = String::new();
            push_integer(&mut out, number);
            prop_assert_eq!(out, number.to_string());
        }

        #[test]
        fn number_reads_back(number in any::<f64>().prop_filter("a number", |number| number.is_finite())) {
            prop_assert_eq!(written(number).parse::<f64>(), Ok(number));
            prop_assert_eq!(canonical(number).parse::<f64>(), Ok(number));
        }
    }
}
