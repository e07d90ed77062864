use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Operation, display_caught, run_guard::OperationGuard};
use crate::call::{Cause, Outcome, catch_hook};

/// Classifies an output: passes its outcome and its cause on to the callback.
pub(super) type ClassifyFn<T> = fn(&T, &mut dyn FnMut(Outcome, Option<Cause<'_>>));

pin_project! {
    /// A tracked future; made by [`Operation::run`] and similar methods.
    #[must_use = "futures do nothing unless polled"]
    pub struct OperationFuture<F>
    where
        F: Future,
    {
        // None once it has completed.
        #[pin]
        future: Option<F>,
        state: RunState,
        classify: ClassifyFn<F::Output>,
        format_output: Option<FormatFn<F::Output>>,
    }

    impl<F: Future> PinnedDrop for OperationFuture<F> {
        // In the scope of the run: events of the drop belong to its span, and a panic is one of the run.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let RunState::Running(run) = this.state {
                run.drop_in_scope(|| this.future.set(None));
            }
        }
    }
}

/// The state of a run. It starts at the first poll: a future that is never polled does nothing.
#[derive(Debug)]
enum RunState {
    NotStarted(Option<Operation>),
    Running(OperationGuard),
}

impl RunState {
    /// Returns the run, which is started if necessary.
    fn start(&mut self) -> &mut OperationGuard {
        if let RunState::NotStarted(operation) = self {
            let operation = operation.take().expect("an operation starts once");
            *self = RunState::Running(OperationGuard::new(operation));
        }
        match self {
            RunState::Running(run) => run,
            RunState::NotStarted(_) => unreachable!("the operation has just been started"),
        }
    }
}

type FormatFn<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

impl<F: Future> OperationFuture<F> {
    pub(super) fn new(operation: Operation, future: F, classify: ClassifyFn<F::Output>) -> Self {
        OperationFuture {
            future: Some(future),
            state: RunState::NotStarted(Some(operation)),
            classify,
            format_output: None,
        }
    }

    /// Adds the output to the event, formatted by the closure and truncated to 1 KiB. Default: none, since data may be
    /// private.
    ///
    /// The number of rows instead of the rows:
    ///
    /// ```
    /// use tower_keep::operation;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let rows = operation("count_orders")
    ///     .run_infallible(async { 7 })
    ///     .output(|rows| format!("{rows} rows"))
    ///     .await;
    /// # assert_eq!(rows, 7); }
    /// ```
    pub fn output(
        mut self,
        format: impl Fn(&F::Output) -> String + Send + Sync + 'static,
    ) -> OperationFuture<F> {
        self.format_output = Some(Box::new(format));
        self
    }
}

impl<F: Future> fmt::Debug for OperationFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationFuture")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<F: Future> Future for OperationFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let run = this.state.start();
        let output = ready!(run.poll(|| {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect("polled after completion").poll(cx);
            // Dropped in the scope of the run, so that events of the drop belong to its span.
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        }));
        // Before the run completes, which consumes the output along with the permit.
        if let Some(format) = this.format_output {
            run.set_output(catch_hook(|| display_caught(format(&output))).flatten());
        }
        (this.classify)(&output, &mut |outcome, cause| {
            run.complete(outcome, cause);
        });
        Poll::Ready(output)
    }
}
