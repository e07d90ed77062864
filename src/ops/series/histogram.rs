use super::rank::{rank_of, value_of_rank};
use crate::util::log_linear::{bucket_of, middle_of};

/// Counts of values in log-linear buckets, 32 per power of two: a snapshot that can be merged and subtracted.
///
/// Values from 1e-9 to 1e12 have buckets. Smaller ones, zero and negative values included, are in the underflow bucket, which
/// stands for 0; larger ones are in the overflow bucket. `NaN` is ignored, and [counted](Histogram::ignored). Infinite values
/// count, but are not part of the sum.
///
/// Memory: 16 bytes per bucket that has values.
///
/// ```
/// use tower_keep::ops::series::Histogram;
///
/// let mut seconds = Histogram::new();
/// for millis in 1..=100 {
///     seconds.record(f64::from(millis) / 1_000.0);
/// }
/// assert_eq!(seconds.count(), 100);
/// let median = seconds.quantile(0.5).expect("there are values");
/// assert!((median - 0.05).abs() <= 0.05 * 0.016);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Ascending by index; no count is zero.
    buckets: Vec<(u16, u64)>,
    count: u64,
    sum: f64,
    ignored: u64,
}

impl Histogram {
    /// Creates a histogram without values.
    ///
    /// ```
    /// use tower_keep::ops::series::Histogram;
    ///
    /// assert_eq!(Histogram::new().quantile(0.5), None);
    /// ```
    pub fn new() -> Self {
        Histogram::default()
    }

    /// Creates a histogram of ascending buckets; those without values are left out.
    pub(crate) fn from_buckets(
        buckets: impl IntoIterator<Item = (u16, u64)>,
        sum: f64,
        ignored: u64,
    ) -> Self {
        let buckets: Vec<_> = buckets
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        debug_assert!(buckets.is_sorted_by(|(a, _), (b, _)| a < b));
        let count = total(&buckets);
        Histogram {
            buckets,
            count,
            sum,
            ignored,
        }
    }

    /// Adds a value.
    pub fn record(&mut self, value: f64) {
        if value.is_nan() {
            self.ignored += 1;
            return;
        }
        let index = bucket_of(value);
        match self
            .buckets
            .binary_search_by_key(&index, |(index, _)| *index)
        {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (index, 1)),
        }
        self.count += 1;
        if value.is_finite() {
            self.sum += value;
        }
    }

    /// Adds the values of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        let mut merged = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut left, mut right) = (
            self.buckets.iter().peekable(),
            other.buckets.iter().peekable(),
        );
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.0 == b.0 => {
                    let sum = (a.0, a.1.saturating_add(b.1));
                    left.next();
                    right.next();
                    Some(sum)
                }
                (Some(a), Some(b)) if a.0 < b.0 => left.next().copied(),
                (Some(_), None) => left.next().copied(),
                (_, Some(_)) => right.next().copied(),
                (None, None) => None,
            };
            match next {
                Some(bucket) => merged.push(bucket),
                None => break,
            }
        }
        self.buckets = merged;
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.ignored = self.ignored.saturating_add(other.ignored);
    }

    /// Returns what was added since an earlier snapshot of the same histogram.
    ///
    /// A bucket that has fewer values than before counts as empty.
    #[must_use]
    pub fn minus(&self, earlier: &Histogram) -> Histogram {
        let mut before = earlier.buckets.iter().copied().peekable();
        let added = self.buckets.iter().map(|&(index, count)| {
            while before.next_if(|(other, _)| *other < index).is_some() {}
            let known = before.next_if(|(other, _)| *other == index);
            (
                index,
                count.saturating_sub(known.map_or(0, |(_, count)| count)),
            )
        });
        let ignored = self.ignored.saturating_sub(earlier.ignored);
        Histogram::from_buckets(added, self.sum - earlier.sum, ignored)
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum of the finite values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns how many values were not numbers.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the average of the values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Returns the least value, to the precision of a bucket.
    pub fn min(&self) -> Option<f64> {
        self.buckets.first().map(|(index, _)| middle_of(*index))
    }

    /// Returns the largest value, to the precision of a bucket.
    pub fn max(&self) -> Option<f64> {
        self.buckets.last().map(|(index, _)| middle_of(*index))
    }

    /// Returns the value that a fraction `q` of the values does not exceed, at most 1.6 % off.
    ///
    /// `None` if there are no values, or `q` is not 0 to 1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = rank_of(q, self.count);
        value_of_rank(self.buckets.iter().copied(), rank)
    }

    /// Returns the buckets that have values: index, ascending, and count.
    pub(crate) fn buckets(&self) -> &[(u16, u64)] {
        &self.buckets
    }
}

