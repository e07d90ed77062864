//! A measurement of how late the runtime wakes a task.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::CheckResult;

/// Number of sleeps in one run, and the length of each: a worker that is blocked now and then is found sooner.
const SLEEPS: u32 = 5;
const SLEEP: Duration = Duration::from_millis(10);
/// The runtime is unhealthy if it is so many times later than the limit.
const UNHEALTHY_FACTOR: u32 = 10;

/// Measures the longest lag of some sleeps.
pub(super) async fn measure(limit: Duration) -> CheckResult {
    let mut lag = Duration::ZERO;
    for _ in 0..SLEEPS {
        let begin = Instant::now();
        sleep(SLEEP).await;
        lag = lag.max(begin.elapsed().saturating_sub(SLEEP));
    }
    judge(lag, limit)
}

fn judge(lag: Duration, limit: Duration) -> CheckResult {
    let text = format!(
        "tasks wake {} ms late, limit {} ms",
        lag.as_millis(),
        limit.as_millis()
    );
    if lag > limit.saturating_mul(UNHEALTHY_FACTOR) {
        CheckResult::unhealthy(text)
    } else if lag > limit {
        CheckResult::degraded(text)
    } else {
        CheckResult::healthy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_degraded_above_the_limit_and_unhealthy_above_ten_times_that() {
        let limit = Duration::from_millis(100);
        let result = |ms| judge(Duration::from_millis(ms), limit);
        assert_eq!(result(100), CheckResult::healthy());
        assert_eq!(
            result(101),
            CheckResult::degraded("tasks wake 101 ms late, limit 100 ms")
        );
        assert_eq!(
            result(1_000),
            CheckResult::degraded("tasks wake 1000 ms late, limit 100 ms")
        );
        assert_eq!(
            result(1_001),
            CheckResult::unhealthy("tasks wake 1001 ms late, limit 100 ms")
        );
    }
}
