use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    counter_cell::CounterCell, gauge_cell::GaugeCell, histogram_cell::HistogramCell, name::Labels,
    tracked::Tracked, value::Value,
};
use crate::ops::series::SeriesKind;

/// A series: its labels, its value, and its history if it has one.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// The labels as the formats write them, without braces.
    pub(super) text: Box<str>,
    pub(super) cell: Cell,
    /// True for histograms of durations, which get a history before others: rates and errors of routes are made of it.
    pub(super) goes_first: bool,
    tracked: RwLock<Option<Box<Tracked>>>,
}

/// The value of a series, by its kind.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Counter(Arc<CounterCell>),
    Gauge(Arc<GaugeCell>),
    Histogram(Arc<HistogramCell>),
}

impl Series {
    pub(super) fn new(labels: Labels, text: Box<str>, cell: Cell) -> Self {
        Series {
            labels,
            text,
            goes_first: false,
            cell,
            tracked: RwLock::new(None),
        }
    }

    /// Returns the series as one of the family of this name.
    pub(super) fn of_family(mut self, name: &str) -> Self {
        self.goes_first = self.cell.kind() == SeriesKind::Histogram && name.ends_with("_seconds");
        self
    }

    /// Locks the history for reading. Held while a query runs, or a tick.
    pub(super) fn tracked(&self) -> RwLockReadGuard<'_, Option<Box<Tracked>>> {
        self.tracked.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tracked_mut(&self) -> RwLockWriteGuard<'_, Option<Box<Tracked>>> {
        self.tracked.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn value(&self) -> Value {
        match &self.cell {
            Cell::Counter(cell) => Value::Counter(cell.get()),
            Cell::Gauge(cell) => Value::Gauge(cell.get()),
            Cell::Histogram(cell) => Value::Histogram(cell.histogram()),
        }
    }

    /// Returns the bytes on the heap, roughly: texts that are shared count in full.
    pub(super) fn heap_bytes(&self) -> usize {
        let labels = self
            .labels
            .iter()
            .map(|(name, value)| name.len() + value.len() + 64);
        let cell = match &self.cell {
            Cell::Counter(cell) => size_of::<CounterCell>() + cell.heap_bytes(),
            Cell::Gauge(_) => size_of::<GaugeCell>(),
            Cell::Histogram(cell) => size_of::<HistogramCell>() + cell.heap_bytes(),
        };
        let history = self
            .tracked()
            .as_ref()
            .map_or(0, |tracked| tracked.heap_bytes());
        size_of::<Series>() + labels.sum::<usize>() + self.text.len() + cell + history
    }
}

impl Cell {
    pub(super) fn kind(&self) -> SeriesKind {
        match self {
            Cell::Counter(_) => SeriesKind::Counter,
            Cell::Gauge(_) => SeriesKind::Gauge,
            Cell::Histogram(_) => SeriesKind::Histogram,
        }
    }

    /// Lets threads add to numbers of their own; gauges have one number, since they are set.
    pub(super) fn spread(&self) {
        match self {
            Cell::Counter(cell) => cell.spread(),
            Cell::Gauge(_) => {}
            Cell::Histogram(cell) => cell.spread(),
        }
    }
}
