//! A sliding window, estimated from the counts of two fixed ones: that of the window before counts by the part of it that is still
//! inside. The number has the index of the later window and both counts.

use super::{
    quota::{Denial, Grant, Quota},
    ticks::TICK_BITS,
};

const COUNT_BITS: u32 = 12;
const INDEX_BITS: u32 = TICK_BITS - 2 * COUNT_BITS;
/// The largest burst that can be counted.
pub(super) const MAX_BURST: u64 = (1 << COUNT_BITS) - 1;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// The counts of a window and of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// The index of the window, by the time of the limit.
    index: u64,
    before: u64,
    current: u64,
}

impl Counts {
    /// Reads the counts as they are now, or in the window to come of which something is taken already.
    fn read(quota: Quota, state: u64, now: u64) -> Self {
        let (before, current) = (state >> COUNT_BITS & MAX_BURST, state & MAX_BURST);
        let this = now / quota.capacity;
        // The index is stored modulo 2^30, of which windows of a second or more need half at most.
        let ahead = (state >> (2 * COUNT_BITS)).wrapping_sub(this) & INDEX_MASK;
        let counts = |index, before, current| Counts {
            index,
            before,
            current,
        };
        match ahead {
            _ if ahead <= INDEX_MASK / 2 => counts(this + ahead, before, current),
            INDEX_MASK => counts(this, current, 0),
            _ => counts(this, 0, 0),
        }
    }

    fn pack(self) -> u64 {
        (self.index & INDEX_MASK) << (2 * COUNT_BITS) | self.before << COUNT_BITS | self.current
    }

    fn next(self) -> Self {
        Counts {
            index: self.index + 1,
            before: self.current,
            current: 0,
        }
    }

    /// Returns from when on there are so many cells, if within this window.
    fn free_at(self, quota: Quota, cells: u64) -> Option<u64> {
        let room = quota.burst().checked_sub(self.current + cells)?;
        let window = quota.capacity;
        // The part of the window before that may still be inside.
        let inside = match self.before > room {
            true => u128::from(room) * u128::from(window) / u128::from(self.before),
            false => u128::from(window),
        };
        let elapsed = window - inside as u64;
        (elapsed < window).then(|| self.index * window + elapsed)
    }
}

pub(super) fn take(
    quota: Quota,
    state: u64,
    now: u64,
    cells: u32,
    max_wait: u64,
) -> Result<Grant, Denial> {
    let cells = u64::from(cells);
    if cells > quota.burst() {
        return Err(Denial::Never);
    }
    let mut counts = Counts::read(quota, state, now);
    // The third window at the latest has nothing before it.
    let at = loop {
        match counts.free_at(quota, cells) {
            Some(at) => break at.max(now),
            None => counts = counts.next(),
        }
    };
    let wait = at - now;
    if wait > max_wait {
        return Err(Denial::After(wait));
    }
    counts.current += cells;
    Ok(Grant {
        state: counts.pack(),
        wait,
    })
}

pub(super) fn available(quota: Quota, state: u64, now: u64) -> u64 {
    let counts = Counts::read(quota, state, now);
    let is_free = |cells: &u64| {
        let at = counts.free_at(quota, *cells);
        at.is_some_and(|at| at <= now)
    };
    // By halves: the more cells, the later they are free.
    let (mut some, mut too_many) = (0, quota.burst() + 1);
    while some + 1 < too_many {
        let middle = some.midpoint(too_many);
        match is_free(&middle) {
            true => some = middle,
            false => too_many = middle,
        }
    }
    some
}

/// Returns the number of a limit of which nothing is left before the first window that begins after the pause.
pub(super) fn empty(quota: Quota, state: u64, now: u64, pause: u64) -> u64 {
    let counts = Counts::read(quota, state, now);
    let index = now.saturating_add(pause.max(1)).div_ceil(quota.capacity);
    match counts.index >= index {
        true => state,
        false => Counts {
            index,
            before: 0,
            current: 0,
        }
        .pack(),
    }
}

/// Returns when all is there again: when neither count is inside of the window any more.
pub(super) fn full_at(quota: Quota, state: u64, now: u64) -> u64 {
    let counts = Counts::read(quota, state, now);
    let windows = match (counts.before, counts.current) {
        (0, 0) => 0,
        (_, 0) => 1,
        _ => 2,
    };
    (counts.index + windows) * quota.capacity
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::{
        RateAlgorithm,
        algorithm_tests::{play, taker},
    };

    const QUOTA: Quota = Quota::new(RateAlgorithm::SlidingWindow, 10, 4);

    #[test]
    fn window_before_counts_by_the_part_that_is_inside() {
        let mut take = taker(QUOTA);
        assert_eq!(take(39, 4, 0), Ok(0));
        // Unlike a fixed window: all four are still inside.
        assert_eq!(take(40, 1, 0), Err(Denial::After(10)));
        assert_eq!(take(50, 1, 0), Ok(0), "three quarters of the four");
        assert_eq!(take(50, 1, 0), Err(Denial::After(10)));
        assert_eq!(take(50, 2, 30), Ok(20));
        assert_eq!(take(50, 2, 99), Ok(44), "in the next window");
        assert_eq!(take(60, 5, 99), Err(Denial::Never));
    }

    #[test]
    fn available_and_the_time_until_more_follow_both_counts() {
        let state = |index, before, current| {
            Counts {
                index,
                before,
                current,
            }
            .pack()
        };
        for (state, now, available, until_next) in [
            (0, 0, 4, 0),
            (state(2, 0, 1), 85, 3, 75),
            (state(2, 4, 0), 80, 0, 10),
            (state(2, 4, 0), 90, 1, 10),
            (state(2, 4, 0), 160, 4, 0),
            (state(3, 0, 0), 85, 0, 35),
        ] {
            assert_eq!(QUOTA.available(state, now), available, "{state} {now}");
            assert_eq!(QUOTA.until_next(state, now), until_next, "{state} {now}");
        }
        assert_eq!(QUOTA.full_at(state(2, 4, 0), 85), 120);
        assert_eq!(QUOTA.full_at(state(2, 0, 1), 85), 160);
        let empty = QUOTA.empty(0, 85, 0);
        assert_eq!(QUOTA.take(empty, 85, 1, 0), Err(Denial::After(35)));
        assert_eq!(
            QUOTA.take(QUOTA.empty(0, 85, 40), 85, 1, 0),
            Err(Denial::After(75))
        );
    }

    proptest! {
        /// Against the counts of all windows.
        #[test]
        fn estimate_is_never_above_the_burst(
            interval in 1..20_u64, burst in 1..8_u32, max_wait in 0..300_u64,
            steps in prop::collection::vec((0..60_u64, 0..9_u32), 1..60),
        ) {
            let quota = Quota::new(RateAlgorithm::SlidingWindow, interval, burst);
            let window = quota.capacity;
            let mut counts: HashMap<u64, u64> = HashMap::new();
            let fits = |counts: &HashMap<u64, u64>, at: u64, cells: u32| {
                let count = |index: u64| counts.get(&index).copied().unwrap_or(0);
                let (index, elapsed) = (at / window, at % window);
                let before = index.checked_sub(1).map_or(0, count) * (window - elapsed);
                before + (count(index) + u64::from(cells)) * window <= u64::from(burst) * window
            };
            play(quota, max_wait, steps, |at, cells, is_taken| {
                prop_assert!(fits(&counts, at, cells));
                if is_taken {
                    *counts.entry(at / window).or_default() += u64::from(cells);
                }
                Ok(())
            })?;
        }
    }
}
