//! Times as the API has them.

use std::time::{Duration, SystemTime};

/// Returns a time in seconds since 1970, to the millisecond; 0 for one before.
pub(super) fn unix(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or(Duration::ZERO).as_millis();
    millis as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_has_milliseconds_and_is_never_negative() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_400);
        assert_eq!(unix(at), 1.5);
        assert_eq!(unix(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0.0);
    }
}
