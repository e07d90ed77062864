/// Counts how many calls have failed in a row, where successes are counted at the heads of responses whose bodies may
/// still break.
///
/// A run is what lies between two failures. A success that turns out to be none is taken out of its run if that is the
/// present one; an older run is over, and what it says about the failures after it is settled. Each generation of the
/// circuit has a streak of its own.
#[derive(Debug, Default)]
pub(super) struct Streak {
    failures: u32,
    /// Successes since the last failure.
    healthy: u64,
    /// Failures so far, the number of the present run; wraps.
    run: u32,
}

impl Streak {
    pub(super) fn run(&self) -> u32 {
        self.run
    }

    /// Returns how many calls have failed in a row, up to now.
    pub(super) fn len(&self) -> u32 {
        if self.healthy > 0 { 0 } else { self.failures }
    }

    pub(super) fn succeed(&mut self, times: u64) {
        self.healthy = self.healthy.saturating_add(times);
    }

    pub(super) fn fail(&mut self) {
        self.failures = self.len().saturating_add(1);
        self.healthy = 0;
        self.run = self.run.wrapping_add(1);
    }

    /// A success of this run was none.
    pub(super) fn convert(&mut self, run: u32) {
        if run == self.run {
            self.healthy = self.healthy.saturating_sub(1);
        }
        self.fail();
    }
}
