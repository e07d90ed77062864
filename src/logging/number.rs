//! Numbers as text, without a formatter: each line has several.

use std::{fmt::Write, str};

/// The number of digits of the largest `u64`.
const MAX_DIGITS: usize = 20;
/// The numbers below this and of three decimals have at most 15 digits, which every `f64` tells apart.
const MAX_EXACT: f64 = 1e12;

/// Appends an integer.
pub(super) fn push_unsigned(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; MAX_DIGITS];
    let mut start = MAX_DIGITS;
    loop {
        start -= 1;
        digits[start] = digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    push_ascii(out, &digits[start..]);
}

/// Appends an integer with its sign if it is negative.
pub(super) fn push_signed(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
    push_unsigned(out, number.unsigned_abs());
}

/// Appends the last `N` digits of a number, with leading zeros.
pub(super) fn push_padded<const N: usize>(out: &mut String, number: u32) {
    push_ascii(out, &padded::<N>(number));
}

/// Appends a number as `Debug` writes it.
pub(super) fn push_float(out: &mut String, number: f64) {
    // Times in milliseconds have three decimals, and so have most fractions that people log.
    let thousandths = (number * 1e3 + 0.5) as u64;
    let is_exact =
        number.is_sign_positive() && number < MAX_EXACT && thousandths as f64 / 1e3 == number;
    if !is_exact {
        // Exponents for the very large and very small. `Display` writes up to 300 digits.
        let _ = write!(out, "{number:?}");
        return;
    }
    push_thousandths(out, thousandths);
}

/// Appends `1.25` for 1,250, and `3.0` for 3,000.
fn push_thousandths(out: &mut String, thousandths: u64) {
    let (mut number, mut decimals) = (thousandths, 3);
    while decimals > 1 && number % 10 == 0 {
        number /= 10;
        decimals -= 1;
    }
    // Filled from its end.
    let mut text = [b'.'; MAX_DIGITS + 1];
    let point = text.len() - decimals - 1;
    for place in text[point + 1..].iter_mut().rev() {
        *place = digit(number);
        number /= 10;
    }
    let mut start = point;
    loop {
        start -= 1;
        text[start] = digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    push_ascii(out, &text[start..]);
}

fn padded<const N: usize>(mut number: u32) -> [u8; N] {
    let mut digits = [b'0'; N];
    for place in digits.iter_mut().rev() {
        *place = digit(number.into());
        number /= 10;
    }
    digits
}

/// Returns the last digit of a number.
fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

fn push_ascii(out: &mut String, ascii: &[u8]) {
    out.push_str(str::from_utf8(ascii).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::from("|");
        push(&mut out);
        out.split_off(1)
    }

    #[test]
    fn integers_are_written_to_the_last_digit() {
        for number in [0, 9, 10, 200, u64::MAX] {
            assert_eq!(pushed(|out| push_unsigned(out, number)), number.to_string());
        }
        for number in [0, 7, -1, -10, i64::MIN, i64::MAX] {
            assert_eq!(pushed(|out| push_signed(out, number)), number.to_string());
        }
        assert_eq!(pushed(|out| push_padded::<3>(out, 7)), "007");
        assert_eq!(pushed(|out| push_padded::<2>(out, 59)), "59");
    }

    #[test]
    fn floats_are_written_as_debug_writes_them() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            0.5,
            0.25,
            0.98,
            1.235,
            0.001,
            0.0005,
            0.0001,
            1e-5,
            1e-7,
            0.1 + 0.2,
            1e9,
            999_999_999_999.999,
            1e12,
            1_000_000_000_000.001,
            1e15,
            1e16,
            1e300,
            -1.5,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        for number in numbers {
            let expected = format!("{number:?}");
            assert_eq!(pushed(|out| push_float(out, number)), expected);
        }
    }

    proptest! {
        #[test]
        fn floats_of_any_bits_are_written_as_debug_writes_them(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assert_eq!(pushed(|out| push_float(out, number)), format!("{number:?}"));
        }

        #[test]
        fn floats_of_few_decimals_are_written_as_debug_writes_them(
            number in 0..2_000_000_000_000_000_u64,
            scale in prop::sample::select(vec![1.0, 10.0, 100.0, 1e3, 1e4]),
        ) {
            let number = number as f64 / scale;
            prop_assert_eq!(pushed(|out| push_float(out, number)), format!("{number:?}"));
        }
    }
}
