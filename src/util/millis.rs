use std::time::Duration;

/// Returns milliseconds with three decimals.
pub(crate) fn as_millis_f64(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millis_have_three_decimals() {
        assert_eq!(as_millis_f64(Duration::from_nanos(979_846)), 0.98);
        assert_eq!(as_millis_f64(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(as_millis_f64(Duration::from_secs(3_600)), 3_600_000.0);
    }
}
