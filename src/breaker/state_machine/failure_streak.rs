/// The number of calls that have failed in a row, where successes are counted at the heads of responses whose bodies may
/// still break.
///
/// A run is the successes between two failures. A success that becomes a failure leaves its run if that is the present
/// one. An earlier run has ended: its failures in a row are settled. Each generation of the circuit has a streak of its
/// own.
#[derive(Debug, Default)]
pub(super) struct FailureStreak {
    failures: u32,
    /// Successes since the last failure.
    successes: u64,
    /// The number of failures so far, which identifies the present run. Wraps.
    run_id: u32,
}

impl FailureStreak {
    pub(super) fn run_id(&self) -> u32 {
        self.run_id
    }

    /// Returns how many calls have failed in a row up to now.
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

    /// Takes a success out of its run, and records a failure instead.
    pub(super) fn success_to_failure(&mut self, run_id: u32) {
        if run_id == self.run_id {
            self.successes = self.successes.saturating_sub(1);
        }
        self.record_failure();
    }
}
