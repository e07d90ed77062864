use std::{
    array,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    bounds::Bounds,
    exemplars::{Exemplar, Exemplars},
    gauge_cell::add,
    pulse::Pulse,
};
use crate::{
    ops::series::Histogram,
    util::{
        log_linear::{BUCKETS, BUCKETS_PER_OCTAVE, OCTAVES, bucket_of},
        shards::shard_count,
        thread_slot::thread_slot,
    },
};

/// The values of a histogram: log-linear buckets, of which the exact counts of the exposed bounds follow.
///
/// A value adds to its log-linear bucket. If a bound is in that bucket and the value is above it, the value also adds to the
/// count that belongs to the bound: so the counts up to a bound are exact, and most values add to one number only.
#[derive(Debug)]
pub(super) struct HistogramCell {
    bounds: Arc<Bounds>,
    pulse: Arc<Pulse>,
    exemplars: Exemplars,
    /// Of all threads, until the histogram is spread.
    first: Box<Shard>,
    others: OnceLock<Box<[OnceLock<Box<Shard>>]>>,
}

type Octave = [AtomicU64; BUCKETS_PER_OCTAVE];

/// The counts of some threads.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    sum: AtomicU64,
    underflow: AtomicU64,
    overflow: AtomicU64,
    /// Each allocated when it gets its first value.
    octaves: [OnceLock<Box<Octave>>; OCTAVES],
    /// For each bound, the values of its log-linear bucket that are above it and not above the next one.
    above: Box<[AtomicU64]>,
}

/// The values up to each bound of a histogram, and of all. Its memory serves one histogram after the other.
#[derive(Debug, Default)]
pub(super) struct BoundCounts {
    up_to: Vec<u64>,
    above: Vec<u64>,
}

