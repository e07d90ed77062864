use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{Operation, OperationPermit, display_caught};
use crate::{
    call::{
        CallClock, CallEnd, CapturedPanic, CatchScope, Cause, Outcome, PanicDetails, PanicPayload,
        catch_hook, catch_service,
    },
    guard::{Admit, Guard, enter_scope},
};

/// Tells how an output is to be judged.
pub(super) type ClassifyFn<T> = fn(&T, &mut dyn FnMut(Outcome, Option<Cause<'_>>));

pin_project! {
    /// A tracked future; made by [`Operation::run`] and its siblings.
    #[must_use = "futures do nothing unless polled"]
    pub struct OperationFuture<F>
    where
        F: Future,
    {
        // None once it is over.
        #[pin]
        future: Option<F>,
        state: RunState,
        classify: ClassifyFn<F::Output>,
        format_output: Option<FormatFn<F::Output>>,
    }

    impl<F: Future> PinnedDrop for OperationFuture<F> {
        // Dropped in the operation's span: what it still says belongs there, and a panic is one of the run.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let RunState::Running(ticket) = this.state {
                ticket.drop_in_scope(|| this.future.set(None));
            }
        }
    }
}

/// Whether a run has begun: at the first poll, since a future that is never polled does nothing.
#[derive(Debug)]
enum RunState {
    NotStarted(Option<Operation>),
    Running(OperationGuard),
}

impl RunState {
    fn start(&mut self) -> &mut OperationGuard {
        if let RunState::NotStarted(operation) = self {
            let operation = operation.take().expect("begun once");
            *self = RunState::Running(OperationGuard::new(operation));
        }
        match self {
            RunState::Running(ticket) => ticket,
            RunState::NotStarted(_) => unreachable!("it has just begun"),
        }
    }
}

type FormatFn<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

impl<F: Future> OperationFuture<F> {
    pub(super) fn new(operation: Operation, future: F, look: ClassifyFn<F::Output>) -> Self {
        OperationFuture {
            future: Some(future),
            state: RunState::NotStarted(Some(operation)),
            classify: look,
            format_output: None,
        }
    }

    /// Shows what came out in the event; at most 1 KiB. Default: nothing, since data may be private.
    pub fn output(
        mut self,
        show: impl Fn(&F::Output) -> String + Send + Sync + 'static,
    ) -> OperationFuture<F> {
        self.format_output = Some(Box::new(show));
        self
    }
}

impl<F: Future> fmt::Debug for OperationFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("start", &self.state)
            .finish_non_exhaustive()
    }
}

impl<F: Future> Future for OperationFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let ticket = this.state.start();
        let output = ready!(ticket.poll(|| {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect("polled after completion").poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        }));
        if let Some(show) = this.format_output {
            let text = catch_hook(|| display_caught(show(&output))).flatten();
            if let Some((permit, _)) = &mut ticket.permit {
                permit.output = text;
            }
        }
        (this.classify)(&output, &mut |outcome, cause| {
            ticket.complete(outcome, cause);
        });
        Poll::Ready(output)
    }
}

/// A run that has begun: settles once, at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct OperationGuard {
    operation: Operation,
    permit: Option<(OperationPermit, Instant)>,
}

impl OperationGuard {
    pub(super) fn new(operation: Operation) -> Self {
        let _inside = CatchScope::enter();
        let now = CallClock::default();
        let permit = operation.admit(&mut (), &now).ok();
        OperationGuard {
            permit: permit.map(|permit| (permit, now.now())),
            operation,
        }
    }

    pub(super) fn poll<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let _scope = CatchScope::enter();
        self.run_in_scope(work)
            .unwrap_or_else(|thrown| self.complete_panicked(thrown).resume())
    }

    /// Drops what is left of the run. A panic settles it, and goes on unless another is under way.
    fn drop_in_scope(&mut self, drop: impl FnOnce()) {
        let _scope = CatchScope::enter();
        if let Err(thrown) = self.run_in_scope(drop) {
            let payload = self.complete_panicked(thrown);
            if !std::thread::panicking() {
                payload.resume();
            }
        }
    }

    fn run_in_scope<R>(&mut self, work: impl FnOnce() -> R) -> Result<R, PanicPayload> {
        let permit = self.permit.as_mut().map(|(permit, _)| permit);
        let _scope = enter_scope(&self.operation, permit);
        catch_service(work)
    }

    fn complete_panicked(&mut self, thrown: PanicPayload) -> CapturedPanic {
        let payload = CapturedPanic::new(thrown);
        let cause = Cause::Panic(payload.message());
        self.complete_with(Outcome::Panicked, Some(cause), payload.details());
        payload
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
        let Some((permit, began)) = self.permit.take() else {
            return;
        };
        let _inside = CatchScope::enter();
        let now = CallClock::default();
        let mut end = CallEnd::new(outcome, &now).with_admitted_at(began);
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
