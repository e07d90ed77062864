//! The part of its calls that an endpoint gets while it is new. Pure.

use std::time::Duration;

/// The part at the beginning, as Envoy has it: an endpoint without any calls would never warm up.
const MIN_WEIGHT: f64 = 0.1;

/// Returns the weight of an endpoint of this age: from 0.1 up to 1, in proportion to its age.
pub(super) fn weight(age: Duration, slow_start: Option<Duration>) -> f64 {
    match slow_start {
        Some(time) if age < time => (age.as_secs_f64() / time.as_secs_f64()).max(MIN_WEIGHT),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_grows_with_the_age_of_the_endpoint() {
        let second = Duration::from_secs(1);
        let at = |age: f64| weight(second.mul_f64(age), Some(10 * second));
        for (age, expected) in [(0.0, 0.1), (1.0, 0.1), (2.0, 0.2), (5.0, 0.5), (9.0, 0.9)] {
            assert!((at(age) - expected).abs() < 1e-9, "{age}: {}", at(age));
        }
        assert_eq!((at(10.0), at(1e6)), (1.0, 1.0));
        assert_eq!(weight(Duration::ZERO, None), 1.0);
    }
}
