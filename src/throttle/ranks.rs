//! Ranks, among the calls of a throttle, of those that a prioritizer has compared. Pure.

/// Finer than the classes, and soon filled.
const BUCKETS: usize = 128;
/// The weight of a call that has just come, so that older ones still count when they are halved.
const WEIGHT: u32 = 256;
/// The calls from which on the older ones count half.
const MAX_CALLS: u32 = 1_024;

/// The recent quantiles of a throttle's calls, as a histogram.
///
/// A prioritizer knows where a call stands among its own calls. Those that come to the throttle may be a part of them: one class only,
/// or what the prioritizer has not shed. Ranks are even among the calls of the throttle, whichever these are.
#[derive(Debug)]
pub(super) struct Ranks {
    buckets: Box<[u32; BUCKETS]>,
    total: u32,
}

impl Ranks {
    pub(super) fn new() -> Self {
        Ranks {
            buckets: Box::new([0; BUCKETS]),
            total: 0,
        }
    }

    /// Adds a call, and returns its rank: the share of recent calls that stand below it, from 0 up to 1. A random number decides among
    /// those of the same bucket.
    pub(super) fn rank(&mut self, quantile: f32, random: f64) -> f64 {
        let bucket = ((quantile * BUCKETS as f32) as usize).min(BUCKETS - 1);
        self.buckets[bucket] += WEIGHT;
        self.total += WEIGHT;
        if self.total > MAX_CALLS * WEIGHT {
            self.buckets.iter_mut().for_each(|weight| *weight /= 2);
            self.total = self.buckets.iter().sum();
        }
        let below: u32 = self.buckets[..bucket].iter().sum();
        // The call itself is in the bucket: the first one ever has any rank.
        let within = random * f64::from(self.buckets[bucket]);
        (f64::from(below) + within) / f64::from(self.total)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::util::mix::draw;

    /// Returns the ranks of so many calls, whose quantiles are drawn from a range.
    fn ranks(from: f32, to: f32, calls: u64) -> Vec<(f32, f64)> {
        let mut ranks = Ranks::new();
        let calls = (0..calls).map(|call| {
            let quantile = from + (to - from) * draw(1, call) as f32;
            (quantile, ranks.rank(quantile, draw(2, call)))
        });
        calls.collect()
    }

    #[test]
    fn ranks_are_even_whichever_part_of_the_quantiles_comes() {
        for (from, to) in [(0.0, 1.0), (0.0, 0.05), (0.9, 1.0), (0.5, 0.5), (1.0, 1.0)] {
            let ranks = ranks(from, to, 4_000);
            for tenth in 1..10 {
                let threshold = f64::from(tenth) / 10.0;
                let below = ranks.iter().filter(|(_, rank)| *rank < threshold);
                let share = below.count() as f64 / 4_000.0;
                assert!((share - threshold).abs() < 0.03, "{from} {to}: {share}");
            }
        }
    }

    #[test]
    fn ranks_follow_the_quantiles_and_the_newer_calls() {
        let calls = ranks(0.2, 0.6, 4_000);
        for (quantile, rank) in &calls[1_000..] {
            let expected = (f64::from(*quantile) - 0.2) / 0.4;
            assert!((rank - expected).abs() < 0.1, "{rank} for {expected}");
        }
        let mut ranks = Ranks::new();
        (0..2_000).for_each(|_| _ = ranks.rank(0.9, 0.5));
        (0..8_000).for_each(|_| _ = ranks.rank(0.1, 0.5));
        assert!(ranks.rank(0.5, 0.5) > 0.95, "the others are forgotten");
    }

    proptest! {
        #[test]
        fn rank_is_in_range_whatever_comes(
            calls in prop::collection::vec((any::<f32>(), 0.0..1.0_f64), 1..3_000),
        ) {
            let mut ranks = Ranks::new();
            for (quantile, random) in calls {
                let rank = ranks.rank(quantile, random);
                prop_assert!((0.0..1.0).contains(&rank), "{}", rank);
            }
        }
    }
}
