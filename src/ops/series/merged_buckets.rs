use super::{
    PackedHistogram,
    buckets::{BUCKETS, middle_of},
};

/// All buckets, to merge many histograms into without moving any.
#[derive(Debug)]
pub(super) struct MergedBuckets {
    counts: Box<[u64]>,
    /// The buckets that may have values.
    used: std::ops::Range<usize>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Default for MergedBuckets {
    fn default() -> Self {
        MergedBuckets {
            counts: Box::new([0; BUCKETS]),
            used: 0..0,
            count: 0,
            sum: 0.0,
        }
    }
}

impl MergedBuckets {
    pub(super) fn clear(&mut self) {
        self.counts[self.used.clone()].fill(0);
        (self.used, self.count, self.sum) = (0..0, 0, 0.0);
    }

    pub(super) fn add(&mut self, histogram: &PackedHistogram) {
        let mut count = 0;
        let (mut first, mut last) = (None, 0);
        for (index, added) in histogram.buckets() {
            let index = usize::from(index);
            first = first.or(Some(index));
            last = index;
            self.counts[index] += added;
            count += added;
        }
        if let Some(first) = first {
            self.used = match self.used.is_empty() {
                true => first..last + 1,
                false => self.used.start.min(first)..self.used.end.max(last + 1),
            };
        }
        self.count += count;
        self.sum += histogram.sum();
    }

    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        let mut used = self.used.clone();
        let at = used.find(|index| {
            below += self.counts[*index];
            below >= rank
        });
        at.map(|index| middle_of(index as u16))
    }
}
