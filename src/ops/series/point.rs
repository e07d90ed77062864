//! The points of rings: of one second, and merged into those of a longer time.

use std::num::NonZeroU64;

/// A summary of a series over a span of time. Points of adjacent spans merge into that of both.
pub trait Point: Clone {
    /// Adds what a later span, or the same span of another series, knows.
    fn merge(&mut self, later: &Self);

    /// Returns how many bytes the point has on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The amount that was added to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added(
    /// The amount and one more, so that a gap takes no byte of its own.
    NonZeroU64,
);

impl Added {
    /// Creates the point of a counter to which so much was added.
    pub fn new(added: u64) -> Self {
        Added(NonZeroU64::MIN.saturating_add(added))
    }

    /// Returns what was added.
    pub fn get(self) -> u64 {
        self.0.get() - 1
    }
}

impl Point for Added {
    fn merge(&mut self, later: &Self) {
        *self = Added::new(self.get().saturating_add(later.get()));
    }
}

/// The values of a gauge: the last one, the least, the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaugePoint {
    last: f64,
    min: f64,
    max: f64,
}

impl GaugePoint {
    /// Creates the point of a gauge that had one value.
    pub fn new(value: f64) -> Self {
        GaugePoint {
            last: value,
            min: value,
            max: value,
        }
    }

    /// Returns the value at the end.
    pub fn last(self) -> f64 {
        self.last
    }

    /// Returns the least value.
    pub fn min(self) -> f64 {
        self.min
    }

    /// Returns the largest value.
    pub fn max(self) -> f64 {
        self.max
    }
}

#[cfg(feature = "ops-sqlite")]
impl GaugePoint {
    /// Creates a point of these values.
    pub(super) fn of(last: f64, min: f64, max: f64) -> Self {
        GaugePoint { last, min, max }
    }
}

impl Point for GaugePoint {
    fn merge(&mut self, later: &Self) {
        self.last = later.last;
        // Both ignore `NaN`.
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_sums_up() {
        let mut point = Added::new(0);
        assert_eq!(point.get(), 0);
        point.merge(&Added::new(2));
        point.merge(&Added::new(3));
        assert_eq!(point.get(), 5);
        point.merge(&Added::new(u64::MAX));
        assert_eq!(point.get(), u64::MAX - 1, "saturates");
        assert_eq!(point.heap_bytes(), 0);
        assert_eq!(size_of::<Option<Added>>(), 8);
    }

    #[test]
    fn gauge_point_keeps_last_min_and_max() {
        let mut point = GaugePoint::new(2.0);
        point.merge(&GaugePoint::new(7.0));
        point.merge(&GaugePoint::new(1.0));
        point.merge(&GaugePoint::new(f64::NAN));
        point.merge(&GaugePoint::new(3.0));
        assert_eq!((point.last(), point.min(), point.max()), (3.0, 1.0, 7.0));
    }
}
