use std::time::Duration;

use tokio::time::Instant;

use super::failure_streak::FailureStreak;
use crate::breaker::{
    bucket::Bucket, call_counts::CallCounts, call_sample::CallSample, config::BreakerConfig,
    permit::PermitState, transition::TransitionReason, window::Window, window_shape::WindowShape,
};

/// The calls that a closed circuit has counted.
#[derive(Debug)]
pub(super) struct CallStats {
    /// The creation of the breaker, from which the buckets of the window count.
    start: Instant,
    shape: WindowShape,
    window: Window,
    streak: FailureStreak,
}

impl CallStats {
    pub(super) fn new(config: &BreakerConfig, start: Instant) -> Self {
        CallStats {
            start,
            shape: config.window_shape(0),
            window: config.new_window(),
            streak: FailureStreak::default(),
        }
    }

    pub(super) fn shape(&self) -> WindowShape {
        self.shape
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    fn bucket_at(&self, now: Instant) -> Bucket {
        self.shape.bucket_at(|| self.since_start(now))
    }

    pub(super) fn counts(&self, now: Instant) -> CallCounts {
        self.window.counts(self.bucket_at(now).index)
    }

    pub(super) fn consecutive_failures(&self) -> u32 {
        self.streak.len()
    }

    pub(super) fn run_id(&self) -> u32 {
        self.streak.run_id()
    }

    pub(super) fn record(&mut self, sample: CallSample, now: Instant) {
        let bucket = self.bucket_at(now).index;
        self.window.record(bucket, sample, 1);
        if sample.is_failure() {
            self.streak.record_failure();
        } else {
            self.streak.record_successes(1);
        }
    }

    /// Returns the reason to open the circuit after a call that was recorded, if there is one.
    pub(super) fn threshold_reached(
        &self,
        config: &BreakerConfig,
        sample: CallSample,
        now: Instant,
    ) -> Option<TransitionReason> {
        // Not after every success: only a failure or a slow call can reach a threshold.
        if !sample.is_failure() && !sample.is_slow() {
            return None;
        }
        config.threshold_reached(self.counts(now), self.streak.len())
    }

    pub(super) fn record_successes(&mut self, bucket: u64, times: u64) {
        self.streak.record_successes(times);
        self.window.record(bucket, CallSample::Success, times);
    }

    /// Gives the window another shape. It keeps its calls as far as it can, and the streak is as it was.
    pub(super) fn reshape(&mut self, config: &BreakerConfig, shape: WindowShape, now: Instant) {
        let mut window = config.new_window();
        window.carry_over(&self.window, (self.shape, shape), self.since_start(now));
        self.window = window;
        self.shape = shape;
    }

    /// Returns the permit of a call that is counted now as a success.
    pub(super) fn success_at(&self, now: Instant, slow: bool) -> PermitState {
        let bucket = self.bucket_at(now);
        PermitState::Success {
            // The last bits are enough to find one of the 1,000 buckets that a window has at most.
            bucket: bucket.index as u32,
            run_id: self.streak.run_id(),
            shape: bucket.shape,
            slow,
        }
    }

    /// Turns a success into a failure, unless its bucket and its run are past. Returns the failure, or `None` if the permit
    /// is not that of a success.
    pub(super) fn success_to_failure(
        &mut self,
        success: PermitState,
        now: Instant,
    ) -> Option<CallSample> {
        let PermitState::Success {
            bucket,
            run_id,
            shape,
            slow,
        } = success
        else {
            return None;
        };
        let failure = if slow {
            CallSample::SlowFailure
        } else {
            CallSample::Failure
        };
        let present = self.bucket_at(now);
        // The index of an earlier shape is that of another time.
        let recorded = (shape == present.shape).then_some(bucket);
        self.window
            .success_to_failure(recorded, failure, present.index);
        self.streak.success_to_failure(run_id);
        Some(failure)
    }

    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.streak = FailureStreak::default();
    }
}
