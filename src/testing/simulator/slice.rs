use std::time::Duration;

/// The numbers of a slice of time, or of several.
///
/// Calls and attempts count in the slice in which they began, whenever they end: those of an outage are not among the successes of
/// after it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Slice {
    /// The beginning of the slice, from the start of the simulation.
    pub start: Duration,
    /// The calls that began, retries apart.
    pub calls: u64,
    /// The calls among them that succeeded, be it by a retry.
    pub succeeded: u64,
    /// The attempts that the guards admitted: what the peer got.
    pub attempts: u64,
    /// The attempts among these that were hedges, sent beside another one or after it had failed.
    pub hedges: u64,
    /// The calls among those that succeeded whose result is that of a hedge.
    pub hedges_won: u64,
    /// The attempts that the guards rejected.
    pub rejected: u64,
    /// The attempts that the peer rejected, since its queue was full.
    pub overloaded: u64,
    /// The attempts that the peer failed.
    pub failed: u64,
    /// The attempts whose time limit elapsed.
    pub timed_out: u64,
    /// The time of all calls that succeeded, from the beginning of each to its end.
    pub total_time: Duration,
    /// The longest of these times.
    pub max_time: Duration,
    /// The calls in the queue of the peer at the end of the slice; of several slices, the most.
    pub queued: u64,
    /// The gauge of the guards at the end of the slice, their mean if there are several; of several slices, the mean.
    pub gauge: f64,
}

impl Slice {
    /// Returns the fraction of calls that succeeded; 1 if there was none.
    pub fn goodput(&self) -> f64 {
        ratio(self.succeeded, self.calls).unwrap_or(1.0)
    }

    /// Returns the attempts that the peer got for each call; 0 if there was none.
    pub fn attempts_per_call(&self) -> f64 {
        ratio(self.attempts, self.calls).unwrap_or_default()
    }

    /// Returns the mean time of the calls that succeeded; zero if none has.
    pub fn mean_time(&self) -> Duration {
        match self.succeeded {
            0 => Duration::ZERO,
            calls => self.total_time.div_f64(calls as f64),
        }
    }

    /// Adds the counts of a later slice. The gauge is summed up: it is the caller's to divide.
    pub(super) fn add(&mut self, later: &Slice) {
        self.calls += later.calls;
        self.succeeded += later.succeeded;
        self.attempts += later.attempts;
        self.hedges += later.hedges;
        self.hedges_won += later.hedges_won;
        self.rejected += later.rejected;
        self.overloaded += later.overloaded;
        self.failed += later.failed;
        self.timed_out += later.timed_out;
        self.total_time += later.total_time;
        self.max_time = self.max_time.max(later.max_time);
        self.queued = self.queued.max(later.queued);
        self.gauge += later.gauge;
    }
}

fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}
