use std::time::Duration;

use tokio::time::Instant;

use super::{
    bucket_clock::BucketClock,
    call_sample::CallSample,
    transition::TransitionReason,
    window::{CallCounts, Window},
};

/// The validated settings that decide about calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct BreakerConfig {
    /// The time that the window covers, and the number of its buckets.
    pub(super) time_window: (Duration, usize),
    /// The number of calls that the window holds, whenever they were: used instead of the time window.
    pub(super) count_window: Option<usize>,
    pub(super) min_calls: u32,
    pub(super) failure_rate: Option<f64>,
    pub(super) consecutive_failures: Option<u32>,
    pub(super) slow_call: Option<Duration>,
    pub(super) slow_rate: Option<f64>,
    pub(super) open_time: Duration,
    pub(super) open_backoff: f64,
    pub(super) max_open_time: Duration,
    pub(super) open_jitter: f64,
    pub(super) probes: u32,
    pub(super) probe_success_ratio: f64,
    /// The smallest number of probes that reaches the ratio.
    pub(super) probes_required: u32,
    pub(super) probe_timeout: Duration,
    pub(super) seed: Option<u64>,
}

impl BreakerConfig {
    pub(super) fn new_window(&self) -> Window {
        match self.count_window {
            Some(calls) => Window::of_calls(calls),
            None => Window::of_time(self.time_window.1),
        }
    }

    pub(super) fn bucket_clock(&self, start: Instant) -> BucketClock {
        match self.count_window {
            // A count window has no buckets: all calls fall into the first.
            Some(_) => BucketClock::new(start, Duration::MAX, 1),
            None => BucketClock::new(start, self.time_window.0, self.time_window.1),
        }
    }

    /// Returns the reason to open a closed circuit with these counts, if any.
    pub(super) fn threshold_reached(
        &self,
        counts: CallCounts,
        consecutive_failures: u32,
    ) -> Option<TransitionReason> {
        let max_failures = self.consecutive_failures;
        // Before the minimum of calls, which is about rates: a row of failures needs no other calls to compare with.
        if max_failures.is_some_and(|max| consecutive_failures >= max) {
            return Some(TransitionReason::ConsecutiveFailures);
        }
        if counts.calls < u64::from(self.min_calls) {
            return None;
        }
        // A quotient equals the fraction as it was configured: 3 of 30 are exactly 0.1.
        let reached = |part: u64, threshold: Option<f64>| {
            threshold.is_some_and(|threshold| part as f64 / counts.calls as f64 >= threshold)
        };
        if reached(counts.failures, self.failure_rate) {
            Some(TransitionReason::FailureRate)
        } else if reached(counts.slow, self.slow_rate) {
            Some(TransitionReason::SlowRate)
        } else {
            None
        }
    }

    pub(super) fn is_probe_success(&self, sample: CallSample) -> bool {
        let is_too_slow = sample.is_slow() && self.slow_rate.is_some();
        !sample.is_failure() && !is_too_slow
    }

    /// Returns how long the circuit opens at this level of the backoff, before jitter.
    pub(super) fn open_time_at(&self, backoff_level: u32) -> Duration {
        let factor = self.open_backoff.powi(backoff_level as i32);
        // What a `Duration` cannot hold is longer than the maximum.
        Duration::try_from_secs_f64(self.open_time.as_secs_f64() * factor)
            .map_or(self.max_open_time, |time| time.min(self.max_open_time))
    }
}
