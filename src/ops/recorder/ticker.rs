use std::{cmp::Reverse, sync::Arc};

use super::{
    limits::Limits,
    series::{Cell, Series},
    tracked::{Last, Tracked},
};
use crate::ops::series::SeriesKind;

/// The ticks between two comparisons of series with a history with those without.
const REVIEW_TICKS: u32 = 60;
/// The series that may get the history of others at once.
const MAX_SWAPS: usize = 16;
/// A series gets the history of another if it has this many times its traffic.
const SWAP_RATIO: u64 = 2;
/// A clock that is set back by more seconds than this begins a new history: until it was where it had been, there would be none.
const MAX_SET_BACK: u64 = 60;
/// More events than this between two comparisons, and threads get numbers of their own.
const BUSY: u64 = 120_000;

/// The series that a tick looks at: it moves what was added into the histories of those that have one, and decides which have.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    numbers: Group,
    histograms: Group,
    ticks: u32,
    first: Option<u64>,
    last: Option<u64>,
    /// The first second that an earlier process has seen, of which some series know.
    restored: Option<u64>,
}

/// The series that compete for histories: counters and gauges, or histograms.
#[derive(Debug, Default)]
struct Group {
    tracked: Vec<Arc<Series>>,
    waiting: Vec<Waiting>,
    /// True if a series has got a history since somebody asked.
    #[cfg_attr(
        not(feature = "ops-sqlite"),
        allow(dead_code, reason = "asked by what keeps history in a file")
    )]
    has_fresh: bool,
}

/// A series without a history.
#[derive(Debug)]
struct Waiting {
    series: Arc<Series>,
    /// The number that it had when it was last looked at.
    last: u64,
}

impl Ticker {
    /// Returns the Unix time of the last tick.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Returns the seconds from the first tick to the last one.
    pub(super) fn covered(&self) -> u64 {
        let covered = self.last.zip(self.first);
        covered.map_or(0, |(last, first)| last - first + 1)
    }

    /// Returns the seconds up to the last tick of which a query of minutes may find something: also those that an earlier process has
    /// seen.
    pub(super) fn covered_in_minutes(&self) -> u64 {
        let first = self.restored.or(self.first);
        let covered = self.last.zip(first);
        covered
            .map_or(0, |(last, first)| (last + 1).saturating_sub(first))
            .max(self.covered())
    }

    /// Learns of a second that an earlier process has seen.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn restored(&mut self, second: u64) {
        self.restored = Some(self.restored.map_or(second, |first| first.min(second)));
    }

    /// Returns the seconds of the first and of the last tick.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn ticked(&self) -> Option<(u64, u64)> {
        self.first.zip(self.last)
    }

    /// Returns whether a series has got a history since the last call.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn take_has_fresh(&mut self) -> bool {
        std::mem::take(&mut self.numbers.has_fresh) | std::mem::take(&mut self.histograms.has_fresh)
    }

    /// Returns the number of histograms without a history.
    pub(super) fn histograms_without_history(&self) -> usize {
        self.histograms.waiting.len()
    }

    /// Adds series that are new since the last tick.
    pub(super) fn admit(&mut self, new: Vec<Arc<Series>>, limits: &Limits) {
        for series in new {
            let (group, max) = match series.cell.kind() {
                SeriesKind::Histogram => (&mut self.histograms, limits.history_histograms),
                SeriesKind::Counter | SeriesKind::Gauge => {
                    (&mut self.numbers, limits.history_series)
                }
            };
            group.admit(series, max);
        }
    }

    pub(super) fn tick(&mut self, second: u64) {
        if self
            .last
            .is_some_and(|last| second.saturating_add(MAX_SET_BACK) < last)
        {
            self.forget();
        }
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        self.last = self.last.max(Some(second));
        for series in self.numbers.tracked.iter().chain(&self.histograms.tracked) {
            if let Some(tracked) = &mut *series.tracked_mut() {
                tracked.tick(second, &series.cell);
            }
        }
        self.ticks += 1;
        if self.ticks == REVIEW_TICKS {
            self.ticks = 0;
            self.numbers.review();
            self.histograms.review();
        }
    }
}

impl Ticker {
    /// Forgets all history.
    fn forget(&mut self) {
        (self.first, self.last, self.restored) = (None, None, None);
        for series in self.numbers.tracked.iter().chain(&self.histograms.tracked) {
            if let Some(tracked) = &mut *series.tracked_mut() {
                tracked.forget();
            }
        }
    }
}