impl Shard {
    fn new(bounds: usize) -> Box<Self> {
        Box::new(Shard {
            sum: AtomicU64::new(0),
            underflow: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
            octaves: array::from_fn(|_| OnceLock::new()),
            above: (0..bounds).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    #[inline]
    fn bucket(&self, index: u16) -> &AtomicU64 {
        let index = usize::from(index);
        if index == 0 {
            return &self.underflow;
        }
        match self.octaves.get((index - 1) / BUCKETS_PER_OCTAVE) {
            None => &self.overflow,
            Some(octave) => {
                let octave = octave.get_or_init(|| Box::new(array::from_fn(|_| AtomicU64::new(0))));
                &octave[(index - 1) % BUCKETS_PER_OCTAVE]
            }
        }
    }

    /// Visits the buckets that have values, in ascending order.
    fn for_each_bucket(&self, mut visit: impl FnMut(u16, u64)) {
        let mut visit = |index, number: &AtomicU64| match number.load(Ordering::Relaxed) {
            0 => {}
            count => visit(index, count),
        };
        visit(0, &self.underflow);
        for (at, octave) in self.octaves.iter().enumerate() {
            if let Some(octave) = octave.get() {
                let first = (at * BUCKETS_PER_OCTAVE + 1) as u16;
                (first..)
                    .zip(&**octave)
                    .for_each(|(index, number)| visit(index, number));
            }
        }
        visit(BUCKETS as u16 - 1, &self.overflow);
    }

    fn heap_bytes(&self) -> usize {
        let octaves = self
            .octaves
            .iter()
            .filter(|octave| octave.get().is_some())
            .count();
        size_of::<Shard>() + octaves * size_of::<Octave>() + size_of_val(&*self.above)
    }
}

impl HistogramCell {
    pub(super) fn new(bounds: Arc<Bounds>, pulse: Arc<Pulse>) -> Self {
        let count = bounds.values().len();
        HistogramCell {
            bounds,
            pulse,
            // One more, for the values above the last bound.
            exemplars: Exemplars::new(count + 1),
            first: Shard::new(count),
            others: OnceLock::new(),
        }
    }

    #[inline]
    fn shard(&self) -> &Shard {
        match self.others.get() {
            None => &self.first,
            Some(others) => self.own_shard(others),
        }
    }

    fn own_shard<'a>(&'a self, others: &'a [OnceLock<Box<Shard>>]) -> &'a Shard {
        // The number of shards, the first one included, is a power of two.
        match thread_slot() & others.len() {
            0 => &self.first,
            number => others[number - 1].get_or_init(|| Shard::new(self.bounds.values().len())),
        }
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        let others = self.others.get().map_or(&[][..], |others| others);
        let others = others.iter().filter_map(|shard| Some(&**shard.get()?));
        [&*self.first].into_iter().chain(others)
    }

    #[inline]
    fn add(&self, value: f64, count: u64) {
        if value.is_nan() {
            metrics::CounterFn::increment(&*self.pulse.ignored, count);
            return;
        }
        let index = bucket_of(value);
        let shard = self.shard();
        shard.bucket(index).fetch_add(count, Ordering::Relaxed);
        let (place, is_above) = self.bounds.place_of(index, value);
        if is_above {
            // After the bucket, so that those above a bound are seldom seen to be more than there are.
            shard.above[place - 1].fetch_add(count, Ordering::Relaxed);
        }
        if value.is_finite() {
            add(&shard.sum, value * count as f64);
        }
        self.exemplars.offer(place, self.pulse.turn(), value);
    }

    /// Lets threads add to counts of their own from now on: for a histogram that is busy.
    pub(super) fn spread(&self) {
        let others = shard_count() - 1;
        if others > 0 {
            self.others
                .get_or_init(|| (0..others).map(|_| OnceLock::new()).collect());
        }
    }

    /// Counts the values up to each bound, exactly; the last count is that of all values.
    pub(super) fn count_by_bound<'a>(&self, counts: &'a mut BoundCounts) -> &'a [u64] {
        let BoundCounts { up_to, above } = counts;
        let bounds = self.bounds.values().len();
        reset(above, bounds);
        reset(up_to, bounds + 1);
        // Before the buckets: see `add`.
        for shard in self.shards() {
            for (sum, count) in above.iter_mut().zip(&shard.above) {
                add_to(sum, count.load(Ordering::Relaxed));
            }
        }
        // As if each value were at most the first bound that its bucket has.
        for shard in self.shards() {
            shard.for_each_bucket(|index, count| {
                add_to(&mut up_to[self.bounds.before(index)], count);
            });
        }
        for (place, above) in above.iter().enumerate() {
            let counted = self.bounds.first_in_bucket(place);
            let moved = (*above).min(up_to[counted]);
            up_to[counted] -= moved;
            add_to(&mut up_to[place + 1], moved);
        }
        let mut sum = 0;
        for count in up_to.iter_mut() {
            add_to(&mut sum, *count);
            *count = sum;
        }
        up_to
    }

    /// Returns the log-linear buckets.
    pub(super) fn histogram(&self) -> Histogram {
        let shards: Vec<_> = self.shards().collect();
        let total = |number: fn(&Shard) -> &AtomicU64| -> u64 {
            shards
                .iter()
                .map(|shard| number(shard).load(Ordering::Relaxed))
                .sum()
        };
        let mut buckets = vec![(0, total(|shard| &shard.underflow))];
        for octave in 0..OCTAVES {
            let mut counts = [0; BUCKETS_PER_OCTAVE];
            let parts = shards
                .iter()
                .filter_map(|shard| shard.octaves[octave].get());
            parts.for_each(|part| {
                counts
                    .iter_mut()
                    .zip(&**part)
                    .for_each(|(sum, count)| *sum += count.load(Ordering::Relaxed));
            });
            let first = octave * BUCKETS_PER_OCTAVE + 1;
            buckets.extend((first as u16..).zip(counts).filter(|(_, count)| *count > 0));
        }
        buckets.push((BUCKETS as u16 - 1, total(|shard| &shard.overflow)));
        Histogram::from_buckets(buckets, self.sum(), 0)
    }

    /// Returns the sum of the finite values.
    pub(super) fn sum(&self) -> f64 {
        self.shards()
            .map(|shard| f64::from_bits(shard.sum.load(Ordering::Relaxed)))
            .sum()
    }

    pub(super) fn bounds(&self) -> &[f64] {
        self.bounds.values()
    }

    /// Returns the latest exemplar of the values up to a bound; beyond the last one, of those above it.
    pub(super) fn exemplar(&self, place: usize) -> Option<Exemplar> {
        self.exemplars.get(place)
    }

    /// Returns the bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let shards: usize = self.shards().map(Shard::heap_bytes).sum();
        let others = self.others.get().map_or(0, |others| size_of_val(&**others));
        shards + others + self.exemplars.heap_bytes()
    }
}

