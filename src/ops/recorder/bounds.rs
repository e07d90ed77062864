use crate::util::log_linear::{BUCKETS, bucket_of};

/// The upper bounds of the exposed buckets of a histogram, and where they lie among the log-linear buckets.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Ascending and finite.
    values: Box<[f64]>,
    /// For each log-linear bucket, how many bounds are in buckets before it.
    before: Box<[u8]>,
}

impl Bounds {
    /// More bounds would not fit the table.
    pub(super) const MAX: usize = 200;

    /// Creates the bounds from values that ascend and are finite, at most 200.
    pub(super) fn new(values: &[f64]) -> Self {
        debug_assert!(values.len() <= Bounds::MAX);
        let mut before = vec![0; BUCKETS].into_boxed_slice();
        for value in values {
            before[usize::from(bucket_of(*value)) + 1..]
                .iter_mut()
                .for_each(|count| *count += 1);
        }
        Bounds {
            values: values.into(),
            before,
        }
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns how many bounds are in buckets before this one.
    #[inline]
    pub(super) fn before(&self, index: u16) -> usize {
        usize::from(self.before[usize::from(index)])
    }

    /// Returns the place of the first bound that is in the same bucket as the bound of a place.
    pub(super) fn first_in_bucket(&self, place: usize) -> usize {
        self.before(bucket_of(self.values[place]))
    }

    /// Returns the first bound that is at least the value, as its place, and whether an earlier bound is in the value's bucket.
    #[inline]
    pub(super) fn place_of(&self, index: u16, value: f64) -> (usize, bool) {
        let first = self.before(index);
        let mut place = first;
        while self.values.get(place).is_some_and(|bound| *bound < value) {
            place += 1;
        }
        (place, place > first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn place_is_that_of_the_first_bound_that_is_not_less(
            mut bounds in vec(prop_oneof![-2.0..3.0f64, 1.0..1.1f64, 1e11..1e13f64], 0..20),
            values in vec(prop_oneof![-2.0..3.0f64, 1.0..1.1f64, 1e11..1e13f64], 1..20),
        ) {
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            let table = Bounds::new(&bounds);
            prop_assert_eq!(table.values(), &bounds);
            for value in values.iter().chain(&bounds) {
                let index = bucket_of(*value);
                let expected = bounds.iter().take_while(|bound| *bound < value).count();
                let in_bucket = bounds[..expected].iter().any(|bound| bucket_of(*bound) == index);
                prop_assert_eq!(table.place_of(index, *value), (expected, in_bucket));
            }
        }
    }
}
