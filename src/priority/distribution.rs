use std::sync::atomic::{AtomicU32, Ordering};

use super::arrivals::LevelCounts;
use crate::context::{ALL_LEVELS, CallPriority, Priority};

/// The cumulative distribution of recent priorities, to be read without a lock.
///
/// The thread that has the lock of the arrivals replaces it level by level. A call that reads a part of each of two distributions stands
/// where it stood in one of them or between, which does no harm.
pub(super) struct Distribution {
    /// The bits of the share of calls below each level, and below the end.
    shares_below: Box<[AtomicU32]>,
}

/// The random parts of a decision, each from 0 up to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    /// The place of a call among those of its level.
    pub(super) place: f32,
    /// Decides whether a call is lifted.
    pub(super) lift: f32,
    /// The place among all calls to which it is lifted.
    pub(super) lifted: f32,
}

/// The bits of a draw: as many as a float has exactly, less would be enough.
const BITS: u32 = 21;

impl Draws {
    /// Splits a random number.
    pub(super) fn new(random: u64) -> Self {
        let part = |index: u32| {
            let bits = (random >> (index * BITS)) & ((1 << BITS) - 1);
            bits as f32 / (1_u32 << BITS) as f32
        };
        Draws {
            place: part(0),
            lift: part(1),
            lifted: part(2),
        }
    }
}

impl Distribution {
    /// Creates one in which all levels are equally frequent.
    pub(super) fn new() -> Self {
        let share = |level| AtomicU32::new(even_share(level).to_bits());
        Distribution {
            shares_below: (0..=ALL_LEVELS).map(share).collect(),
        }
    }

    /// Replaces it by that of the arrivals, if there are some.
    pub(super) fn replace(&self, arrivals: &LevelCounts) {
        let Some(shares) = arrivals.shares_below() else {
            return;
        };
        for (word, share) in self.shares_below.iter().zip(shares) {
            // Relaxed: each word says all that is needed of its level.
            word.store(share.to_bits(), Ordering::Relaxed);
        }
    }

    /// Makes all levels equally frequent.
    pub(super) fn reset(&self) {
        for (level, word) in self.shares_below.iter().enumerate() {
            word.store(even_share(level).to_bits(), Ordering::Relaxed);
        }
    }

    /// Returns where a call stands: the share of recent calls that are shed before it. Uniform from 0 up to 1 over all calls, so that a
    /// fraction of them is shed by shedding those below that fraction.
    ///
    /// With the probability `lift_rate`, a call stands no lower than another one that is drawn from all calls, which keeps the floor of
    /// its class.
    pub(super) fn compare(&self, priority: Priority, lift_rate: f32, draws: Draws) -> CallPriority {
        let level = priority.index();
        let (low, high) = (self.share_below(level), self.share_below(level + 1));
        let place = low + (high - low).max(0.0) * draws.place;
        let quantile = match draws.lift < lift_rate {
            true => place.max(draws.lifted),
            false => place,
        };
        CallPriority {
            priority,
            quantile,
            is_compared: true,
        }
    }

    fn share_below(&self, level: usize) -> f32 {
        f32::from_bits(self.shares_below[level].load(Ordering::Relaxed))
    }
}

/// Returns the share below a level where all are equally frequent.
fn even_share(level: usize) -> f32 {
    level as f32 / ALL_LEVELS as f32
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{context::PriorityClass, priority::PrioritizerSettings, util::mix::stream};

    fn of(arrivals: &[(PriorityClass, u32)]) -> Distribution {
        let mut all = LevelCounts::new();
        for (class, calls) in arrivals {
            all.add(Priority::new(*class).index(), *calls);
        }
        let distribution = Distribution::new();
        distribution.replace(&all);
        distribution
    }

    /// Returns which part of the calls of a class stand at this quantile or above.
    fn served(
        distribution: &Distribution,
        class: PriorityClass,
        lift_rate: f32,
        quantile: f32,
    ) -> f32 {
        const CALLS: u64 = 40_000;
        let stands = |call| {
            let draws = Draws::new(stream(7, call));
            distribution
                .compare(class.into(), lift_rate, draws)
                .quantile
        };
        let served = (0..CALLS).filter(|call| stands(*call) >= quantile).count();
        served as f32 / CALLS as f32
    }

    #[test]
    fn lower_classes_are_shed_first_and_a_class_at_the_threshold_in_part() {
        use PriorityClass::{Bulk, Critical, High, Normal};
        let distribution = of(&[(Bulk, 50), (Normal, 30), (Critical, 20)]);
        for (class, expected) in [(Bulk, 0.0), (Normal, 2.0 / 3.0), (Critical, 1.0)] {
            let served = served(&distribution, class, 0.0, 0.6);
            assert!((served - expected).abs() < 0.01, "{class}: {served}");
        }
        let unknown = served(&distribution, High, 0.0, 0.6);
        assert_eq!(unknown, 1.0, "a class of which no call came lately");
    }

    #[test]
    fn floor_is_a_part_of_what_a_class_would_get_without_priorities() {
        use PriorityClass::{Bulk, Critical};
        let distribution = of(&[(Bulk, 90), (Critical, 10)]);
        for floor in [0.01, 0.05, 0.2, 0.5] {
            let settings = PrioritizerSettings {
                floor,
                ..PrioritizerSettings::default()
            };
            let lift_rate = settings.lift_rate();
            for threshold in [0.3, 0.6, 0.9] {
                let bulk = served(&distribution, Bulk, lift_rate, threshold);
                let critical = served(&distribution, Critical, lift_rate, threshold);
                assert!(critical > 0.99, "{floor} {threshold}: {critical}");
                let all = 0.9 * bulk + 0.1 * critical;
                let least = floor as f32 * all - 0.001;
                assert!(bulk >= least, "{floor} {threshold}: {bulk} of {all}");
            }
        }
    }

    #[test]
    fn first_calls_are_compared_as_if_all_levels_were_equally_frequent() {
        let distribution = Distribution::new();
        distribution.replace(&LevelCounts::new());
        let draws = Draws::new(0);
        let quantile = |class: PriorityClass| {
            let priority = Priority::new(class).with_level(50);
            distribution.compare(priority, 0.0, draws).quantile
        };
        assert_eq!(quantile(PriorityClass::Bulk), 0.1);
        assert_eq!(quantile(PriorityClass::Critical), 0.9);
    }

    proptest! {
        #[test]
        fn quantile_is_in_range_and_never_falls_with_the_level(
            calls in vec((0..ALL_LEVELS, 1..500_u32), 0..40),
            random: u64,
            lift_rate in 0.0..=1.0_f32,
        ) {
            let mut arrivals = LevelCounts::new();
            calls.into_iter().for_each(|(level, calls)| arrivals.add(level, calls));
            let distribution = Distribution::new();
            distribution.replace(&arrivals);
            let draws = Draws::new(random);
            let levels = PriorityClass::ALL.into_iter().flat_map(|class| {
                (0..100).map(move |level| Priority::new(class).with_level(level))
            });
            let mut last = 0.0;
            for priority in levels {
                let quantile = distribution.compare(priority, lift_rate, draws).quantile;
                prop_assert!((0.0..=1.0).contains(&quantile), "{}", quantile);
                prop_assert!(quantile >= last, "{} after {}", quantile, last);
                last = quantile;
            }
        }
    }
}
