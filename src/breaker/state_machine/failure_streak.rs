/// Counts how many calls have failed in a row, where successes are counted at the heads of responses whose bodies may
/// still break.
///
/// A run is what lies between two failures. A success that turns out to be none is taken out of its run if that is the
/// present one; an older run is over, and what it says about the failures after it is settled. Each generation of the
/// circuit has a streak of its own.
#[derive(Debug, Default)]
pub(super) struct FailureStreak {
    failures: u32,
    /// Successes since the last failure.
    successes: u64,
    /// Failures so far, the number of the present run; wraps.
    run_id: u32,
}

impl FailureStreak {
    pub(super) fn run_id(&self) -> u32 {
        self.run_id
    }

    /// Returns how many calls have failed in a row, up to now.
    pub(super) fn len(&self) -> u32 {
        if self.successes > 0 { 0 } else { self.failures }
    }

    pub(super) fn record_successes(&mut self, times: u64) {
        self.successes = self.successes.saturating_add(times);
    }

    pub(super) fn record_failure(&mut self) {
        self.failures = self.len().saturating_add(1);
        self.successes = 0;
        self.run_id = self.run_id.wrapping_add(1);
    }

    /// A success of this run was none.
    pub(super) fn success_to_failure(&mut self, run: u32) {
        if run == self.run_id {
            self.successes = self.successes.saturating_sub(1);
        }
        self.record_failure();
    }
}
