use super::series::Cell;
#[cfg(feature = "ops-sqlite")]
use crate::ops::series::OldPoint;
use crate::ops::series::{
    Added, GaugePoint, Histogram, PackedHistogram, SeriesHistory, SeriesKind, TieredRing,
};

/// More events than this in a second, and threads get numbers of their own.
const BUSY: u64 = 2_000;

/// The history of a series, and what it had at the last tick.
#[derive(Debug)]
pub(super) struct Tracked {
    history: SeriesHistory,
    last: Last,
    /// The events since the history was last compared with other series.
    traffic: u64,
    /// True until somebody has looked for what an earlier process knew.
    #[cfg_attr(
        not(feature = "ops-sqlite"),
        allow(dead_code, reason = "asked by what keeps history in a file")
    )]
    is_fresh: bool,
}

/// The value that a series had when it was last looked at.
#[derive(Clone, Debug)]
pub(super) enum Last {
    Counter(u64),
    Gauge(f64),
    Histogram(Histogram),
}

impl Last {
    /// Returns what a new series has.
    pub(super) fn nothing(kind: SeriesKind) -> Self {
        match kind {
            SeriesKind::Counter => Last::Counter(0),
            SeriesKind::Gauge => Last::Gauge(f64::NAN),
            SeriesKind::Histogram => Last::Histogram(Histogram::new()),
        }
    }

    /// Returns what the series has now.
    pub(super) fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Counter(cell) => Last::Counter(cell.get()),
            Cell::Gauge(cell) => Last::Gauge(cell.get()),
            Cell::Histogram(cell) => Last::Histogram(cell.histogram()),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Last::Histogram(histogram) => size_of_val(histogram.buckets()),
            Last::Counter(_) | Last::Gauge(_) => 0,
        }
    }
}

impl Tracked {
    /// Creates an empty history that begins with what is added to `last`.
    pub(super) fn new(last: Last) -> Self {
        let history = match last {
            Last::Counter(_) => SeriesHistory::Counter(TieredRing::new()),
            Last::Gauge(_) => SeriesHistory::Gauge(TieredRing::new()),
            Last::Histogram(_) => SeriesHistory::Histogram(TieredRing::new()),
        };
        Tracked {
            history,
            last,
            traffic: 0,
            is_fresh: true,
        }
    }

    /// Returns whether nobody has looked yet for what an earlier process knew. Somebody does now.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn take_is_fresh(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh)
    }

    /// Adds minutes that an earlier process knew, ascending.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn restore(&mut self, points: Vec<OldPoint>) {
        self.history.restore(points);
    }

    pub(super) fn history(&self) -> &SeriesHistory {
        &self.history
    }

    /// Forgets the history, which goes on with what is added from now on.
    pub(super) fn forget(&mut self) {
        let last = std::mem::replace(&mut self.last, Last::Counter(0));
        *self = Tracked::new(last);
    }

    /// Moves what was added since the last tick into the history.
    pub(super) fn tick(&mut self, second: u64, cell: &Cell) {
        let events = match (cell, &mut self.last, &mut self.history) {
            (Cell::Counter(cell), Last::Counter(last), SeriesHistory::Counter(ring)) => {
                let now = cell.get();
                let added = now.saturating_sub(*last);
                *last = now;
                ring.push(second, Added::new(added));
                added
            }
            (Cell::Gauge(cell), Last::Gauge(last), SeriesHistory::Gauge(ring)) => {
                let now = cell.get();
                let is_changed = now.to_bits() != last.to_bits();
                *last = now;
                ring.push(second, GaugePoint::new(now));
                u64::from(is_changed)
            }
            (Cell::Histogram(cell), Last::Histogram(last), SeriesHistory::Histogram(ring)) => {
                let now = cell.histogram();
                let added = now.minus(last);
                *last = now;
                ring.push(second, PackedHistogram::new(&added));
                added.count()
            }
            _ => unreachable!("a history is of the kind of its series"),
        };
        if events > BUSY {
            cell.spread();
        }
        self.traffic = self.traffic.saturating_add(events);
    }

    /// Returns the events since the last call.
    pub(super) fn take_traffic(&mut self) -> u64 {
        std::mem::take(&mut self.traffic)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Tracked>() + self.history.heap_bytes() + self.last.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use metrics::{CounterFn, GaugeFn};

    use super::*;

    #[test]
    fn counter_has_what_was_added_between_ticks() {
        let cell = Cell::Counter(Default::default());
        let Cell::Counter(counter) = &cell else {
            unreachable!("it was made so")
        };
        let mut tracked = Tracked::new(Last::nothing(SeriesKind::Counter));
        counter.increment(5);
        tracked.tick(10, &cell);
        counter.increment(2_001);
        tracked.tick(11, &cell);
        tracked.tick(12, &cell);
        let SeriesHistory::Counter(ring) = tracked.history() else {
            unreachable!("of the kind")
        };
        let added = |second| ring.point(0, second).map(|(point, _)| point.get());
        assert_eq!(
            [9, 10, 11, 12].map(added),
            [None, Some(5), Some(2_001), Some(0)]
        );
        assert_eq!((tracked.take_traffic(), tracked.take_traffic()), (2_006, 0));
        assert_eq!(
            counter.heap_bytes() > 0,
            crate::util::shards::shard_count() > 1
        );
    }

    #[test]
    fn gauge_has_traffic_where_it_changes() {
        let cell = Cell::Gauge(Default::default());
        let Cell::Gauge(gauge) = &cell else {
            unreachable!("it was made so")
        };
        let mut tracked = Tracked::new(Last::of(&cell));
        for value in [0.0, 1.0, 1.0, 2.0] {
            gauge.set(value);
            tracked.tick(value as u64, &cell);
        }
        assert_eq!(tracked.take_traffic(), 2);
    }
}
