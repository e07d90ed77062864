use tokio::time::Instant;

use super::failure_streak::FailureStreak;
use crate::breaker::{
    bucket_clock::BucketClock,
    call_sample::CallSample,
    config::BreakerConfig,
    permit::PermitState,
    window::{CallCounts, Window},
};

/// The calls that a closed circuit has counted.
#[derive(Debug)]
pub(super) struct CallStats {
    clock: BucketClock,
    window: Window,
    streak: FailureStreak,
}

impl CallStats {
    pub(super) fn new(config: &BreakerConfig, start: Instant) -> Self {
        CallStats {
            clock: config.bucket_clock(start),
            window: config.new_window(),
            streak: FailureStreak::default(),
        }
    }

    pub(super) fn clock(&self) -> BucketClock {
        self.clock
    }

    pub(super) fn counts(&self, now: Instant) -> CallCounts {
        self.window.counts(self.clock.bucket_at(now))
    }

    pub(super) fn consecutive_failures(&self) -> u32 {
        self.streak.len()
    }

    pub(super) fn run_id(&self) -> u32 {
        self.streak.run_id()
    }

    pub(super) fn record(&mut self, sample: CallSample, now: Instant) {
        self.window.record(self.clock.bucket_at(now), sample, 1);
        if sample.is_failure() {
            self.streak.record_failure();
        } else {
            self.streak.record_successes(1);
        }
    }

    pub(super) fn record_successes(&mut self, bucket: u64, times: u64) {
        self.streak.record_successes(times);
        self.window.record(bucket, CallSample::Success, times);
    }

    /// Returns the permit of a call that is counted now as a success.
    pub(super) fn success_at(&self, now: Instant, slow: bool) -> PermitState {
        PermitState::Success {
            // The last bits are enough to find one of the 1,000 buckets that a window has at most.
            bucket: self.clock.bucket_at(now) as u32,
            run_id: self.streak.run_id(),
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
        let present = self.clock.bucket_at(now);
        self.window.success_to_failure(bucket, failure, present);
        self.streak.success_to_failure(run_id);
        Some(failure)
    }

    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.streak = FailureStreak::default();
    }
}
