use tokio::time::Instant;

use super::{Hedge, latencies::Sample};
use crate::call::{Evidence, Outcome, current_timeout};

/// The time of an attempt that runs, and what it says about the peer. One that is dropped counts as an attempt that would have
/// taken longer.
#[derive(Debug)]
pub(super) struct AttemptClock {
    pub(super) hedge: Hedge,
    is_running: bool,
    /// `None` if attempts are not timed.
    started: Option<Instant>,
}

impl AttemptClock {
    /// Creates the clock of an attempt that has not begun.
    pub(super) fn new(hedge: Hedge) -> Self {
        AttemptClock {
            hedge,
            is_running: false,
            started: None,
        }
    }

    /// Starts the clock. Reads no time.
    #[inline]
    pub(super) fn start(&mut self, started: Option<Instant>) {
        self.is_running = true;
        self.started = started;
    }

    /// Ends the attempt with its outcome.
    #[inline]
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if !std::mem::take(&mut self.is_running) {
            return;
        }
        self.hedge.shared.count_outcome(outcome);
        let sample = match outcome {
            Outcome::Success | Outcome::ClientError => Sample::Answered,
            // The peer was not asked.
            Outcome::Rejected => return,
            _ => Sample::Censored,
        };
        self.record(sample, Instant::now);
    }

    /// Ends an attempt that is dropped before its result.
    #[cold]
    pub(super) fn give_up(&mut self) {
        if !std::mem::take(&mut self.is_running) {
            return;
        }
        let now = Instant::now();
        // A time limit around the call drops it as well, and may be held against the peer.
        let timeout = current_timeout().map(|timeout| timeout.classify(self.started, || now));
        if timeout.is_some_and(|call| call.evidence == Evidence::Unhealthy) {
            self.hedge.shared.count_outcome(Outcome::TimedOut);
        }
        self.record(Sample::Censored, || now);
    }

    #[inline]
    fn record(&self, sample: Sample, now: impl FnOnce() -> Instant) {
        if let Some(started) = self.started {
            self.hedge.shared.record(started, now(), sample);
        }
    }
}

impl Drop for AttemptClock {
    #[inline]
    fn drop(&mut self) {
        if self.is_running {
            self.give_up();
        }
    }
}
