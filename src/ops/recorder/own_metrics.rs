use std::{sync::Arc, time::SystemTime};

use metrics::{CounterFn, GaugeFn, Unit};

use super::{
    counter_cell::CounterCell, gauge_cell::GaugeCell, name::Labels, registry::Drop, series::Cell,
    shared::Shared,
};
const SERIES_DROPPED: &str = "tower_keep_ops_series_dropped_total";
const LABELS_CUT: &str = "tower_keep_ops_labels_cut_total";
const VALUES_IGNORED: &str = "tower_keep_ops_values_ignored_total";
/// The name that all exporters use.
const START_TIME: &str = "process_start_time_seconds";

/// The metrics of a recorder about itself: counters of all that it does not record as it came, and when it began.
#[derive(Debug, Default)]
pub(super) struct OwnMetrics {
    dropped: [Arc<CounterCell>; Drop::ALL.len()],
    cut: Arc<CounterCell>,
    /// Values that were not numbers.
    pub(super) ignored: Arc<CounterCell>,
    started: Arc<GaugeCell>,
}

impl OwnMetrics {
    /// The number of series.
    pub(super) const SERIES: usize = Drop::ALL.len() + 3;

    /// Adds the metrics to the recorder, before any other series.
    pub(super) fn register(&self, recorder: &Shared) {
        let add = |name: &str, unit: Unit, help: &str, labels: Labels, cell: Cell| {
            recorder.describe(name, Some(unit), help);
            recorder.register_series(name, cell.kind(), labels, Some(cell));
        };
        let count = |name: &str, help: &str, labels: Labels, cell: &Arc<CounterCell>| {
            add(name, Unit::Count, help, labels, Cell::Counter(cell.clone()));
        };
        for reason in Drop::ALL {
            let labels = Box::new([("reason".into(), reason.as_str().into())]);
            let help = "Registrations of metrics that were recorded in the overflow series of their family, or not at all.";
            count(SERIES_DROPPED, help, labels, &self.dropped[reason as usize]);
        }
        let help = "Registrations of metrics with labels that were truncated or left out.";
        count(LABELS_CUT, help, Box::default(), &self.cut);
        let help = "Values of histograms that were not numbers.";
        count(VALUES_IGNORED, help, Box::default(), &self.ignored);
        let help = "When the first recorder of the process was made, in seconds since 1970.";
        let started = Cell::Gauge(self.started.clone());
        add(START_TIME, Unit::Seconds, help, Box::default(), started);
    }

    /// Sets the time at which the process started.
    pub(super) fn set_start(&self, time: SystemTime) {
        // A clock before 1970 is none.
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.started.set(since.as_secs_f64());
    }

    pub(super) fn dropped(&self, reason: Drop) {
        self.dropped[reason as usize].increment(1);
    }

    pub(super) fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().map(|cell| cell.get()).sum()
    }

    pub(super) fn cut(&self, registrations: u64) {
        self.cut.increment(registrations);
    }
}
