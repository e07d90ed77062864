//! The log-linear buckets: 32 per power of two.

/// The number of buckets per power of two: a value is at most 1/64 away from the middle of its bucket.
pub(crate) const BUCKETS_PER_OCTAVE: usize = 1 << OCTAVE_BITS;
/// The number of powers of two: from 2^-30 (9.3e-10) up to 2^40 (1.1e12).
pub(crate) const OCTAVES: usize = 70;
/// All buckets: underflow first, overflow last.
pub(crate) const BUCKETS: usize = OCTAVES * BUCKETS_PER_OCTAVE + 2;

const OCTAVE_BITS: u32 = 5;
/// The least exponent that has buckets.
const MIN_EXPONENT: i32 = -30;
/// The bits of the mantissa that do not tell buckets apart.
const REST_BITS: u32 = f64::MANTISSA_DIGITS - 1 - OCTAVE_BITS;
/// The number that is added to exponents in a float.
const EXPONENT_BIAS: i32 = f64::MAX_EXP - 1;
/// Exponent and upper mantissa of the least value that has a bucket.
const BASE: u64 = ((MIN_EXPONENT + EXPONENT_BIAS) as u64) << OCTAVE_BITS;

const UNDERFLOW: u16 = 0;
const OVERFLOW: u16 = BUCKETS as u16 - 1;

/// Returns the index of the bucket of a value that is a number.
///
/// Values below the first bucket, zero and negative ones included, are in the underflow bucket (0).
#[inline]
pub(crate) fn bucket_of(value: f64) -> u16 {
    // The sign bit would read as a large exponent.
    if value <= 0.0 {
        return UNDERFLOW;
    }
    // Floats order as their bits: the exponent and the first bits of the mantissa count the buckets up.
    let position = value.to_bits() >> REST_BITS;
    if position < BASE {
        return UNDERFLOW;
    }
    let index = position - BASE + 1;
    index.min(u64::from(OVERFLOW)) as u16
}

/// Returns the least value of a bucket: 0 for the underflow bucket.
pub(crate) fn lower_bound_of(index: u16) -> f64 {
    match index {
        UNDERFLOW => 0.0,
        index => f64::from_bits((BASE + u64::from(index) - 1) << REST_BITS),
    }
}

/// Returns the value that stands for those of a bucket: the middle, 0 for the underflow bucket, and the least value of the
/// overflow bucket.
#[cfg(any(test, feature = "ops", feature = "testing"))]
pub(crate) fn middle_of(index: u16) -> f64 {
    match index {
        UNDERFLOW => 0.0,
        OVERFLOW => lower_bound_of(OVERFLOW),
        index => lower_bound_of(index).midpoint(lower_bound_of(index + 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_at_the_edges() {
        let least = 2f64.powi(-30);
        let most = 2f64.powi(40);
        for (value, expected) in [
            (f64::NEG_INFINITY, 0),
            (-1.0, 0),
            (-0.0, 0),
            (0.0, 0),
            (f64::MIN_POSITIVE, 0),
            (least.next_down(), 0),
            (least, 1),
            (least * (1.0 + 1.0 / 32.0), 2),
            (most.next_down(), 2_240),
            (most, 2_241),
            (f64::MAX, 2_241),
            (f64::INFINITY, 2_241),
        ] {
            assert_eq!(bucket_of(value), expected, "{value:e}");
        }
        assert_eq!(BUCKETS, 2_242);
        assert!(bucket_of(1e-9) > 0 && bucket_of(1e12) < OVERFLOW);
    }

    #[test]
    fn middle_of_outer_buckets() {
        assert_eq!(middle_of(0), 0.0);
        assert_eq!(middle_of(OVERFLOW), 2f64.powi(40));
        assert_eq!(middle_of(1), 2f64.powi(-30) * (1.0 + 1.0 / 64.0));
        assert_eq!(lower_bound_of(0), 0.0);
    }

    proptest! {
        #[test]
        fn bucket_contains_its_values(value in 1e-9..1e12f64) {
            let index = bucket_of(value);
            prop_assert!(lower_bound_of(index) <= value && value < lower_bound_of(index + 1));
            prop_assert!((middle_of(index) - value).abs() <= value / 64.0);
        }

        #[test]
        fn buckets_begin_where_the_one_before_ends(index in 1..OVERFLOW) {
            prop_assert_eq!(bucket_of(lower_bound_of(index)), index);
            prop_assert_eq!(bucket_of(lower_bound_of(index).next_down()), index - 1);
        }
    }
}
