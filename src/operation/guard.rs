//! What is kept of a run: meters, a span, an event, an error record.

use std::{mem, sync::OnceLock, time::Duration};

use metrics::{Counter, Gauge, Histogram};
use tracing::{Level, Span, field::Empty};

use super::Operation;
use crate::{
    call::{CallClock, CallEnd, Outcome, Rejection, catch_hook},
    context::Context,
    errors::{
        ErrorRecord,
        error_description::{ErrorDescription, StatusRules},
    },
    guard::{Admit, Guard},
    track::{SlowLevel, SlowThresholds, as_millis_f64},
    util::{
        append_map::Interner,
        family::{Family, InFlightGauge, SeriesKey},
        recorder::RecorderKind,
    },
};

/// Operations and kinds that get series of their own.
const MAX_NAMES: usize = 1_000;
/// Series that a name may have on average, by its kinds and by how its runs end.
const MAX_SERIES: usize = MAX_NAMES * Outcome::ALL.len();
/// As many slow ones, of both levels.
const MAX_SLOW: usize = MAX_NAMES * 2;

macro_rules! emit {
    ($level:expr, $operation:expr, $told:expr) => {
        Context::with_current(|context| {
            let (operation, told) = ($operation, $told);
            tracing::event!(
                target: "tower_keep::operation",
                $level,
                operation = operation.name.as_str(),
                kind = operation.kind.as_str(),
                outcome = told.outcome.as_str(),
                duration_ms = as_millis_f64(told.elapsed),
                slow = told.slow.map(SlowLevel::as_str),
                input = operation.input.as_deref(),
                output = told.output,
                error_type = told.error_type,
                error = told.record.map(ErrorRecord::message),
                root_cause = told.record.and_then(|record| record.causes().last()),
                error_location = told.record.and_then(ErrorRecord::location),
                error_group = told.group.as_deref(),
                request_id = context.map(Context::request_id),
                correlation_id = context.map(Context::correlation_id),
                trace_id = context.map(|context| tracing::field::display(context.trace_id())),
                "operation"
            )
        })
    };
}

/// What is told of the end.
struct EventFields<'a> {
    outcome: Outcome,
    elapsed: Duration,
    slow: Option<SlowLevel>,
    error_type: Option<&'a str>,
    record: Option<&'a ErrorRecord>,
    group: Option<String>,
    output: Option<&'a str>,
}

/// What all operations of the process share.
#[derive(Debug)]
struct OperationMetrics {
    names: Interner,
    durations: Family<OperationOutcomeKey, Histogram>,
    in_flight: Family<OperationKey, Gauge>,
    slow: Family<OperationSlowKey, Counter>,
}

fn operation_metrics() -> &'static OperationMetrics {
    static COMMON: OnceLock<OperationMetrics> = OnceLock::new();
    COMMON.get_or_init(|| OperationMetrics {
        names: Interner::new(MAX_NAMES),
        durations: Family::new(MAX_SERIES),
        in_flight: Family::new(MAX_NAMES),
        slow: Family::new(MAX_SLOW),
    })
}

/// The name of an operation and its kind, by their numbers.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct OperationKey {
    name: u16,
    kind: u16,
}

impl OperationKey {
    const OTHER: OperationKey = OperationKey { name: 0, kind: 0 };

    fn name(self) -> String {
        operation_metrics().names.resolve(self.name).to_owned()
    }

    fn kind(self) -> String {
        operation_metrics().names.resolve(self.kind).to_owned()
    }
}

impl SeriesKey for OperationKey {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        OperationKey::OTHER
    }
}

/// Runs by how they ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct OperationOutcomeKey(OperationKey, Outcome);

impl SeriesKey for OperationOutcomeKey {
    const OVERFLOW_KEYS: usize = Outcome::ALL.len();

    fn overflow_key(&self) -> Self {
        OperationOutcomeKey(OperationKey::OTHER, self.1)
    }
}

/// Slow runs.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct OperationSlowKey(OperationKey, SlowLevel);

impl SeriesKey for OperationSlowKey {
    const OVERFLOW_KEYS: usize = 2;

    fn overflow_key(&self) -> Self {
        OperationSlowKey(OperationKey::OTHER, self.1)
    }
}

/// What a run of an operation holds.
#[derive(Debug)]
pub struct OperationPermit {
    in_flight: InFlightGauge,
    key: OperationKey,
    span: Span,
    pub(super) output: Option<String>,
}

impl Operation {
    fn key(&self) -> OperationKey {
        let names = &operation_metrics().names;
        OperationKey {
            name: names.intern(self.name.as_str()),
            kind: names.intern(self.kind.as_str()),
        }
    }