impl Group {
    fn admit(&mut self, series: Arc<Series>, max: usize) {
        if self.tracked.len() < max {
            // From nothing, so that the events with which it began are part of its history.
            let last = Last::nothing(series.cell.kind());
            *series.tracked_mut() = Some(Box::new(Tracked::new(last)));
            self.tracked.push(series);
            self.has_fresh = true;
            return;
        }
        // The latest first: of series that came together none has shown more traffic than another.
        let other = self.tracked.iter().rposition(|other| !other.goes_first);
        let Some(other) = other.filter(|_| series.goes_first) else {
            return self.waiting.push(Waiting { series, last: 0 });
        };
        let last = Last::nothing(series.cell.kind());
        *series.tracked_mut() = Some(Box::new(Tracked::new(last)));
        self.has_fresh = true;
        let series = std::mem::replace(&mut self.tracked[other], series);
        *series.tracked_mut() = None;
        let last = position(&series.cell);
        self.waiting.push(Waiting { series, last });
    }

    /// Gives the histories of the series with the least traffic to those that wait and have more. While a series waits that goes
    /// first, all that have a history do.
    fn review(&mut self) {
        let mut quiet: Vec<_> = self
            .tracked
            .iter()
            .enumerate()
            .map(|(at, series)| (series.goes_first, traffic(series), at))
            .collect();
        let mut busy: Vec<_> = self
            .waiting
            .iter_mut()
            .enumerate()
            .map(|(at, waiting)| (waiting.series.goes_first, waiting.events(), at))
            .collect();
        quiet.sort_unstable();
        busy.sort_unstable_by_key(|busy| Reverse(*busy));
        for ((is_first, least, old), (may_be_first, most, new)) in
            quiet.into_iter().zip(busy).take(MAX_SWAPS)
        {
            if is_first != may_be_first || most <= least.saturating_mul(SWAP_RATIO) {
                break;
            }
            let (old, new) = (&mut self.tracked[old], &mut self.waiting[new]);
            *old.tracked_mut() = None;
            *new.series.tracked_mut() = Some(Box::new(Tracked::new(Last::of(&new.series.cell))));
            self.has_fresh = true;
            std::mem::swap(old, &mut new.series);
            new.last = position(&new.series.cell);
        }
    }
}

impl Waiting {
    /// Returns the events since the last call.
    fn events(&mut self) -> u64 {
        let now = position(&self.series.cell);
        let last = std::mem::replace(&mut self.last, now);
        match &self.series.cell {
            // As many as if it changed with every tick.
            Cell::Gauge(_) => u64::from(now != last) * u64::from(REVIEW_TICKS),
            Cell::Counter(_) | Cell::Histogram(_) => {
                let events = now.saturating_sub(last);
                if events > BUSY {
                    self.series.cell.spread();
                }
                events
            }
        }
    }
}

/// Returns the number whose change shows that something happened.
fn position(cell: &Cell) -> u64 {
    match cell {
        Cell::Counter(cell) => cell.get(),
        Cell::Gauge(cell) => cell.get().to_bits(),
        Cell::Histogram(cell) => cell.histogram().count(),
    }
}

fn traffic(series: &Series) -> u64 {
    series
        .tracked_mut()
        .as_mut()
        .map_or(0, |tracked| tracked.take_traffic())
}

#[cfg(test)]
mod tests {
    use metrics::{CounterFn, HistogramFn};

    use super::*;
    use crate::ops::recorder::{
        bounds::Bounds, counter_cell::CounterCell, histogram_cell::HistogramCell, pulse::Pulse,
    };
    use crate::ops::series::SeriesHistory;

    fn counter() -> (Arc<Series>, Arc<CounterCell>) {
        let cell = Arc::new(CounterCell::default());
        (
            Arc::new(Series::new(
                Box::default(),
                "".into(),
                Cell::Counter(cell.clone()),
            )),
            cell,
        )
    }

    fn limits(history_series: usize, history_histograms: usize) -> Limits {
        Limits {
            history_series,
            history_histograms,
            ..Limits::default()
        }
    }

    fn is_tracked(series: &Arc<Series>) -> bool {
        series.tracked().is_some()
    }

    #[test]
    fn history_is_for_the_first_series_up_to_the_bound() {
        let mut ticker = Ticker::default();
        let series: Vec<_> = (0..3).map(|_| counter().0).collect();
        ticker.admit(series.clone(), &limits(2, 0));
        assert_eq!(ticker.last(), None);
        ticker.tick(7);
        ticker.tick(5);
        assert_eq!(ticker.last(), Some(7), "a clock that was set back");
        assert_eq!(
            series.iter().map(is_tracked).collect::<Vec<_>>(),
            [true, true, false]
        );
    }

