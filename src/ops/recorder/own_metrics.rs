use std::sync::Arc;

use metrics::CounterFn;

use super::{
    counter_cell::CounterCell, name::Labels, registry::Drop, series::Cell, shared::Shared,
};
use crate::ops::series::SeriesKind;

const SERIES_DROPPED: &str = "tower_keep_ops_series_dropped_total";
const LABELS_CUT: &str = "tower_keep_ops_labels_cut_total";
const VALUES_IGNORED: &str = "tower_keep_ops_values_ignored_total";

/// The counters of a recorder about itself: of all that it does not record as it came.
#[derive(Debug, Default)]
pub(super) struct OwnMetrics {
    dropped: [Arc<CounterCell>; Drop::ALL.len()],
    cut: Arc<CounterCell>,
    /// Values that were not numbers.
    pub(super) ignored: Arc<CounterCell>,
}

impl OwnMetrics {
    /// The number of series.
    pub(super) const SERIES: usize = Drop::ALL.len() + 2;

    /// Adds the counters to the recorder, before any other series.
    pub(super) fn register(&self, recorder: &Shared) {
        let add =
            |name: &'static str, help: &'static str, labels: Labels, cell: &Arc<CounterCell>| {
                recorder.describe(name, Some(metrics::Unit::Count), help);
                recorder.register_series(
                    name,
                    SeriesKind::Counter,
                    labels,
                    Some(Cell::Counter(cell.clone())),
                );
            };
        for reason in Drop::ALL {
            let labels = Box::new([("reason".into(), reason.as_str().into())]);
            let help = "Registrations of metrics that were recorded in the overflow series of their family, or not at all.";
            add(SERIES_DROPPED, help, labels, &self.dropped[reason as usize]);
        }
        let help = "Registrations of metrics with labels that were truncated or left out.";
        add(LABELS_CUT, help, Box::default(), &self.cut);
        let help = "Values of histograms that were not numbers.";
        add(VALUES_IGNORED, help, Box::default(), &self.ignored);
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
