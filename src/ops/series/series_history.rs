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
