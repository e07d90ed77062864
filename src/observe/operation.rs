//! The same tracking for code that is no service: a query, a tool call, a job.
//!
//! Use it where a name, a duration and an outcome are wanted below or outside of a request. Not for HTTP or gRPC
//! calls: [`Track`](crate::Track) knows more of those.
//!
//! # What happens
//!
//! | moment | what is kept |
//! |---|---|
//! | first poll | in flight, the clock, a span at `DEBUG` |
//! | end | `operation_duration_seconds{operation, kind, outcome}`, `operations_in_flight{operation, kind}`, `operation_slow_total{operation, kind, level}`, an error record if it failed, one event of the target `tower_keep::operation` |
//!
//! The event is at `DEBUG` when all is well and `WARN` when it was slow. A failure is `ERROR`, but `DEBUG` inside
//! of a guarded call, whose own line reports it. Names are for code, not for data: of more than 1,000 the rest
//! shares `_OTHER`.
//!
//! # Clones
//!
//! A clone is the same operation; each run is counted by itself.
//!
//! # Cancellation
//!
//! A future that is dropped ends as `cancelled`; one that panics ends as `panicked`, and the panic goes on.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::operation;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! # let load = async |id: u32| Ok::<_, std::io::Error>(vec![id]);
//! let rows = operation("load_orders").run(load(7)).await?;
//!
//! let rows = operation("load_orders")
//!     .kind("db")
//!     .slow(Duration::from_millis(200))
//!     .critical(Duration::from_secs(2))
//!     .input(7)
//!     .run(load(7))
//!     .output(|rows| format!("{} rows", rows.as_ref().map_or(0, Vec::len)))
//!     .await?;
//! # assert_eq!(rows, [7]); Ok(()) }
//! ```

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::OnceLock,
    task::{self, Poll, ready},
    time::Duration,
};

use metrics::{Gauge, Histogram};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tracing::{Level, Span, field::Empty};

use super::{
    late::{Late, recorder},
    record::record_of,
    table::{Interner, Table},
    track::{Slow, Thresholds, millis},
};
use crate::{
    call::{
        Cause, End, Inside, Moment, Name, Outcome, Payload, Rejection, Seen, caught_service,
        quietly, view,
    },
    context::Context,
    errors::{ErrorRecord, ErrorTracker, written},
    guard::{Admit, Guard},
    protocol::error_verdict,
};

/// Operations and kinds that get series of their own.
const MAX_NAMES: usize = 1_000;
/// How much of an input or an output is kept, in bytes.
const MAX_SHOWN: usize = 1_024;

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

/// Code that is tracked by name: see the [module](self). Made by [`operation`].
#[derive(Clone, Debug)]
pub struct Operation {
    name: Name,
    kind: Name,
    warning: Duration,
    critical: Duration,
    errors: Option<ErrorTracker>,
    input: Option<String>,
}

/// Names a piece of work that is to be tracked; see the [module](self).
pub fn operation(name: impl Into<Name>) -> Operation {
    Operation {
        name: name.into(),
        kind: Name::from("internal"),
        warning: Duration::MAX,
        critical: Duration::MAX,
        errors: Some(ErrorTracker::global().clone()),
        input: None,
    }
}

