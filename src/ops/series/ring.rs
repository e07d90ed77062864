use std::collections::VecDeque;

use super::point::Point;

/// The latest points of one resolution, at most so many. Spans without a point stay gaps.
///
/// A span is numbered: that of the Unix time `t` at a resolution of 10 s has the number `t / 10`.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    /// Grows up to `max`, so that a series that is new or short-lived takes little.
    points: VecDeque<Option<T>>,
    max: usize,
    /// The number of the last span, if there is a point.
    last: Option<u64>,
}

impl<T: Point> Ring<T> {
    /// Creates a ring of at most `max` points, at least 1.
    pub fn new(max: usize) -> Self {
        Ring {
            points: VecDeque::new(),
            max: max.max(1),
            last: None,
        }
    }

    /// Adds the point of a span. One of the last span or of an earlier one, as after a clock was set back, is merged into the
    /// last point.
    pub fn push(&mut self, span: u64, point: T) {
        let Some(last) = self.last else {
            self.points.push_back(Some(point));
            self.last = Some(span);
            return;
        };
        if span <= last {
            match self.points.back_mut() {
                Some(Some(kept)) => kept.merge(&point),
                _ => unreachable!("the last span has a point"),
            }
            return;
        }
        let gaps = span - last - 1;
        if gaps >= self.max as u64 {
            self.points.clear();
        } else {
            for _ in 0..gaps {
                self.push_slot(None);
            }
        }
        self.push_slot(Some(point));
        self.last = Some(span);
    }

    fn push_slot(&mut self, slot: Option<T>) {
        if self.points.len() == self.max {
            self.points.pop_front();
        }
        self.points.push_back(slot);
    }

    /// Returns the point of a span.
    pub fn get(&self, span: u64) -> Option<&T> {
        let back = self.last?.checked_sub(span)?;
        let at = (self.points.len() as u64).checked_sub(back + 1)?;
        self.points.get(usize::try_from(at).ok()?)?.as_ref()
    }

    /// Returns the number of the first span, which may have been forgotten if the ring is full.
    pub fn first(&self) -> Option<u64> {
        // Saturates, since a ring may hold less than it spans after a long gap.
        Some((self.last? + 1).saturating_sub(self.points.len() as u64))
    }

    /// Returns the number of the last span that has a point.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Returns the number of points and gaps.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Returns whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Returns the merged point of all spans from `first` up to `last`, and how many of them have a point.
    pub fn merged(&self, first: u64, last: u64) -> Option<(T, u64)> {
        let from = first.max(self.first()?);
        let points = (from..=last.min(self.last?)).filter_map(|span| self.get(span));
        points.fold(None, |sum, point| match sum {
            None => Some((point.clone(), 1)),
            Some((mut sum, spans)) => {
                sum.merge(point);
                Some((sum, spans + 1))
            }
        })
    }

    /// Returns the bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let points = self.points.iter().flatten().map(Point::heap_bytes);
        self.points.capacity() * size_of::<Option<T>>() + points.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::series::{Added, Histogram, PackedHistogram};

    fn counts(ring: &Ring<Added>, spans: std::ops::RangeInclusive<u64>) -> Vec<Option<u64>> {
        spans
            .map(|span| ring.get(span).map(|added| added.get()))
            .collect()
    }

    #[test]
    fn ring_keeps_the_latest_points() {
        let mut ring = Ring::new(3);
        assert!(ring.is_empty());
        assert_eq!((ring.first(), ring.last(), ring.get(0)), (None, None, None));
        for span in 10..15 {
            ring.push(span, Added::new(span));
        }
        assert_eq!(
            counts(&ring, 10..=15),
            [None, None, Some(12), Some(13), Some(14), None]
        );
        assert_eq!(
            (ring.first(), ring.last(), ring.len()),
            (Some(12), Some(14), 3)
        );
        assert!(!ring.is_empty());
    }

    #[test]
    fn ring_keeps_gaps() {
        let mut ring = Ring::new(4);
        ring.push(1, Added::new(1));
        ring.push(4, Added::new(4));
        assert_eq!(counts(&ring, 0..=4), [None, Some(1), None, None, Some(4)]);
        // As many gaps as the ring is long: nothing of before is left, and no gap is kept.
        ring.push(9, Added::new(9));
        assert_eq!((ring.first(), ring.len()), (Some(9), 1));
        // One less.
        ring.push(13, Added::new(13));
        assert_eq!((ring.first(), ring.len()), (Some(10), 4));
        ring.push(u64::MAX - 1, Added::new(1));
        assert_eq!((ring.last(), ring.len()), (Some(u64::MAX - 1), 1));
    }

    #[test]
    fn ring_merges_points_of_a_clock_that_was_set_back() {
        let mut ring = Ring::new(3);
        ring.push(5, Added::new(1));
        ring.push(5, Added::new(2));
        ring.push(3, Added::new(4));
        assert_eq!(counts(&ring, 3..=5), [None, None, Some(7)]);
    }

    #[test]
    fn ring_merges_a_range() {
        let mut ring = Ring::new(9);
        for span in [1, 2, 4] {
            ring.push(span, Added::new(span));
        }
        assert_eq!(ring.merged(0, 9), Some((Added::new(7), 3)));
        assert_eq!(ring.merged(2, 3), Some((Added::new(2), 1)));
        assert_eq!(ring.merged(3, 3), None);
        assert_eq!(ring.merged(5, 9), None);
        assert_eq!(Ring::<Added>::new(1).merged(0, 9), None);
    }

    #[test]
    fn ring_of_no_points_has_one() {
        let mut ring = Ring::new(0);
        ring.push(1, Added::new(1));
        ring.push(2, Added::new(2));
        assert_eq!(counts(&ring, 1..=2), [None, Some(2)]);
        assert!(ring.heap_bytes() >= 8);
    }

    #[test]
    fn ring_has_the_bytes_of_its_slots_and_of_its_points() {
        let mut histogram = Histogram::new();
        histogram.record(1.0);
        let point = PackedHistogram::new(&histogram);
        let mut ring = Ring::new(3);
        ring.push(1, point.clone());
        ring.push(3, point.clone());
        let slots = ring.points.capacity() * size_of::<Option<PackedHistogram>>();
        assert!(point.heap_bytes() > 0);
        assert_eq!(ring.heap_bytes(), slots + 2 * point.heap_bytes());
    }
}
