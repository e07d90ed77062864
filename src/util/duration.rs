use std::time::Duration;

/// Returns milliseconds with three decimals.
pub(crate) fn as_millis_f64(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Returns the nanoseconds of a duration; some 584 years stand for anything longer.
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts nanoseconds, of which there are at most those of `Duration::MAX`.
pub(crate) fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match u64::try_from(nanos / SECOND) {
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
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

    #[test]
    fn nanos_saturate() {
        assert_eq!(saturating_nanos(Duration::from_micros(2)), 2_000);
        assert_eq!(saturating_nanos(Duration::MAX), u64::MAX);
    }
}
