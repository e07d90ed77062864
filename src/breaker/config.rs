use std::time::Duration;

use super::{
    call_counts::CallCounts, call_sample::CallSample, settings::BreakerSettings,
    transition::TransitionReason, window::Window, window_shape::WindowShape,
};

/// Checked settings that decide about calls, with what follows from them.
#[derive(Clone, Debug)]
pub(super) struct BreakerConfig {
    pub(super) settings: BreakerSettings,
    pub(super) min_calls: u32,
    pub(super) max_open_time: Duration,
    /// The smallest number of probes that reaches the ratio.
    pub(super) probes_required: u32,
}

/// A probe whose caller stalls its upload keeps its slot for this part of the probe timeout.
const STALL_DIVISOR: u32 = 10;

impl BreakerConfig {
    /// Returns for how long a probe keeps its slot although its caller stalls the upload.
    pub(super) fn stall_timeout(&self) -> Duration {
        self.settings.probe_timeout / STALL_DIVISOR
    }

    pub(super) fn new_window(&self) -> Window {
        match self.settings.count_window {
            Some(calls) => Window::of_calls(calls),
            None => Window::of_time(self.settings.time_window_buckets),
        }
    }

    /// Returns the shape of the window. Its number tells it from those that the breaker had before.
    pub(super) fn window_shape(&self, number: u8) -> WindowShape {
        let BreakerSettings {
            time_window,
            time_window_buckets,
            count_window,
            ..
        } = self.settings;
        match count_window {
            Some(calls) => WindowShape::of_calls(number, calls),
            None => WindowShape::of_time(number, time_window, time_window_buckets),
        }
    }

    /// Returns the reason to open a closed circuit with these counts, if any.
    pub(super) fn threshold_reached(
        &self,
        counts: CallCounts,
        consecutive_failures: u32,
    ) -> Option<TransitionReason> {
        let settings = &self.settings;
        let max_failures = settings.consecutive_failures;
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
        if reached(counts.failures, settings.failure_rate) {
            Some(TransitionReason::FailureRate)
        } else if reached(counts.slow, settings.slow_rate) {
            Some(TransitionReason::SlowRate)
        } else {
            None
        }
    }

    pub(super) fn is_probe_success(&self, sample: CallSample) -> bool {
        let is_too_slow = sample.is_slow() && self.settings.slow_rate.is_some();
        !sample.is_failure() && !is_too_slow
    }

    /// Returns how long the circuit opens at this level of the backoff, before jitter.
    pub(super) fn open_time_at(&self, backoff_level: u32) -> Duration {
        let factor = self.settings.open_backoff.powi(backoff_level as i32);
        // What a `Duration` cannot hold is longer than the maximum.
        Duration::try_from_secs_f64(self.settings.open_time.as_secs_f64() * factor)
            .map_or(self.max_open_time, |time| time.min(self.max_open_time))
    }
}
