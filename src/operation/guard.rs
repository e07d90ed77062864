//! What is kept of a run: meters, a span, an event, an error record.

use std::{mem, sync::OnceLock, time::Duration};

use metrics::{Counter, Gauge, Histogram};
use tracing::{Level, Span, field::Empty};

use super::Operation;
use crate::{
    call::{End, Moment, Outcome, Rejection, quietly},
    context::Context,
    errors::{
        ErrorRecord,
        fault::{Fault, Statuses},
    },
    guard::{Admit, Guard},
    track::{Slow, Thresholds, millis},
    util::{
        family::{Family, InFlight, Labels},
        listener::Listener,
        table::Interner,
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
                duration_ms = millis(told.elapsed),
                slow = told.slow.map(Slow::as_str),
                input = operation.input.as_deref(),
                output = told.output,
                error_type = told.error_type,
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
    error_type: Option<&'a str>,
    record: Option<&'a ErrorRecord>,
    group: Option<String>,
    output: Option<&'a str>,
}

/// What all operations of the process share.
#[derive(Debug)]
struct Common {
    names: Interner,
    durations: Family<EndKey, Histogram>,
    in_flight: Family<Numbers, Gauge>,
    slow: Family<SlowKey, Counter>,
}

fn common() -> &'static Common {
    static COMMON: OnceLock<Common> = OnceLock::new();
    COMMON.get_or_init(|| Common {
        names: Interner::new(MAX_NAMES),
        durations: Family::new(MAX_SERIES),
        in_flight: Family::new(MAX_NAMES),
        slow: Family::new(MAX_SLOW),
    })
}

/// The name of an operation and its kind, by their numbers.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Numbers {
    name: u16,
    kind: u16,
}

impl Numbers {
    const OTHER: Numbers = Numbers { name: 0, kind: 0 };

    fn name(self) -> String {
        common().names.text(self.name).to_owned()
    }

    fn kind(self) -> String {
        common().names.text(self.kind).to_owned()
    }
}

impl Labels for Numbers {
    const OVERFLOWS: usize = 1;

    fn overflow(&self) -> Self {
        Numbers::OTHER
    }
}

/// Runs by how they ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct EndKey(Numbers, Outcome);

impl Labels for EndKey {
    const OVERFLOWS: usize = Outcome::ALL.len();

    fn overflow(&self) -> Self {
        EndKey(Numbers::OTHER, self.1)
    }
}

/// Slow runs.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct SlowKey(Numbers, Slow);

impl Labels for SlowKey {
    const OVERFLOWS: usize = 2;

    fn overflow(&self) -> Self {
        SlowKey(Numbers::OTHER, self.1)
    }
}

/// What a run of an operation holds.
#[derive(Debug)]
pub struct OperationPermit {
    counted: InFlight,
    numbers: Numbers,
    span: Span,
    pub(super) output: Option<String>,
}

impl Operation {
    fn numbers(&self) -> Numbers {
        let names = &common().names;
        Numbers {
            name: names.number(self.name.as_str()),
            kind: names.number(self.kind.as_str()),
        }
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

fn count_in(numbers: Numbers) -> InFlight {
    common().in_flight.count_in(&numbers, |numbers| {
        metrics::gauge!(
            "operations_in_flight",
            "operation" => numbers.name(),
            "kind" => numbers.kind(),
        )
    })
}

fn measure(numbers: Numbers, outcome: Outcome, elapsed: Duration) {
    let make = |EndKey(numbers, outcome): &EndKey| {
        metrics::histogram!(
            "operation_duration_seconds",
            "operation" => numbers.name(),
            "kind" => numbers.kind(),
            "outcome" => outcome.as_str(),
        )
    };
    let key = EndKey(numbers, outcome);
    let durations = &common().durations;
    durations.with(Listener::now(), &key, make, |histogram| {
        histogram.record(elapsed.as_secs_f64());
    });
}

#[cold]
fn count_slow(numbers: Numbers, slow: Slow) {
    let make = |SlowKey(numbers, slow): &SlowKey| {
        metrics::counter!(
            "operation_slow_total",
            "operation" => numbers.name(),
            "kind" => numbers.kind(),
            "level" => slow.as_str(),
        )
    };
    let count = |counter: &Counter| counter.increment(1);
    let key = SlowKey(numbers, slow);
    common().slow.with(Listener::now(), &key, make, count);
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

    fn settle(&self, mut permit: OperationPermit, end: &End<'_>) {
        let (outcome, elapsed) = (end.outcome(), end.elapsed().unwrap_or_default());
        let counted = mem::take(&mut permit.counted);
        quietly(|| common().in_flight.count_out(&permit.numbers, counted));
        quietly(|| measure(permit.numbers, outcome, elapsed));
        let slow = Thresholds {
            warning: self.warning,
            critical: self.critical,
        };
        let slow = slow.judge(elapsed);
        if let Some(slow) = slow {
            quietly(|| count_slow(permit.numbers, slow));
        }
        let fault = Fault::of(end, Statuses::OfServer);
        let failed = fault.as_ref().filter(|_| outcome.is_error());
        let record = failed.map(|fault| {
            let record = fault.record().with_route(self.name.as_str());
            record.with_service(self.kind.as_str())
        });
        let group = self.errors.as_ref().zip(record.as_ref());
        let group = group
            .and_then(|(errors, record)| quietly(|| errors.record(record.clone()).to_string()));
        let told = Told {
            outcome,
            elapsed,
            slow,
            error_type: fault.as_ref().map(Fault::kind),
            record: record.as_ref(),
            group,
            output: permit.output.as_deref(),
        };
        // Caught inside of the span: a subscriber that panics again when it is left must not meet the first panic.
        quietly(|| permit.span.in_scope(|| quietly(|| self.emit(&told, end))));
        let error_type = told.error_type;
        quietly(move || {
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
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<OperationPermit, Rejection> {
        now.now();
        let numbers = self.numbers();
        Ok(OperationPermit {
            counted: quietly(|| count_in(numbers)).unwrap_or_default(),
            numbers,
            span: quietly(|| self.span()).unwrap_or_else(Span::none),
            output: None,
        })
    }
}
