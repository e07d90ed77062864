//! The decisions of a limit, without a clock, a lock or an atomic: by the algorithm, the settings, the time and one number, which is the
//! whole state. Times are in ticks since the start of the limiter; any unit would do.

use super::{RateAlgorithm, fixed_window, gcra, sliding_window, ticks::MAX_TICKS};

/// The rate and the burst of a limit, and how they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) algorithm: RateAlgorithm,
    /// The time in which one cell comes back.
    pub(super) interval: u64,
    /// The time in which the burst comes back: so many intervals.
    pub(super) capacity: u64,
}

/// A decision that takes cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// The state from now on.
    pub(super) state: u64,
    /// The time until the cells may be used; 0 for at once.
    pub(super) wait: u64,
}

/// A decision that takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The cells are there after this time, if nobody else takes them.
    After(u64),
    /// The limit never has so many cells.
    Never,
}

impl Quota {
    pub(super) const fn new(algorithm: RateAlgorithm, interval: u64, burst: u32) -> Self {
        Quota {
            algorithm,
            interval,
            capacity: interval * burst as u64,
        }
    }

    /// Returns how many cells there are when nothing is taken.
    pub(super) fn burst(self) -> u64 {
        self.capacity / self.interval
    }

    /// Returns the state once so many cells are taken now, where that is quickly said; [`take`](Self::take) says the rest.
    #[inline]
    pub(super) fn take_now(&self, state: u64, now: u64, cells: u32) -> Option<u64> {
        match self.algorithm {
            RateAlgorithm::Gcra => {
                gcra::take_now((self.interval, self.capacity), state, now, cells)
            }
            _ => None,
        }
    }

    /// Returns whether so many cells can be taken now, or within the wait. The state 0 is one of which nothing is taken.
    pub(super) fn take(
        self,
        state: u64,
        now: u64,
        cells: u32,
        max_wait: u64,
    ) -> Result<Grant, Denial> {
        match self.algorithm {
            RateAlgorithm::Gcra => gcra::take(self, state, now, cells, max_wait),
            RateAlgorithm::FixedWindow => fixed_window::take(self, state, now, cells, max_wait),
            RateAlgorithm::SlidingWindow => sliding_window::take(self, state, now, cells, max_wait),
        }
    }

    /// Returns the state before these cells were taken, which were the last.
    pub(super) fn put_back(self, state: u64, cells: u32) -> u64 {
        let cells = u64::from(cells);
        match self.algorithm {
            RateAlgorithm::SlidingWindow => state.saturating_sub(cells),
            _ => state.saturating_sub(cells * self.interval),
        }
    }

    /// Returns the state of an empty limit, which has cells again after the pause. Takes nothing back from one that is emptier.
    pub(super) fn empty(self, state: u64, now: u64, pause: u64) -> u64 {
        match self.algorithm {
            RateAlgorithm::Gcra => gcra::empty(self, state, now, pause),
            RateAlgorithm::FixedWindow => fixed_window::empty(self, state, now, pause),
            RateAlgorithm::SlidingWindow => sliding_window::empty(self, state, now, pause),
        }
    }

    /// Returns how many cells there are now.
    pub(super) fn available(self, state: u64, now: u64) -> u64 {
        match self.algorithm {
            RateAlgorithm::Gcra => gcra::available(self, state, now),
            RateAlgorithm::FixedWindow => fixed_window::available(self, state, now),
            RateAlgorithm::SlidingWindow => sliding_window::available(self, state, now),
        }
    }

    /// Returns when all cells are there again: from then on, the state says no more than 0 does.
    #[inline]
    pub(super) fn full_at(self, state: u64, now: u64) -> u64 {
        match self.algorithm {
            RateAlgorithm::Gcra => state,
            RateAlgorithm::FixedWindow => fixed_window::full_at(self, state),
            RateAlgorithm::SlidingWindow => sliding_window::full_at(self, state, now),
        }
    }