impl Operation {
    /// What kind of work it is: `db`, `tool`, `job`... Default: `internal`.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Name>) -> Self {
        self.kind = kind.into();
        self
    }

    /// From which duration on a run is slow. Default: never.
    #[must_use]
    pub fn slow(mut self, warning: Duration) -> Self {
        self.warning = warning;
        self
    }

    /// From which duration on a run is critically slow. Default: never.
    #[must_use]
    pub fn critical(mut self, critical: Duration) -> Self {
        self.critical = critical;
        self
    }

    /// Where failures are grouped. Default: [`ErrorTracker::global`].
    #[must_use]
    pub fn errors(mut self, tracker: impl Into<Option<ErrorTracker>>) -> Self {
        self.errors = tracker.into();
        self
    }

    /// Shows what it works on in the event; at most 1 KiB. Default: nothing, since data may be private.
    #[must_use]
    pub fn input(mut self, input: impl fmt::Display) -> Self {
        self.input = Some(shown(input));
        self
    }

    /// Runs a future whose error is an `Error`, and tracks how it ends.
    pub fn run<F, T, E>(self, future: F) -> Running<F>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        self.start(future, |output, tell| match output {
            Ok(_) => tell(Outcome::Success, None),
            Err(error) => tell(error_verdict(error), Some(Cause::of(error))),
        })
    }

    /// Runs a future whose error is only text to us: anyhow's, a boxed one, a `String`.
    pub fn run_any<F, T, E>(self, future: F) -> Running<F>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        self.start(future, |output, tell| match output {
            Ok(_) => tell(Outcome::Success, None),
            Err(error) => match view(error) {
                Some(error) => tell(error_verdict(error), Some(Cause::of(error))),
                None => {
                    let type_name = std::any::type_name::<E>();
                    let message = error.to_string();
                    let message = Some(&*message);
                    tell(Outcome::Failure, Some(Cause::Opaque { type_name, message }));
                }
            },
        })
    }

    /// Runs a future that cannot fail.
    pub fn time<F: Future>(self, future: F) -> Running<F> {
        self.start(future, |_, tell| tell(Outcome::Success, None))
    }

    /// Runs a closure that does not wait.
    ///
    /// # Errors
    ///
    /// The closure's own.
    pub fn call<T, E: Error + 'static>(self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut ticket = Ticket::new(self);
        let result = ticket.poll(work);
        match &result {
            Ok(_) => ticket.settle(Outcome::Success, None),
            Err(error) => ticket.settle(error_verdict(error), Some(Cause::of(error))),
        }
        result
    }

    fn start<F: Future>(self, future: F, look: Look<F::Output>) -> Running<F> {
        Running {
            future,
            start: Start::Waiting(Some(self)),
            look,
            output: None,
        }
    }

    fn numbers(&self) -> (u64, u64) {
        let names = names();
        let number = |name: &Name| u64::from(names.number(name.as_str()));
        (number(&self.name), number(&self.kind))
    }

    fn emit(&self, told: &Told<'_>, end: &End<'_>) {
        match told.outcome {
            outcome if outcome.is_error() && !end.is_inside_call() => {
                emit!(Level::ERROR, self, told);
                if tracing::enabled!(target: "tower_keep::operation", Level::ERROR) {
                    end.set_reported();
                }
            }
            _ if told.slow.is_some() => emit!(Level::WARN, self, told),
            _ => emit!(Level::DEBUG, self, told),
        }
    }
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

fn names() -> &'static Interner {
    static NAMES: OnceLock<Interner> = OnceLock::new();
    NAMES.get_or_init(|| Interner::new(MAX_NAMES))
}

#[derive(Debug)]
struct Meters {
    durations: Table<Histogram>,
    in_flight: Table<Gauge>,
}

fn with_meters<R>(then: impl FnOnce(&Meters) -> R) -> R {
    static METERS: Late<Meters> = Late::new();
    let make = || Meters {
        durations: Table::new(MAX_NAMES * Outcome::ALL.len()),
        in_flight: Table::new(MAX_NAMES),
    };
    METERS.with(make, then)
}

/// What a run of an operation holds.
#[derive(Debug)]
pub struct OperationPermit {
    counted_by: Option<usize>,
    numbers: (u64, u64),
    span: Span,
    output: Option<String>,
}

