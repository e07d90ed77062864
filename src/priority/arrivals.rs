//! The distribution of recent priorities. Pure.

use crate::context::{ALL_LEVELS, LEVELS, PriorityClass};

/// The arrivals from which on the older ones count half. Twice failsafe-go's thousand: the threshold of a class that has a tenth of the
/// calls is known within a few levels, and a change of the mix is followed within some thousand calls.
const MAX_TOTAL: u32 = 2_048;

/// The largest weight that is added at once: that of all levels together fits into a number.
const MAX_ADDED: u32 = u32::MAX / (2 * ALL_LEVELS as u32);
/// The weight of a call that has just come, so that one which counts half, a quarter and so on still counts.
const WEIGHT: u32 = 256;

/// The calls that came lately, by the level of their priority.
#[derive(Debug)]
pub(super) struct LevelCounts {
    /// The weight of the calls of each level, and of all of them.
    levels: Box<[u32; ALL_LEVELS]>,
    total: u32,
    /// The calls that have come since the beginning.
    by_class: [u64; PriorityClass::ALL.len()],
}

impl LevelCounts {
    pub(super) fn new() -> Self {
        LevelCounts {
            levels: Box::new([0; ALL_LEVELS]),
            total: 0,
            by_class: [0; PriorityClass::ALL.len()],
        }
    }

    /// Adds calls of a level.
    pub(super) fn add(&mut self, level: usize, calls: u32) {
        let weight = calls.saturating_mul(WEIGHT).min(MAX_ADDED);
        self.levels[level] = self.levels[level].saturating_add(weight);
        self.total = self.total.saturating_add(weight);
        self.by_class[level / usize::from(LEVELS)] += u64::from(calls);
    }

    /// Makes what has been added count less, if there is enough that is newer.
    pub(super) fn age(&mut self) {
        while self.total > MAX_TOTAL * WEIGHT {
            self.levels.iter_mut().for_each(|weight| *weight /= 2);
            self.total = self.levels.iter().sum();
        }
    }

    /// Returns for each level, and for the end, the share of the calls that are of lower levels: the cumulative distribution. `None`
    /// while no call has come.
    pub(super) fn shares_below(&self) -> Option<impl Iterator<Item = f32>> {
        if self.total == 0 {
            return None;
        }
        let total = self.total as f32;
        let mut below = 0;
        let shares = self.levels.iter().map(move |weight| {
            let share = below as f32 / total;
            below += weight;
            share
        });
        Some(shares.chain([1.0]))
    }

    /// Returns the calls that have come since the beginning, by class.
    pub(super) fn by_class(&self) -> [u64; PriorityClass::ALL.len()] {
        self.by_class
    }

    /// Forgets the distribution, and none of the calls since the beginning.
    pub(super) fn reset(&mut self) {
        self.levels.fill(0);
        self.total = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn distribution_is_that_of_the_levels() {
        let mut arrivals = LevelCounts::new();
        assert!(arrivals.shares_below().is_none());
        arrivals.add(0, 1);
        arrivals.add(499, 3);
        let shares: Vec<_> = arrivals.shares_below().expect("four calls").collect();
        assert_eq!(
            (shares[0], shares[1], shares[499], shares[500]),
            (0.0, 0.25, 0.25, 1.0)
        );
        arrivals.reset();
        assert!(arrivals.shares_below().is_none());
        assert_eq!(arrivals.by_class(), [1, 0, 0, 0, 3]);
    }

    #[test]
    fn older_calls_count_less_and_less() {
        let mut arrivals = LevelCounts::new();
        arrivals.add(10, 2_000);
        let mut shares = Vec::new();
        for _ in 0..4 {
            arrivals.add(20, 1_024);
            arrivals.age();
            shares.push(arrivals.shares_below().expect("calls").nth(20));
        }
        let older: Vec<_> = shares.into_iter().flatten().collect();
        assert!(older.windows(2).all(|pair| pair[1] < pair[0]), "{older:?}");
        assert!(older[3] < 0.2, "{older:?}");
    }

    proptest! {
        #[test]
        fn distribution_grows_from_none_to_all_whatever_comes(
            calls in vec((0..ALL_LEVELS, 1..5_000_u32), 1..50),
        ) {
            let mut arrivals = LevelCounts::new();
            let mut all = 0;
            for (level, calls) in calls {
                arrivals.add(level, calls);
                arrivals.age();
                all += u64::from(calls);
                prop_assert!(arrivals.total <= MAX_TOTAL * WEIGHT);
                prop_assert_eq!(arrivals.total, arrivals.levels.iter().sum::<u32>());
                if let Some(shares) = arrivals.shares_below() {
                    let shares: Vec<_> = shares.collect();
                    prop_assert_eq!(shares.len(), ALL_LEVELS + 1);
                    prop_assert_eq!((shares[0], shares[ALL_LEVELS]), (0.0, 1.0));
                    prop_assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]));
                }
            }
            prop_assert_eq!(arrivals.by_class().iter().sum::<u64>(), all);
        }
    }
}
