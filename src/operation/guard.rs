//! The hooks of an [`Operation`], and what it reports when a run completes.

use tracing::{Level, Span};

use super::{Operation, OperationPermit, metrics::operation_metrics};
use crate::{
    call::{CallClock, CallEnd, Outcome, Rejection, catch_hook},
    context::Context,
    errors::error_description::ErrorDescription,
    guard::{Admit, Guard},
    protocol::Side,
    track::{CallReport, SlowLevel},
    util::duration::as_millis_f64,
};

// A macro, since the level of an event must be a constant.
macro_rules! operation_event {
    ($level:expr, $operation:expr, $output:expr, $report:expr) => {
        Context::with_current(|context| {
            let (operation, report): (&Operation, &CallReport<'_>) = ($operation, $report);
            tracing::event!(
                target: "tower_keep::operation",
                $level,
                operation = operation.name.as_str(),
                kind = operation.kind.as_str(),
                outcome = report.outcome().as_str(),
                duration_ms = as_millis_f64(report.elapsed),
                slow = report.slow.map(SlowLevel::as_str),
                input = operation.input.as_deref(),
                output = $output,
                error_type = report.error_type(),
                error = report.error_message().as_deref(),
                root_cause = report.root_cause(),
                error_location = report.error_location(),
                error_group = report.error_group(),
                request_id = context.map(Context::request_id),
                correlation_id = context.map(Context::correlation_id),
                trace_id = context.map(|context| tracing::field::display(context.trace_id())),
                "operation"
            )
        })
    };
}

impl<Req> Admit<Req> for Operation {
    fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<OperationPermit, Rejection> {
        clock.now();
        let metrics = operation_metrics();
        let key = metrics.key(self.name.as_str(), self.kind.as_str());
        Ok(OperationPermit {
            in_flight: catch_hook(|| metrics.inc_in_flight(key)).unwrap_or_default(),
            watched: self.watch(clock),
            key,
            span: catch_hook(|| self.open_span()).unwrap_or_else(Span::none),
            output: None,
        })
    }
}

impl Guard for Operation {
    type Permit = OperationPermit;

    #[inline]
    fn enter(&self, permit: &mut OperationPermit) -> impl Sized {
        let span = &permit.span;
        // Most runs have no span, since it is at `DEBUG`.
        (!span.is_disabled()).then(|| span.enter())
    }

    fn on_end(&self, mut permit: OperationPermit, end: &CallEnd<'_>) {
        // First, so that the gauge falls whatever becomes of the rest.
        leave_in_flight(&mut permit);
        let mut report = CallReport::new(end, ErrorDescription::from_end(end, Side::Server));
        report.slow = self.thresholds.level(report.elapsed);
        permit.watched.leave(end, || self.is_slow(&report));
        complete_metrics(&permit, &report);
        // Before the log line, which shows the error group.
        complete_error(self, &mut report);
        complete_log(self, &permit, &report);
        complete_span(permit, &report);
    }
}

// The steps of a run that completes. Recorders, subscribers and error sinks may panic: each is caught by itself, so that
// the others are still called.

fn leave_in_flight(permit: &mut OperationPermit) {
    let in_flight = std::mem::take(&mut permit.in_flight);
    catch_hook(|| operation_metrics().dec_in_flight(permit.key, in_flight));
}

fn complete_metrics(permit: &OperationPermit, report: &CallReport<'_>) {
    let metrics = operation_metrics();
    catch_hook(|| metrics.record_duration(permit.key, report.outcome(), report.elapsed));
    if let Some(level) = report.slow {
        catch_hook(|| metrics.count_slow(permit.key, level));
    }
}

fn complete_error(operation: &Operation, report: &mut CallReport<'_>) {
    if report.outcome().is_error() {
        report.describe(|error| {
            let record = error.error_record().with_route(operation.name.as_str());
            record.with_service(operation.kind.as_str())
        });
        report.group_error(operation.errors.as_ref());
    }
}

fn complete_log(operation: &Operation, permit: &OperationPermit, report: &CallReport<'_>) {
    let output = permit.output.as_deref();
    // Caught inside of the span too: leaving the span calls the subscriber again, which may panic again.
    catch_hook(|| {
        permit
            .span
            .in_scope(|| catch_hook(|| emit_event(operation, output, report)))
    });
}

fn emit_event(operation: &Operation, output: Option<&str>, report: &CallReport<'_>) {
    let end = report.end;
    match report.outcome() {
        outcome if outcome.is_error() && !end.is_nested() => {
            emit_event_at(Level::ERROR, operation, output, report);
            end.mark_panic_reported(
                || tracing::enabled!(target: "tower_keep::operation", Level::ERROR),
            );
        }
        // Nested: the outer call may handle the error.
        Outcome::Failure | Outcome::TimedOut => {
            emit_event_at(Level::WARN, operation, output, report)
        }
        _ if report.slow.is_some() => emit_event_at(Level::WARN, operation, output, report),
        // Nested as well: reported by the outer call, or by whoever catches it.
        Outcome::Panicked => emit_event_at(Level::DEBUG, operation, output, report),
        _ => emit_event_at(operation.success_level(), operation, output, report),
    }
}

fn emit_event_at(
    level: Level,
    operation: &Operation,
    output: Option<&str>,
    report: &CallReport<'_>,
) {
    match level {
        Level::ERROR => operation_event!(Level::ERROR, operation, output, report),
        Level::WARN => operation_event!(Level::WARN, operation, output, report),
        Level::INFO => operation_event!(Level::INFO, operation, output, report),
        Level::DEBUG => operation_event!(Level::DEBUG, operation, output, report),
        Level::TRACE => operation_event!(Level::TRACE, operation, output, report),
    }
}

fn record_end(span: &Span, report: &CallReport<'_>) {
    let is_error = report.outcome().is_error();
    let description = is_error.then(|| report.error_message()).flatten();
    tracing::record_all!(
        span,
        outcome = report.outcome().as_str(),
        error.type = report.error_type(),
        error.group = report.error_group(),
        otel.status_code = is_error.then_some("ERROR"),
        // After the code, which would clear it.
        otel.status_description = description.as_deref(),
    );
}

fn complete_span(permit: OperationPermit, report: &CallReport<'_>) {
    // The permit is dropped in here as well: closing the span calls subscribers.
    catch_hook(move || {
        if !permit.span.is_disabled() {
            record_end(&permit.span, report);
        }
        drop(permit);
    });
}
