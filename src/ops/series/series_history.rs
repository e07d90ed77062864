use super::{
    aggregation::SeriesKind,
    packed::PackedHistogram,
    point::{Added, GaugePoint},
    tiered_ring::TieredRing,
};

/// The latest points of one series, by its kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SeriesHistory {
    /// The amounts that were added to a counter.
    Counter(TieredRing<Added>),
    /// The values of a gauge.
    Gauge(TieredRing<GaugePoint>),
    /// The values that were recorded in a histogram.
    Histogram(TieredRing<PackedHistogram>),
}

impl SeriesHistory {
    /// Creates the history of a series without points.
    ///
    /// ```
    /// use tower_keep::ops::series::{SeriesHistory, SeriesKind};
    ///
    /// let history = SeriesHistory::new(SeriesKind::Gauge);
    /// assert_eq!(history.kind(), SeriesKind::Gauge);
    /// ```
    pub fn new(kind: SeriesKind) -> Self {
        match kind {
            SeriesKind::Counter => SeriesHistory::Counter(TieredRing::new()),
            SeriesKind::Gauge => SeriesHistory::Gauge(TieredRing::new()),
            SeriesKind::Histogram => SeriesHistory::Histogram(TieredRing::new()),
        }
    }

    /// Returns the kind of the series.
    pub fn kind(&self) -> SeriesKind {
        match self {
            SeriesHistory::Counter(_) => SeriesKind::Counter,
            SeriesHistory::Gauge(_) => SeriesKind::Gauge,
            SeriesHistory::Histogram(_) => SeriesKind::Histogram,
        }
    }

    /// Returns the bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            SeriesHistory::Counter(ring) => ring.heap_bytes(),
            SeriesHistory::Gauge(ring) => ring.heap_bytes(),
            SeriesHistory::Histogram(ring) => ring.heap_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::series::Histogram;

    /// Returns a ring with a point in each of eleven seconds, of which ten are merged into one of ten seconds.
    fn ring(values: &[f64]) -> TieredRing<PackedHistogram> {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        let mut ring = TieredRing::new();
        (0..11).for_each(|second| ring.push(second, PackedHistogram::new(&histogram)));
        ring
    }

    #[test]
    fn history_has_the_bytes_of_its_ring_with_all_points() {
        let (full, empty) = (ring(&[1.0]), ring(&[]));
        let mut histogram = Histogram::new();
        histogram.record(1.0);
        let point = crate::ops::series::Point::heap_bytes(&PackedHistogram::new(&histogram));
        assert_eq!(full.heap_bytes() - empty.heap_bytes(), 12 * point);
        let bytes = full.heap_bytes();
        assert_eq!(SeriesHistory::Histogram(full).heap_bytes(), bytes);
    }
}