    fn emit(&self, told: &EventFields<'_>, end: &CallEnd<'_>) {
        match told.outcome {
            outcome if outcome.is_error() && !end.is_nested() => {
                emit!(Level::ERROR, self, told);
                end.mark_panic_reported(
                    || tracing::enabled!(target: "tower_keep::operation", Level::ERROR),
                );
            }
            // The call may deal with it; what happens to a panic on its way is told elsewhere.
            Outcome::Failure | Outcome::TimedOut => emit!(Level::WARN, self, told),
            _ if told.slow.is_some() => emit!(Level::WARN, self, told),
            _ => emit!(Level::DEBUG, self, told),
        }
    }

    fn span(&self) -> Span {
        tracing::debug_span!(
            target: "tower_keep::operation",
            "operation",
            otel.name = self.name.as_str(),
            otel.status_code = Empty,
            error.type = Empty,
            kind = self.kind.as_str(),
            outcome = Empty,
        )
    }
}

fn inc_in_flight(numbers: OperationKey) -> InFlightGauge {
    operation_metrics()
        .in_flight
        .increment(&numbers, |numbers| {
            metrics::gauge!(
                "operations_in_flight",
                "operation" => numbers.name(),
                "kind" => numbers.kind(),
            )
        })
}

fn record_duration(numbers: OperationKey, outcome: Outcome, elapsed: Duration) {
    let make = |OperationOutcomeKey(numbers, outcome): &OperationOutcomeKey| {
        metrics::histogram!(
            "operation_duration_seconds",
            "operation" => numbers.name(),
            "kind" => numbers.kind(),
            "outcome" => outcome.as_str(),
        )
    };
    let key = OperationOutcomeKey(numbers, outcome);
    let durations = &operation_metrics().durations;
    durations.with_handles(RecorderKind::current(), &key, make, |histogram| {
        histogram.record(elapsed.as_secs_f64());
    });
}

#[cold]
fn count_slow(numbers: OperationKey, slow: SlowLevel) {
    let make = |OperationSlowKey(numbers, slow): &OperationSlowKey| {
        metrics::counter!(
            "operation_slow_total",
            "operation" => numbers.name(),
            "kind" => numbers.kind(),
            "level" => slow.as_str(),
        )
    };
    let count = |counter: &Counter| counter.increment(1);
    let key = OperationSlowKey(numbers, slow);
    operation_metrics()
        .slow
        .with_handles(RecorderKind::current(), &key, make, count);
}

impl Guard for Operation {
    type Permit = OperationPermit;

    #[inline]
    fn enter(&self, permit: &mut OperationPermit) -> impl Sized {
        let span = &permit.span;
        (!span.is_disabled()).then(|| span.enter())
    }

    fn on_end(&self, mut permit: OperationPermit, end: &CallEnd<'_>) {
        let (outcome, elapsed) = (end.outcome(), end.elapsed().unwrap_or_default());
        let counted = mem::take(&mut permit.in_flight);
        catch_hook(|| {
            operation_metrics()
                .in_flight
                .decrement(&permit.key, counted)
        });
        catch_hook(|| record_duration(permit.key, outcome, elapsed));
        let slow = SlowThresholds {
            warning: self.warning,
            critical: self.critical,
        };
        let slow = slow.level(elapsed);
        if let Some(slow) = slow {
            catch_hook(|| count_slow(permit.key, slow));
        }
        let fault = ErrorDescription::from_end(end, StatusRules::Server);
        let failed = fault.as_ref().filter(|_| outcome.is_error());
        let record = failed.map(|fault| {
            let record = fault.error_record().with_route(self.name.as_str());
            record.with_service(self.kind.as_str())
        });
        let group = self.errors.as_ref().zip(record.as_ref());
        let group = group
            .and_then(|(errors, record)| catch_hook(|| errors.record(record.clone()).to_string()));
        let told = EventFields {
            outcome,
            elapsed,
            slow,
            error_type: fault.as_ref().map(ErrorDescription::kind),
            record: record.as_ref(),
            group,
            output: permit.output.as_deref(),
        };
        // Caught inside of the span: a subscriber that panics again when it is left must not meet the first panic.
        catch_hook(|| {
            permit
                .span
                .in_scope(|| catch_hook(|| self.emit(&told, end)))
        });
        let error_type = told.error_type;
        catch_hook(move || {
            permit.span.record("outcome", outcome.as_str());
            if let Some(error_type) = error_type {
                permit.span.record("error.type", error_type);
            }
            if outcome.is_error() {
                permit.span.record("otel.status_code", "ERROR");
            }
        });
    }
}

impl<Req> Admit<Req> for Operation {
    fn admit(&self, _: &mut Req, now: &CallClock) -> Result<OperationPermit, Rejection> {
        now.now();
        let numbers = self.key();
        Ok(OperationPermit {
            in_flight: catch_hook(|| inc_in_flight(numbers)).unwrap_or_default(),
            key: numbers,
            span: catch_hook(|| self.span()).unwrap_or_else(Span::none),
            output: None,
        })
    }
}