fn reset(counts: &mut Vec<u64>, len: usize) {
    counts.clear();
    counts.resize(len, 0);
}

/// Adds without an overflow, which `record_many` makes possible.
fn add_to(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

impl metrics::HistogramFn for HistogramCell {
    #[inline]
    fn record(&self, value: f64) {
        self.add(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.add(value, count as u64);
    }
}

#[cfg(test)]
mod tests {
    use metrics::HistogramFn;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn cell(bounds: &[f64]) -> HistogramCell {
        HistogramCell::new(
            Arc::new(Bounds::new(bounds)),
            Arc::new(Pulse::new(Arc::default())),
        )
    }

    /// The counts up to the bounds, without that of all.
    fn up_to(cell: &HistogramCell) -> Vec<u64> {
        let mut counts = BoundCounts::default();
        let counts = cell.count_by_bound(&mut counts);
        counts[..cell.bounds().len()].to_vec()
    }

    #[test]
    fn counts_up_to_a_bound_include_the_bound() {
        let cell = cell(&[1.0, 2.0, 2.01, 4.0]);
        for value in [1.0, 1.0f64.next_up(), 2.0, 2.005, 2.01, 2.02, 4.0, 5.0] {
            cell.record(value);
        }
        assert_eq!(up_to(&cell), [1, 3, 5, 7]);
        assert_eq!(cell.histogram().count(), 8);
    }

    #[test]
    fn odd_values_are_counted() {
        let cell = cell(&[0.0, 1e13]);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -3.0, 1e13, 1e14] {
            cell.record(value);
        }
        cell.record_many(0.5, 3);
        cell.record_many(f64::NAN, 2);
        assert_eq!(up_to(&cell), [2, 6]);
        assert_eq!(cell.histogram().count(), 8);
        assert_eq!(cell.pulse.ignored.get(), 3);
        assert_eq!(cell.sum(), 1.1e14 - 1.5);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn counts_saturate() {
        let cell = cell(&[1.0, 2.0]);
        cell.record_many(0.5, usize::MAX);
        cell.record_many(1.5, usize::MAX);
        assert_eq!(up_to(&cell), [u64::MAX; 2]);
        assert_eq!(cell.histogram().count(), u64::MAX);
    }

    #[test]
    fn histogram_counts_before_and_after_it_is_spread() {
        let cell = cell(&[1.0]);
        let before = cell.heap_bytes();
        cell.record(0.5);
        assert_eq!(cell.heap_bytes(), before + 256, "an octave");
        cell.spread();
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(|| cell.record(2.0))));
        });
        cell.record(0.5);
        assert_eq!(up_to(&cell), [2]);
        assert_eq!(cell.histogram().count(), 6);
        assert_eq!(cell.sum(), 9.0);
    }

    proptest! {
        #[test]
        fn counts_up_to_bounds_are_exact(
            mut bounds in vec(prop_oneof![-2.0..3.0f64, 1.0..1.1f64, 1e11..1e13f64], 0..20),
            values in vec(prop_oneof![-2.0..3.0f64, 1.0..1.1f64, 1e11..1e13f64], 0..99),
        ) {
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            let cell = cell(&bounds);
            let values: Vec<_> = values.iter().chain(&bounds).copied().collect();
            for (at, value) in values.iter().enumerate() {
                if at == 20 {
                    cell.spread();
                }
                cell.record(*value);
            }
            let exact: Vec<_> = bounds
                .iter()
                .map(|bound| values.iter().filter(|value| *value <= bound).count() as u64)
                .collect();
            prop_assert_eq!(up_to(&cell), exact);
            prop_assert_eq!(cell.histogram().count(), values.len() as u64);
        }

        #[test]
        fn histogram_is_that_of_the_snapshot_type(values in vec(-1.0..1e3f64, 0..99)) {
            let (cell, mut expected) = (cell(&[0.5, 5.0]), Histogram::new());
            for value in values {
                cell.record(value);
                expected.record(value);
            }
            prop_assert_eq!(cell.histogram(), expected);
        }
    }
}
