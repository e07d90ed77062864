use tokio::time::Instant;

use super::{Operation, OperationPermit};
use crate::{
    call::{
        CallClock, CallEnd, CapturedPanic, CatchScope, Cause, Outcome, PanicDetails, PanicPayload,
        catch_hook, catch_service,
    },
    guard::{Admit, Guard, enter_scope},
};

/// A run of an operation in progress. Completes once, at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct OperationGuard {
    operation: Operation,
    /// With the time of the start; `None` once the run has completed.
    permit: Option<(OperationPermit, Instant)>,
}

impl OperationGuard {
    pub(super) fn new(operation: Operation) -> Self {
        let _scope = CatchScope::enter();
        let clock = CallClock::default();
        // An operation never rejects.
        let permit = operation.admit(&mut (), &clock).ok();
        OperationGuard {
            permit: permit.map(|permit| (permit, clock.now())),
            operation,
        }
    }

    /// Runs `work` in the scope of the run, and completes the run if it panics.
    pub(super) fn poll<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let _scope = CatchScope::enter();
        self.run_in_scope(work)
            .unwrap_or_else(|panic| self.complete_panicked(panic).resume())
    }

    /// Runs `drop` in the scope of the run. A panic completes the run, and is resumed unless the thread is panicking.
    pub(super) fn drop_in_scope(&mut self, drop: impl FnOnce()) {
        let _scope = CatchScope::enter();
        if let Err(panic) = self.run_in_scope(drop) {
            let panic = self.complete_panicked(panic);
            if !std::thread::panicking() {
                panic.resume();
            }
        }
    }

    fn run_in_scope<R>(&mut self, work: impl FnOnce() -> R) -> Result<R, PanicPayload> {
        let permit = self.permit.as_mut().map(|(permit, _)| permit);
        let _scope = enter_scope(&self.operation, permit);
        catch_service(work)
    }

    fn complete_panicked(&mut self, panic: PanicPayload) -> CapturedPanic {
        let panic = CapturedPanic::new(panic);
        let cause = Cause::Panic(panic.message());
        self.complete_with(Outcome::Panicked, Some(cause), panic.details());
        panic
    }

    pub(super) fn set_output(&mut self, output: Option<String>) {
        if let Some((permit, _)) = &mut self.permit {
            permit.output = output;
        }
    }

    pub(super) fn complete(&mut self, outcome: Outcome, cause: Option<Cause<'_>>) {
        self.complete_with(outcome, cause, None);
    }

    fn complete_with(
        &mut self,
        outcome: Outcome,
        cause: Option<Cause<'_>>,
        panic: Option<&PanicDetails>,
    ) {
        // It has completed before: with its output, or by a panic.
        let Some((permit, started_at)) = self.permit.take() else {
            return;
        };
        let _scope = CatchScope::enter();
        // A new clock, since the first one holds the time of the start.
        let clock = CallClock::default();
        let mut end = CallEnd::new(outcome, &clock).with_admitted_at(started_at);
        end.cause = cause;
        end.panic = panic;
        catch_hook(|| self.operation.on_end(permit, &end));
    }
}

impl Drop for OperationGuard {
    fn drop(&mut self) {
        self.complete(Outcome::Cancelled, None);
    }
}
