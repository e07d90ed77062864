use std::{collections::BTreeMap, time::Duration};

use crate::util::log_linear::{bucket_of, middle_of};

/// The times of calls, in a histogram: each is at most 1/64 away from the middle of its bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CallTimes {
    /// The number of calls of each bucket that is not empty: few, since the times of a slice are much alike.
    buckets: BTreeMap<u16, u64>,
}

impl CallTimes {
    pub(super) fn record(&mut self, time: Duration) {
        *self
            .buckets
            .entry(bucket_of(time.as_secs_f64()))
            .or_default() += 1;
    }

    /// Adds the times of other calls.
    pub(super) fn add(&mut self, other: &CallTimes) {
        for (&bucket, &calls) in &other.buckets {
            *self.buckets.entry(bucket).or_default() += calls;
        }
    }

    /// Returns the time within which this fraction of the calls ended, of 0 to 1. Zero if there was none.
    pub(super) fn percentile(&self, fraction: f64) -> Duration {
        let calls: u64 = self.buckets.values().sum();
        // The first call at least; the last one at most, also where the fraction is not a number.
        let rank = (fraction * calls as f64).ceil() as u64;
        let mut left = rank.clamp(1, calls.max(1));
        for (&bucket, &calls) in &self.buckets {
            if left <= calls {
                return Duration::from_secs_f64(middle_of(bucket));
            }
            left -= calls;
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_nothing_have_no_percentile() {
        for fraction in [f64::NAN, -1.0, 0.0, 0.5, 1.0, 2.0] {
            assert_eq!(CallTimes::default().percentile(fraction), Duration::ZERO);
        }
    }

    proptest! {
        #[test]
        fn percentile_is_that_of_the_sorted_times(
            millis in prop::collection::vec(1..100_000_u64, 1..200),
            split in 0..200_usize,
            fraction in 0.0..=1.0_f64,
        ) {
            let (mut times, mut others) = (CallTimes::default(), CallTimes::default());
            for (index, &millis) in millis.iter().enumerate() {
                let into = if index < split { &mut times } else { &mut others };
                into.record(Duration::from_millis(millis));
            }
            times.add(&others);
            let mut sorted = millis;
            sorted.sort_unstable();
            let rank = ((fraction * sorted.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1] as f64 / 1_000.0;
            let found = times.percentile(fraction).as_secs_f64();
            prop_assert!((found / exact - 1.0).abs() <= 1.0 / 64.0, "{found} for {exact}");
        }
    }
}
