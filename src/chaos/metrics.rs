use metrics::{Counter, Gauge, Unit};

use super::FaultKind;
use crate::call::Label;

/// The counters of a chaos.
pub(super) struct ChaosMetrics {
    faults: [Counter; FaultKind::ALL.len()],
    pub(super) skipped: Counter,
}

impl ChaosMetrics {
    pub(super) fn new(name: &Label) -> Self {
        const FAULTS: &str = "tower_keep_chaos_faults_total";
        const SKIPPED: &str = "tower_keep_chaos_skipped_total";
        metrics::describe_counter!(
            FAULTS,
            Unit::Count,
            "Faults that a chaos has injected, by their kind."
        );
        metrics::describe_counter!(
            SKIPPED,
            Unit::Count,
            "Faults that a chaos has not injected, since too many calls were delayed."
        );
        let name = || name.to_string();
        ChaosMetrics {
            // In the order of the kinds, since they are the indices.
            faults: FaultKind::ALL
                .map(|kind| metrics::counter!(FAULTS, "chaos" => name(), "fault" => kind.as_str())),
            skipped: metrics::counter!(SKIPPED, "chaos" => name()),
        }
    }

    pub(super) fn count(&self, kind: FaultKind) {
        self.faults[kind as usize].increment(1);
    }
}

/// Creates the gauge that says whether a chaos is on.
pub(super) fn enabled_gauge(name: &Label) -> Gauge {
    const ENABLED: &str = "tower_keep_chaos_enabled";
    metrics::describe_gauge!(ENABLED, Unit::Count, "1 while a chaos is on, else 0.");
    metrics::gauge!(ENABLED, "chaos" => name.to_string())
}