    /// A clock that was set to the next year, and then back, ended all history until that year.
    #[test]
    fn history_begins_anew_after_a_clock_that_was_set_back() {
        let mut ticker = Ticker::default();
        let (series, cell) = counter();
        ticker.admit(vec![series.clone()], &limits(1, 0));
        let mut tick = |second, expected| {
            cell.increment(1);
            ticker.tick(second);
            assert_eq!((ticker.last(), ticker.covered()), expected);
        };
        tick(1_000, (Some(1_000), 1));
        tick(9_000, (Some(9_000), 8_001));
        tick(8_940, (Some(9_000), 8_001));
        tick(1_003, (Some(1_003), 1));
        tick(1_004, (Some(1_004), 2));
        let tracked = series.tracked();
        let SeriesHistory::Counter(ring) = tracked.as_ref().expect("tracked").history() else {
            panic!("a counter")
        };
        let added = |second| ring.point(0, second).map(|(point, _)| point.get());
        assert_eq!(
            [1_000, 1_003, 1_004, 9_000].map(added),
            [None, Some(1), Some(1), None]
        );
    }

    #[test]
    fn history_goes_to_a_series_with_more_than_twice_the_traffic() {
        for (events, expected) in [(20, false), (21, true)] {
            let mut ticker = Ticker::default();
            let ((quiet, quiet_cell), (busy, busy_cell)) = (counter(), counter());
            ticker.admit(vec![quiet.clone(), busy.clone()], &limits(1, 0));
            quiet_cell.increment(10);
            busy_cell.increment(events);
            (0..REVIEW_TICKS.into()).for_each(|second| ticker.tick(second));
            assert_eq!(
                (is_tracked(&quiet), is_tracked(&busy)),
                (!expected, expected),
                "{events}"
            );
            // What it had before is not traffic of now.
            (60..120).for_each(|second| ticker.tick(second));
            assert_eq!(is_tracked(&busy), expected, "{events}");
        }
    }

    fn histogram(name: &str) -> (Arc<Series>, Arc<HistogramCell>) {
        let bounds = Arc::new(Bounds::new(&[1.0]));
        let pulse = Arc::new(Pulse::new(Arc::default()));
        let cell = Arc::new(HistogramCell::new(bounds, pulse));
        let series = Series::new(Box::default(), "".into(), Cell::Histogram(cell.clone()));
        (Arc::new(series.of_family(name)), cell)
    }

    #[test]
    fn history_of_histograms_has_a_bound_of_its_own() {
        let mut ticker = Ticker::default();
        let ((first, _), (second, busy)) = (histogram("size"), histogram("size"));
        let (number, _) = counter();
        ticker.admit(
            vec![first.clone(), second.clone(), number.clone()],
            &limits(1, 1),
        );
        assert_eq!(
            [&first, &second, &number].map(is_tracked),
            [true, false, true]
        );
        busy.record(1.0);
        (0..REVIEW_TICKS.into()).for_each(|second| ticker.tick(second));
        assert_eq!(
            [&first, &second, &number].map(is_tracked),
            [false, true, true]
        );
    }

    /// Sizes of bodies, of which a server has as many, took the histories of durations that came after them.
    #[test]
    fn history_is_for_durations_before_other_histograms() {
        let mut ticker = Ticker::default();
        let sizes: Vec<_> = (0..3).map(|_| histogram("body_size_bytes")).collect();
        let times: Vec<_> = (0..3).map(|_| histogram("duration_seconds")).collect();
        let tracked = |of: &[(Arc<Series>, _)]| -> Vec<_> {
            of.iter().map(|(series, _)| is_tracked(series)).collect()
        };
        let admit = |ticker: &mut Ticker, of: &[(Arc<Series>, _)]| {
            let series = of.iter().map(|(series, _)| series.clone());
            ticker.admit(series.collect(), &limits(0, 3));
        };
        admit(&mut ticker, &sizes);
        assert_eq!(tracked(&sizes), [true; 3]);
        admit(&mut ticker, &times[..2]);
        assert_eq!(
            (tracked(&sizes), tracked(&times[..2])),
            (vec![true, false, false], vec![true; 2])
        );
        // Neither traffic changes that.
        (0..9).for_each(|_| sizes[1].1.record(1.0));
        (0..REVIEW_TICKS.into()).for_each(|second| ticker.tick(second));
        assert_eq!(
            (tracked(&sizes), tracked(&times[..2])),
            (vec![false, true, false], vec![true; 2])
        );
        admit(&mut ticker, &times[2..]);
        (0..99).for_each(|_| sizes[0].1.record(1.0));
        (60..120).for_each(|second| ticker.tick(second));
        assert_eq!(
            (tracked(&sizes), tracked(&times)),
            (vec![false; 3], vec![true; 3])
        );
        assert_eq!(ticker.histograms_without_history(), 3);
    }
}
