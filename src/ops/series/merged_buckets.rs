use std::ops::Range;

use super::{PackedHistogram, rank::rank_of};
use crate::util::log_linear::{BUCKETS, middle_of};

/// All buckets, to merge many histograms into without moving any.
#[derive(Debug)]
pub(super) struct MergedBuckets {
    counts: Box<[u64]>,
    /// The buckets that may have values.
    used: Range<usize>,
    count: u64,
}

impl Default for MergedBuckets {
    fn default() -> Self {
        MergedBuckets {
            counts: Box::new([0; BUCKETS]),
            used: 0..0,
            count: 0,
        }
    }
}

impl MergedBuckets {
    pub(super) fn clear(&mut self) {
        self.counts[self.used.clone()].fill(0);
        (self.used, self.count) = (0..0, 0);
    }

    pub(super) fn add(&mut self, histogram: &PackedHistogram) {
        let (mut first, mut last) = (None, 0);
        for (index, count) in histogram.buckets() {
            let index = usize::from(index);
            first = first.or(Some(index));
            last = index;
            self.counts[index] = self.counts[index].saturating_add(count);
        }
        if let Some(first) = first {
            self.used = match self.used.is_empty() {
                true => first..last + 1,
                false => self.used.start.min(first)..self.used.end.max(last + 1),
            };
        }
        self.count = self.count.saturating_add(histogram.count());
    }

    /// Returns the value that a fraction `q` of the values, 0 to 1, does not exceed. It is looked for from the nearer end.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let rank = rank_of(q, self.count);
        let counts = &self.counts[self.used.clone()];
        let at = if rank <= self.count / 2 {
            let mut not_above: u64 = 0;
            counts.iter().position(|count| {
                not_above = not_above.saturating_add(*count);
                not_above >= rank
            })
        } else {
            let mut not_above = self.count;
            counts.iter().rposition(|count| {
                not_above = not_above.saturating_sub(*count);
                not_above < rank
            })
        };
        at.map(|at| middle_of((self.used.start + at) as u16))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::ops::series::Histogram;

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn merged_buckets_are_empty_when_they_are_cleared() {
        let mut merged = MergedBuckets::default();
        assert_eq!(merged.quantile(0.5), None);
        merged.add(&PackedHistogram::new(&of(&[1.0, 1e9])));
        merged.clear();
        assert_eq!(merged.quantile(0.5), None);
        assert!(merged.counts.iter().all(|count| *count == 0));
    }

    #[test]
    fn merged_buckets_saturate() {
        let mut merged = MergedBuckets::default();
        let full = Histogram::from_buckets([(7, u64::MAX), (9, u64::MAX)], 0.0, 0);
        (0..2).for_each(|_| merged.add(&PackedHistogram::new(&full)));
        for q in [0.0, 0.5, 1.0] {
            assert!(merged.quantile(q).is_some(), "{q}");
        }
    }

    proptest! {
        #[test]
        fn merged_buckets_have_the_quantiles_of_the_merged_histogram(
            parts in vec(vec(-1.0..1e3f64, 0..30), 1..5),
            q in 0.0..=1.0f64,
        ) {
            let (mut merged, mut expected) = (MergedBuckets::default(), Histogram::new());
            for part in &parts {
                merged.add(&PackedHistogram::new(&of(part)));
                expected.merge(&of(part));
            }
            prop_assert_eq!(merged.quantile(q), expected.quantile(q));
        }
    }
}
