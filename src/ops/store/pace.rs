use std::time::{Duration, Instant};

/// The time between two batches, and the first wait after a failure.
const BETWEEN_BATCHES: Duration = Duration::from_millis(250);
/// The longest wait after failures.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The time between two looks for what is too old.
const BETWEEN_TRIMS: Duration = Duration::from_secs(10);

/// The result of a round of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// All that waited is written.
    Done,
    /// More waits, or more is to be deleted.
    More,
    /// The file cannot be used.
    Failed,
}

/// The times at which the writer does something.
#[derive(Debug)]
pub(super) struct Pace {
    failures: u32,
    next: Instant,
    next_trim: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Pace {
            failures: 0,
            next: now + BETWEEN_BATCHES,
            next_trim: now + BETWEEN_TRIMS,
        }
    }

    /// Returns how long to wait before the next round, unless a source has enough.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Returns whether a source that has enough is a reason for a round: it is none for a file that has failed.
    pub(super) fn is_in_haste(&self) -> bool {
        self.failures == 0
    }

    /// Returns whether it is time to look for what is too old. A file that is full needs it first of all.
    pub(super) fn is_trim_due(&self, now: Instant) -> bool {
        self.failures > 0 || now >= self.next_trim
    }

    /// Learns that there was a look for what is too old, and whether there is more.
    pub(super) fn trimmed(&mut self, now: Instant, has_more: bool) {
        self.next_trim = match has_more {
            true => now,
            false => now + BETWEEN_TRIMS,
        };
    }

    /// Learns the result of a round.
    pub(super) fn round(&mut self, now: Instant, round: Round) {
        let wait = match round {
            Round::Done => BETWEEN_BATCHES,
            Round::More => Duration::ZERO,
            Round::Failed => BETWEEN_BATCHES
                .saturating_mul(1 << self.failures.min(16))
                .min(MAX_WAIT),
        };
        self.failures = match round {
            Round::Failed => self.failures.saturating_add(1),
            Round::Done | Round::More => 0,
        };
        self.next = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_slower_with_each_failure_and_back_after_a_success() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.wait(now), BETWEEN_BATCHES);
        let waits: Vec<_> = (0..9)
            .map(|_| {
                pace.round(now, Round::Failed);
                pace.wait(now).as_millis()
            })
            .collect();
        let expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(waits, expected);
        assert!(!pace.is_in_haste() && pace.is_trim_due(now));
        pace.round(now, Round::More);
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.round(now, Round::Done);
        assert_eq!(pace.wait(now), BETWEEN_BATCHES);
        assert!(pace.is_in_haste() && !pace.is_trim_due(now));
    }

    #[test]
    fn pace_trims_each_ten_seconds_or_again_at_once() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(!pace.is_trim_due(now) && pace.is_trim_due(now + BETWEEN_TRIMS));
        pace.trimmed(now, true);
        assert!(pace.is_trim_due(now));
        pace.trimmed(now, false);
        assert!(!pace.is_trim_due(now) && pace.is_trim_due(now + BETWEEN_TRIMS));
    }
}