    /// Returns the time until there is another cell; 0 if all are there.
    pub(super) fn until_next(self, state: u64, now: u64) -> u64 {
        let next = self.available(state, now) + 1;
        let next = u32::try_from(next).unwrap_or(u32::MAX);
        match self.take(state, now, next, 0) {
            Err(Denial::After(wait)) => wait,
            Ok(_) | Err(Denial::Never) => 0,
        }
    }

    /// Returns the state by another quota of a limit of which as many cells are missing.
    pub(super) fn convert(self, state: u64, now: u64, to: Quota) -> u64 {
        if self.algorithm == RateAlgorithm::Gcra && to.algorithm == RateAlgorithm::Gcra {
            return gcra::convert(self, state, now, to);
        }
        // Between windows, what is reserved for later counts as taken now.
        let missing = self.burst() - self.available(state, now).min(self.burst());
        let missing = u32::try_from(missing.min(to.burst())).unwrap_or(u32::MAX);
        to.take(0, now, missing, MAX_TICKS)
            .map_or(0, |grant| grant.state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn algorithm() -> impl Strategy<Value = RateAlgorithm> {
        prop::sample::select(&RateAlgorithm::ALL[..])
    }

    proptest! {
        #[test]
        fn quota_that_changes_keeps_the_cells_that_are_missing(
            from in (algorithm(), 1..1_000_u64, 1..100_u32), to in (algorithm(), 1..1_000_u64, 1..100_u32),
            taken in 0..100_u32, now in 0..1_000_000_u64,
        ) {
            let (from, to) = (Quota::new(from.0, from.1, from.2), Quota::new(to.0, to.1, to.2));
            let taken = taken.min(from.burst() as u32);
            let grant = from.take(0, now, taken, 0).expect("of the burst");
            let state = from.convert(grant.state, now, to);
            prop_assert_eq!(to.available(state, now), to.burst().saturating_sub(u64::from(taken)));
        }

        #[test]
        fn cells_that_are_put_back_are_available_again(
            algorithm in algorithm(), interval in 1..50_u64, burst in 2..20_u32,
            first in 0..20_u32, second in 0..20_u32, now in 0..10_000_u64,
        ) {
            let quota = Quota::new(algorithm, interval, burst);
            let (first, second) = (first.min(burst - 1), second.min(burst));
            let before = quota.take(0, now, first, 0).expect("of the burst");
            if let Ok(grant) = quota.take(before.state, now, second, 0) {
                let state = quota.put_back(grant.state, second);
                prop_assert_eq!(quota.available(state, now), u64::from(burst - first));
            }
        }

        #[test]
        fn full_limit_is_as_good_as_one_of_which_nothing_was_taken(
            algorithm in algorithm(), interval in 1..50_u64, burst in 1..20_u32,
            takes in prop::collection::vec((0..300_u64, 0..20_u32), 1..10),
        ) {
            let quota = Quota::new(algorithm, interval, burst);
            let (mut state, mut now) = (0, 0);
            for (pause, cells) in takes {
                now += pause;
                state = quota.take(state, now, cells, 0).map_or(state, |grant| grant.state);
            }
            let full_at = quota.full_at(state, now).max(now);
            prop_assert_eq!(quota.available(state, full_at), u64::from(burst));
            prop_assert_eq!(quota.until_next(state, full_at), 0);
        }

        #[test]
        fn empty_limit_has_nothing_before_the_pause_is_over(
            algorithm in algorithm(), interval in 1..50_u64, burst in 1..20_u32,
            now in 0..10_000_u64, pause in 0..1_000_u64,
        ) {
            let quota = Quota::new(algorithm, interval, burst);
            let state = quota.empty(0, now, pause);
            prop_assert_eq!(quota.available(state, now), 0);
            let wait = quota.until_next(state, now);
            prop_assert!(wait >= pause.max(1) && wait <= pause.max(interval) + quota.capacity);
            prop_assert!(quota.available(state, now + wait) >= 1);
        }
    }
}
