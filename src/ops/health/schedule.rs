//! The times at which a check runs.

use std::time::Duration;

/// The longest wait for the first run: readiness waits for it.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(1);

/// Returns the wait before the first run. `random` is from 0 to 1.
///
/// Full jitter, so that neither the checks of a process nor those of processes that start together run at once.
pub(super) fn first_delay(interval: Duration, random: f64) -> Duration {
    interval.min(MAX_FIRST_DELAY).mul_f64(random)
}

/// Returns the wait before a further run, 10 % more or less than the interval. `random` is from 0 to 1.
pub(super) fn next_delay(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn first_run_has_full_jitter_within_a_second_or_a_shorter_interval() {
        assert_eq!(first_delay(ms(30_000), 0.0), ms(0));
        assert_eq!(first_delay(ms(30_000), 0.5), ms(500));
        assert_eq!(first_delay(ms(30_000), 1.0), ms(1_000));
        assert_eq!(first_delay(ms(200), 0.5), ms(100));
    }

    #[test]
    fn further_runs_have_jitter_of_ten_percent() {
        assert_eq!(next_delay(ms(30_000), 0.0), ms(27_000));
        assert_eq!(next_delay(ms(30_000), 0.5), ms(30_000));
        assert_eq!(next_delay(ms(30_000), 1.0), ms(33_000));
    }
}
