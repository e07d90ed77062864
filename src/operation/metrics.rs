use std::{sync::OnceLock, time::Duration};

use metrics::{Counter, Gauge, Histogram, Unit};

use super::key::{OperationKey, OperationOutcomeKey, OperationSlowKey};
use crate::{
    call::Outcome,
    track::SlowLevel,
    util::{
        append_map::Interner,
        family::{Family, InFlightGauge},
        recorder::RecorderKind,
    },
};

/// Maximum number of operations and kinds with series of their own.
const MAX_NAMES: usize = 1_000;
/// Maximum number of duration series; on average, a name may have one per outcome.
const MAX_SERIES: usize = MAX_NAMES * Outcome::ALL.len();
/// Maximum number of series of slow runs: one per name and level.
const MAX_SLOW: usize = MAX_NAMES * 2;

/// The metrics of all operations of the process.
#[derive(Debug)]
pub(super) struct OperationMetrics {
    names: Interner,
    durations: Family<OperationOutcomeKey, Histogram>,
    in_flight: Family<OperationKey, Gauge>,
    slow: Family<OperationSlowKey, Counter>,
}

pub(super) fn operation_metrics() -> &'static OperationMetrics {
    static METRICS: OnceLock<OperationMetrics> = OnceLock::new();
    METRICS.get_or_init(|| OperationMetrics {
        names: Interner::new(MAX_NAMES),
        durations: Family::new(MAX_SERIES),
        in_flight: Family::new(MAX_NAMES),
        slow: Family::new(MAX_SLOW),
    })
}

impl OperationMetrics {
    pub(super) fn key(&self, name: &str, kind: &str) -> OperationKey {
        OperationKey {
            name: self.names.intern(name),
            kind: self.names.intern(kind),
        }
    }

    pub(super) fn resolve(&self, id: u16) -> String {
        self.names.resolve(id).to_owned()
    }

    /// Counts a run in flight.
    pub(super) fn inc_in_flight(&self, key: OperationKey) -> InFlightGauge {
        self.in_flight.increment(&key, |key| {
            const NAME: &str = "operations_in_flight";
            metrics::describe_gauge!(NAME, Unit::Count, "Runs of an operation in flight.");
            metrics::gauge!(
                NAME,
                "operation" => key.name(),
                "kind" => key.kind(),
            )
        })
    }

    /// Counts that the run is no longer in flight.
    pub(super) fn dec_in_flight(&self, key: OperationKey, in_flight: InFlightGauge) {
        self.in_flight.decrement(&key, in_flight);
    }

    pub(super) fn record_duration(&self, key: OperationKey, outcome: Outcome, elapsed: Duration) {
        let make = |OperationOutcomeKey(key, outcome): &OperationOutcomeKey| {
            const NAME: &str = "operation_duration_seconds";
            metrics::describe_histogram!(NAME, Unit::Seconds, "Runs of an operation.");
            metrics::histogram!(
                NAME,
                "operation" => key.name(),
                "kind" => key.kind(),
                "outcome" => outcome.as_str(),
            )
        };
        let record = |histogram: &Histogram| histogram.record(elapsed.as_secs_f64());
        let key = OperationOutcomeKey(key, outcome);
        self.durations
            .with_handles(RecorderKind::current(), &key, make, record);
    }

    #[cold]
    pub(super) fn count_slow(&self, key: OperationKey, level: SlowLevel) {
        let make = |OperationSlowKey(key, level): &OperationSlowKey| {
            const NAME: &str = "operation_slow_total";
            let help = "Runs of an operation slower than a threshold.";
            metrics::describe_counter!(NAME, Unit::Count, help);
            metrics::counter!(
                NAME,
                "operation" => key.name(),
                "kind" => key.kind(),
                "level" => level.as_str(),
            )
        };
        let count = |counter: &Counter| counter.increment(1);
        let key = OperationSlowKey(key, level);
        self.slow
            .with_handles(RecorderKind::current(), &key, make, count);
    }
}
