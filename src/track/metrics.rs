//! The metrics of a tracker.

use metrics::{Counter, Gauge};

use super::{
    call_key::CallKey,
    call_metrics::CallMetrics,
    config::TrackConfig,
    failure_key::{ErrorTypeKey, SlowKey},
    label_builder::LabelBuilder,
    labels::CallLabels,
    report::CallReport,
    request_labels::{METHOD_COUNT, RequestLabels},
    series_key::{ActiveKey, OutcomeKey},
    slow::SlowLevel,
};
use crate::{
    call::Outcome,
    util::{
        family::{Family, InFlightGauge},
        recorder::RecorderKind,
    },
};

/// Maximum number of texts of `error.type` besides statuses and codes.
pub(super) const MAX_ERROR_TYPES: usize = 128;

/// Upper bounds for durations in seconds: 5 ms to 10 s, as semantic conventions advise.
///
/// `tower_keep::prometheus` (feature `prometheus`) uses them. Other recorders must be configured with them, or they export
/// summaries: `PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS)`.
pub const DURATION_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Upper bounds for durations of long-lived streams in seconds: 1 s to 24 h.
///
/// Streams last minutes to hours, so that the [`DURATION_BUCKETS`] would put nearly all of them above the last bound. The
/// steps are those at which proxies and clients close idle or old connections: 10 s, 1 min, 5 min, 15 min, 1 h and so on.
pub const STREAM_DURATION_BUCKETS: [f64; 12] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
];

/// Upper bounds for body sizes in bytes: 1 KiB to 4 GiB, those of gRPC's own metrics (proposal A66).
pub const SIZE_BUCKETS: [f64; 13] = [
    1024.0,
    2048.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

/// All series of one side of a tracker.
#[derive(Debug)]
pub(super) struct TrackMetrics {
    active: Family<ActiveKey, Gauge>,
    calls: Family<CallKey, CallMetrics>,
    outcomes: Family<OutcomeKey, Counter>,
    slow: Family<SlowKey, Counter>,
    errors: Family<ErrorTypeKey, Counter>,
}

impl TrackMetrics {
    pub(super) fn new(config: &TrackConfig) -> Self {
        let options = &config.options;
        // Besides the targets themselves: calls without a target, and calls whose target did not fit.
        let targets = config.max_targets() + 2;
        TrackMetrics {
            // Each method with either scheme.
            active: Family::new(2 * METHOD_COUNT),
            calls: Family::with_reserve(options.max_series, config.reserved_series()),
            // Room for every target of HTTP and of gRPC with every outcome: no outcome is ever lost to an overflow
            // series.
            outcomes: Family::new(2 * targets * Outcome::ALL.len()),
            slow: Family::new(2 * targets),
            errors: Family::new(MAX_ERROR_TYPES),
        }
    }

    /// Counts a call in flight.
    pub(super) fn inc_in_flight(
        &self,
        builder: &LabelBuilder<'_>,
        request: RequestLabels,
    ) -> InFlightGauge {
        let key = ActiveKey::new(builder.config, request);
        self.active.increment(&key, |key| builder.active_gauge(key))
    }

    /// Counts that the call is no longer in flight.
    pub(super) fn dec_in_flight(
        &self,
        config: &TrackConfig,
        request: RequestLabels,
        in_flight: InFlightGauge,
    ) {
        self.active
            .decrement(&ActiveKey::new(config, request), in_flight);
    }

    /// Records the outcome, the duration and the sizes of a completed call.
    pub(super) fn record_call(
        &self,
        builder: &LabelBuilder<'_>,
        call: &CallLabels<'_>,
        report: &CallReport<'_>,
        request_bytes: impl FnOnce() -> Option<u64>,
    ) {
        // Asked once for both families. Without a recorder, this is all that metrics cost.
        let recorder = RecorderKind::current();
        if recorder == RecorderKind::None {
            return;
        }
        let outcome = OutcomeKey::new(call, report.end.outcome());
        let make = |key: &OutcomeKey| builder.outcome_counter(key);
        self.outcomes
            .with_handles(recorder, &outcome, make, |counter| counter.increment(1));
        let key = CallKey::new(builder.config, call, report.is_failure());
        let make = |key: &CallKey| builder.call_metrics(key);
        self.calls.with_handles(recorder, &key, make, |metrics| {
            metrics.record(report, request_bytes());
        });
    }

    #[cold]
    pub(super) fn count_slow(
        &self,
        builder: &LabelBuilder<'_>,
        target: Option<u16>,
        level: SlowLevel,
    ) {
        let make = |key: &SlowKey| builder.slow_counter(key);
        let count = |counter: &Counter| counter.increment(1);
        self.slow.with_handles(
            RecorderKind::current(),
            &SlowKey { target, level },
            make,
            count,
        );
    }

    /// Counts an error by its type, for the classic metrics.
    #[cold]
    pub(super) fn count_error(&self, builder: &LabelBuilder<'_>, error_type: &str) {
        let key = ErrorTypeKey(builder.error_types.intern(error_type));
        let make = |key: &ErrorTypeKey| builder.error_counter(key);
        let count = |counter: &Counter| counter.increment(1);
        self.errors
            .with_handles(RecorderKind::current(), &key, make, count);
    }
}