impl Operation {
    fn gauge(&self, (name, kind): (u64, u64), add: f64) {
        with_meters(|meters| {
            let names = names();
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
        with_meters(|meters| {
            let names = names();
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

    fn count_slow(&self, slow: Slow) {
        metrics::counter!(
            "operation_slow_total",
            "operation" => self.name.to_string(),
            "kind" => self.kind.to_string(),
            "level" => slow.as_str(),
        )
        .increment(1);
    }
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
        if permit.counted_by == quietly(recorder) {
            quietly(|| self.gauge(permit.numbers, -1.0));
        }
        quietly(|| self.measure(permit.numbers, outcome, elapsed));
        let slow = Thresholds {
            warning: self.warning,
            critical: self.critical,
        };
        let slow = slow.judge(elapsed);
        if let Some(slow) = slow {
            quietly(|| self.count_slow(slow));
        }
        let record = outcome.is_error().then(|| {
            let route = self.name.as_str();
            record_of(end)
                .with_route(route)
                .with_service(self.kind.as_str())
        });
        let group = self.errors.as_ref().zip(record.as_ref());
        let group = group.map(|(errors, record)| errors.record(record.clone()).to_string());
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
            self.gauge(numbers, 1.0);
            recorder()
        });
        Ok(OperationPermit {
            counted_by,
            numbers,
            span: quietly(|| self.span()).unwrap_or_else(Span::none),
            output: None,
        })
    }
}

/// Tells how an output is to be judged.
type Look<T> = fn(&T, &mut dyn FnMut(Outcome, Option<Cause<'_>>));

pin_project! {
    /// A tracked future; made by [`Operation::run`] and its siblings.
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<F>
    where
        F: Future,
    {
        #[pin]
        future: F,
        start: Start,
        look: Look<F::Output>,
        output: Option<Show<F::Output>>,
    }
}

/// Whether a run has begun: at the first poll, since a future that is never polled does nothing.
#[derive(Debug)]
enum Start {
    Waiting(Option<Operation>),
    Begun(Ticket),
}

impl Start {
    fn ticket(&mut self) -> &mut Ticket {
        if let Start::Waiting(operation) = self {
            let operation = operation.take().expect("begun once");
            *self = Start::Begun(Ticket::new(operation));
        }
        match self {
            Start::Begun(ticket) => ticket,
            Start::Waiting(_) => unreachable!("it has just begun"),
        }
    }
}

type Show<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

impl<F: Future> Running<F> {
    /// Shows what came out in the event; at most 1 KiB. Default: nothing, since data may be private.
    pub fn output(
        mut self,
        show: impl Fn(&F::Output) -> String + Send + Sync + 'static,
    ) -> Running<F> {
        self.output = Some(Box::new(show));
        self
    }
}

impl<F: Future> fmt::Debug for Running<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl<F: Future> Future for Running<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (ticket, future) = (this.start.ticket(), this.future);
        let output = ready!(ticket.poll(|| future.poll(cx)));
        if let Some(show) = this.output {
            let text = quietly(|| shown(show(&output)));
            if let Some((permit, _)) = &mut ticket.permit {
                permit.output = text;
            }
        }
        (this.look)(&output, &mut |outcome, cause| {
            ticket.settle(outcome, cause);
        });
        Poll::Ready(output)
    }
}

/// A run that has begun: settles once, at the latest when it is dropped.
#[derive(Debug)]
struct Ticket {
    operation: Operation,
    permit: Option<(OperationPermit, Instant)>,
}

impl Ticket {
    fn new(operation: Operation) -> Self {
        let _inside = Inside::other();
        let now = Moment::default();
        let permit = operation.admit(&mut (), &now).ok();
        Ticket {
            permit: permit.map(|permit| (permit, now.now())),
            operation,
        }
    }

    fn poll<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let _inside = Inside::other();
        let result = match &mut self.permit {
            Some((permit, _)) => {
                crate::guard::entered(&self.operation, permit, || caught_service(work))
            }
            None => caught_service(work),
        };
        result.unwrap_or_else(|thrown| self.panicked(Payload::new(thrown)))
    }

    fn panicked(&mut self, payload: Payload) -> ! {
        let cause = Cause::Panic(payload.message());
        self.finish(Outcome::Panicked, Some(cause), payload.seen());
        payload.resume()
    }

    fn settle(&mut self, outcome: Outcome, cause: Option<Cause<'_>>) {
        self.finish(outcome, cause, None);
    }

    fn finish(&mut self, outcome: Outcome, cause: Option<Cause<'_>>, panic: Option<&Seen>) {
        let Some((permit, began)) = self.permit.take() else {
            return;
        };
        let _inside = Inside::other();
        let now = Moment::default();
        let mut end = End::new(outcome, &now).with_began(began);
        end.cause = cause;
        end.panic = panic;
        quietly(|| self.operation.settle(permit, &end));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled, None);
    }
}

/// A text of bounded length.
fn shown(value: impl fmt::Display) -> String {
    written(value, MAX_SHOWN).into()
}