fn total(buckets: &[(u16, u64)]) -> u64 {
    buckets
        .iter()
        .fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    fn merged(a: &Histogram, b: &Histogram) -> Histogram {
        let mut sum = a.clone();
        sum.merge(b);
        sum
    }

    #[test]
    fn empty_histogram_has_no_figures() {
        let empty = Histogram::new();
        assert!(empty.is_empty());
        assert_eq!(
            (empty.mean(), empty.min(), empty.max(), empty.quantile(0.5)),
            (None, None, None, None)
        );
        assert_eq!((empty.count(), empty.sum(), empty.ignored()), (0, 0.0, 0));
    }

    #[test]
    fn odd_values_are_counted_where_they_belong() {
        let histogram = of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0, 0.0, 1.0]);
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.ignored(), 1);
        assert_eq!(histogram.sum(), -1.0);
        assert_eq!(histogram.min(), Some(0.0));
        assert_eq!(histogram.max(), Some(2f64.powi(40)));
        assert_eq!(histogram.mean(), Some(-0.2));
        assert!(!histogram.is_empty());
    }

    #[test]
    fn quantile_is_that_of_the_rank() {
        let histogram = of(&[1.0, 2.0, 4.0, 8.0]);
        let is_near = |q, expected: f64| {
            let value = histogram.quantile(q).expect("there are values");
            assert!((value - expected).abs() <= expected / 64.0, "{q}: {value}");
        };
        is_near(0.0, 1.0);
        is_near(0.25, 1.0);
        is_near(0.26, 2.0);
        is_near(0.5, 2.0);
        is_near(0.75, 4.0);
        is_near(0.751, 8.0);
        is_near(1.0, 8.0);
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(histogram.quantile(q), None, "{q}");
        }
    }

    #[test]
    fn minus_counts_a_bucket_with_fewer_values_as_empty() {
        let earlier = of(&[1.0, 1.0, 2.0, f64::NAN]);
        let now = of(&[1.0, 2.0, 2.0, 4.0]);
        let added = now.minus(&earlier);
        assert_eq!(added.buckets(), of(&[2.0, 4.0]).buckets());
        assert_eq!((added.count(), added.ignored()), (2, 0));
        assert_eq!(added.sum(), 5.0);
    }

    /// The exact quantile: the value of the rank.
    fn exact(values: &mut [f64], q: f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let rank = ((values.len() as f64 * q).ceil() as usize).clamp(1, values.len());
        values[rank - 1]
    }

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        // All magnitudes alike.
        vec(
            (-9.0..12.0f64).prop_map(|exponent| 10f64.powf(exponent)),
            1..200,
        )
    }

    proptest! {
        #[test]
        fn quantile_is_within_the_error_bound(mut values in numbers(), q in 0.0..=1.0f64) {
            let found = of(&values).quantile(q).expect("there are values");
            let exact = exact(&mut values, q);
            prop_assert!((found - exact).abs() <= exact / 64.0, "{} for {}", found, exact);
        }

        #[test]
        fn merge_counts_as_one_histogram_would(a in numbers(), b in numbers()) {
            let sum = merged(&of(&a), &of(&b));
            let all = of(&[a, b].concat());
            prop_assert_eq!(sum.buckets(), all.buckets());
            prop_assert_eq!(sum.count(), all.count());
            prop_assert!((sum.sum() - all.sum()).abs() <= all.sum() * 1e-12);
        }

        #[test]
        fn merge_is_associative_and_commutative(a in numbers(), b in numbers(), c in numbers()) {
            let (a, b, c) = (of(&a), of(&b), of(&c));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            let (left, right) = (merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(left.buckets(), right.buckets());
            prop_assert_eq!(left.count(), right.count());
        }

        #[test]
        fn minus_undoes_merge(a in numbers(), b in numbers()) {
            let (a, b) = (of(&a), of(&b));
            let added = merged(&a, &b).minus(&a);
            prop_assert_eq!(added.buckets(), b.buckets());
            prop_assert_eq!(added.count(), b.count());
        }
    }
}
