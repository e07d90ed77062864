//! What is kept of a run: meters, a span, an event, an error record.

use std::{sync::OnceLock, time::Duration};

use metrics::{Gauge, Histogram};
use tracing::{Level, Span, field::Empty};

use super::Operation;
use crate::{
    call::{End, Moment, Name, Outcome, Rejection, quietly},
    context::Context,
    errors::ErrorRecord,
    guard::{Admit, Guard},
    observe::{
        late::{Late, recorder},
        record::record_of,
        table::{Interner, Table},
        track::{Slow, Thresholds, millis},
    },
};

/// Operations and kinds that get series of their own.
const MAX_NAMES: usize = 1_000;

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
                duration_ms = millis(told.elapsed),
                slow = told.slow.map(Slow::as_str),
                input = operation.input.as_deref(),
                output = told.output,
                error_type = told.record.map(ErrorRecord::kind),
                error = told.record.map(ErrorRecord::message),
                root_cause = told.record.and_then(|record| record.chain().last()),
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
struct Told<'a> {
    outcome: Outcome,
    elapsed: Duration,
    slow: Option<Slow>,
    record: Option<&'a ErrorRecord>,
    group: Option<String>,
    output: Option<&'a str>,
}

/// What all operations of the process share.
#[derive(Debug)]
struct Common {
    names: Interner,
    meters: Late<Meters>,
}

#[derive(Debug)]
struct Meters {
    durations: Table<Histogram>,
    in_flight: Table<Gauge>,
}

fn common() -> &'static Common {
    static COMMON: OnceLock<Common> = OnceLock::new();
    COMMON.get_or_init(|| Common {
        names: Interner::new(MAX_NAMES),
        meters: Late::new(),
    })
}

impl Meters {
    fn new() -> Self {
        Meters {
            durations: Table::new(MAX_NAMES * Outcome::ALL.len()),
            in_flight: Table::new(MAX_NAMES),
        }
    }
}

/// What a run of an operation holds.
#[derive(Debug)]
pub struct OperationPermit {
    counted_by: Option<usize>,
    numbers: (u64, u64),
    span: Span,
    pub(super) output: Option<String>,
}

impl Operation {
    fn numbers(&self) -> (u64, u64) {
        let names = &common().names;
        let number = |name: &Name| u64::from(names.number(name.as_str()));
        (number(&self.name), number(&self.kind))
    }

    fn emit(&self, told: &Told<'_>, end: &End<'_>) {
        match told.outcome {
            outcome if outcome.is_error() && !end.is_inside_call() => {
                emit!(Level::ERROR, self, told);
                end.set_reported(
                    || tracing::enabled!(target: "tower_keep::operation", Level::ERROR),
                );
            }
            // The call may deal with it; what happens to a panic on its way is told elsewhere.
            Outcome::Failure | Outcome::TimedOut => emit!(Level::WARN, self, told),
            _ if told.slow.is_some() => emit!(Level::WARN, self, told),
            _ => emit!(Level::DEBUG, self, told),
        }
    }

    /// In the gauge of that recorder.
    fn gauge(&self, recorder: usize, (name, kind): (u64, u64), add: f64) {
        let Common { names, meters } = common();
        meters.with_that_of(recorder, Meters::new, |meters| {
            let gauge = meters.in_flight.get_or_insert(name << 16 | kind, || {
                metrics::gauge!(
                    "operations_in_flight",
                    "operation" => names.text(name as u16).to_owned(),
                    "kind" => names.text(kind as u16).to_owned(),
                )
            });
            if let Some(gauge) = gauge {
                gauge.increment(add);
            }
        });
    }

    fn measure(&self, (name, kind): (u64, u64), outcome: Outcome, elapsed: Duration) {
        let Common { names, meters } = common();
        meters.with(Meters::new, |meters| {
            let key = (name << 16 | kind) << 3 | outcome.index() as u64;
            let histogram = meters.durations.get_or_insert(key, || {
                metrics::histogram!(
                    "operation_duration_seconds",
                    "operation" => names.text(name as u16).to_owned(),
                    "kind" => names.text(kind as u16).to_owned(),
                    "outcome" => outcome.as_str(),
                )
            });
            if let Some(histogram) = histogram {
                histogram.record(elapsed.as_secs_f64());
            }
        });
    }

    fn span(&self) -> Span {
        tracing::debug_span!(
            target: "tower_keep::operation",
            "operation",
            otel.name = self.name.as_str(),
            otel.status_code = Empty,
            kind = self.kind.as_str(),
            outcome = Empty,
        )
    }
}

fn count_slow((name, kind): (u64, u64), slow: Slow) {
    let names = &common().names;
    metrics::counter!(
        "operation_slow_total",
        "operation" => names.text(name as u16).to_owned(),
        "kind" => names.text(kind as u16).to_owned(),
        "level" => slow.as_str(),
    )
    .increment(1);
}

impl Guard for Operation {
    type Permit = OperationPermit;

    #[inline]
    fn enter<R>(&self, permit: &mut OperationPermit, poll: impl FnOnce() -> R) -> R {
        if permit.span.is_disabled() {
            poll()
        } else {
            permit.span.in_scope(poll)
        }
    }

    fn settle(&self, permit: OperationPermit, end: &End<'_>) {
        let (outcome, elapsed) = (end.outcome(), end.elapsed().unwrap_or_default());
        if let Some(recorder) = permit.counted_by {
            quietly(|| self.gauge(recorder, permit.numbers, -1.0));
        }
        quietly(|| self.measure(permit.numbers, outcome, elapsed));
        let slow = Thresholds {
            warning: self.warning,
            critical: self.critical,
        };
        let slow = slow.judge(elapsed);
        if let Some(slow) = slow {
            quietly(|| count_slow(permit.numbers, slow));
        }
        let record = outcome.is_error().then(|| {
            let route = self.name.as_str();
            record_of(end)
                .with_route(route)
                .with_service(self.kind.as_str())
        });
        let group = self.errors.as_ref().zip(record.as_ref());
        let group = group
            .and_then(|(errors, record)| quietly(|| errors.record(record.clone()).to_string()));
        let told = Told {
            outcome,
            elapsed,
            slow,
            record: record.as_ref(),
            group,
            output: permit.output.as_deref(),
        };
        // Caught inside of the span: a subscriber that panics again when it is left must not meet the first panic.
        quietly(|| permit.span.in_scope(|| quietly(|| self.emit(&told, end))));
        quietly(move || {
            permit.span.record("outcome", outcome.as_str());
            if outcome.is_error() {
                permit.span.record("otel.status_code", "ERROR");
            }
        });
    }
}

impl<Req> Admit<Req> for Operation {
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<OperationPermit, Rejection> {
        now.now();
        let numbers = self.numbers();
        let counted_by = quietly(|| {
            let recorder = recorder();
            self.gauge(recorder, numbers, 1.0);
            recorder
        });
        Ok(OperationPermit {
            counted_by,
            numbers,
            span: quietly(|| self.span()).unwrap_or_else(Span::none),
            output: None,
        })
    }
}
