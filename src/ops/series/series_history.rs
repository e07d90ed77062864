#[cfg(feature = "ops-sqlite")]
use super::block::{OldPoint, PointValue};
use super::{
    aggregation::SeriesKind,
    packed::PackedHistogram,
    point::{Added, GaugePoint},
    tiered_ring::TieredRing,
};

/// The place of minutes in [`TIERS`](super::TIERS).
#[cfg(feature = "ops-sqlite")]
const MINUTES: usize = 2;

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

    /// Creates the history of old points: of minutes and of hours, ascending. Those of another kind are left out.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn of_old(
        kind: SeriesKind,
        minutes: impl IntoIterator<Item = OldPoint>,
        hours: impl IntoIterator<Item = OldPoint>,
    ) -> Self {
        let (minutes, hours) = (minutes.into_iter(), hours.into_iter());
        match kind {
            SeriesKind::Counter => SeriesHistory::Counter(TieredRing::of_old(
                minutes.filter_map(OldPoint::into_counter),
                hours.filter_map(OldPoint::into_counter),
            )),
            SeriesKind::Gauge => SeriesHistory::Gauge(TieredRing::of_old(
                minutes.filter_map(OldPoint::into_gauge),
                hours.filter_map(OldPoint::into_gauge),
            )),
            SeriesKind::Histogram => SeriesHistory::Histogram(TieredRing::of_old(
                minutes.filter_map(OldPoint::into_histogram),
                hours.filter_map(OldPoint::into_histogram),
            )),
        }
    }

    /// Returns the minutes from one on, that of now included.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn minutes_from(&self, from: u64) -> Vec<OldPoint> {
        match self {
            SeriesHistory::Counter(ring) => old(ring.minutes_from(from), PointValue::Counter),
            SeriesHistory::Gauge(ring) => old(ring.minutes_from(from), PointValue::Gauge),
            SeriesHistory::Histogram(ring) => old(ring.minutes_from(from), PointValue::Histogram),
        }
    }

    /// Returns one minute, if it has a point.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn minute(&self, minute: u64) -> Option<OldPoint> {
        let (value, seconds) = match self {
            SeriesHistory::Counter(ring) => {
                let (point, seconds) = ring.point(MINUTES, minute)?;
                (PointValue::Counter(point.into_owned()), seconds)
            }
            SeriesHistory::Gauge(ring) => {
                let (point, seconds) = ring.point(MINUTES, minute)?;
                (PointValue::Gauge(point.into_owned()), seconds)
            }
            SeriesHistory::Histogram(ring) => {
                let (point, seconds) = ring.point(MINUTES, minute)?;
                (PointValue::Histogram(point.into_owned()), seconds)
            }
        };
        Some(OldPoint {
            span: minute,
            value,
            seconds,
        })
    }

    /// Adds minutes that an earlier process has seen, ascending.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn restore(&mut self, minutes: Vec<OldPoint>) {
        let minutes = minutes.into_iter();
        match self {
            SeriesHistory::Counter(ring) => {
                ring.restore(minutes.filter_map(OldPoint::into_counter))
            }
            SeriesHistory::Gauge(ring) => ring.restore(minutes.filter_map(OldPoint::into_gauge)),
            SeriesHistory::Histogram(ring) => {
                ring.restore(minutes.filter_map(OldPoint::into_histogram));
            }
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

#[cfg(feature = "ops-sqlite")]
fn old<T>(
    points: impl Iterator<Item = (u64, T, u32)>,
    value: impl Fn(T) -> PointValue,
) -> Vec<OldPoint> {
    let point = |(span, point, seconds)| OldPoint {
        span,
        value: value(point),
        seconds,
    };
    points.map(point).collect()
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
