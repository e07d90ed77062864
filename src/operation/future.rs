use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    Operation,
    handle::{custom_outcome, display_caught, outcome_or_failure},
    run_guard::OperationGuard,
};
use crate::{
    call::{Cause, ClassifyOutput, Outcome, catch_hook},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// Classifies an output: passes its outcome and its cause on to the callback.
pub(super) type ClassifyOutputFn<T> = fn(&T, &mut dyn FnMut(Outcome, Option<Cause<'_>>));

pin_project! {
    /// A tracked future; made by [`Operation::run`] and similar methods.
    #[must_use = "futures do nothing unless polled"]
    pub struct OperationFuture<F, C = ()>
    where
        F: Future,
    {
        // None once it has completed.
        #[pin]
        future: Option<F>,
        state: RunState,
        classify_output: ClassifyOutputFn<F::Output>,
        classify: C,
        format_output: Option<FormatFn<F::Output>>,
    }

    impl<F: Future, C> PinnedDrop for OperationFuture<F, C> {
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
    pub(super) fn new(
        operation: Operation,
        future: F,
        classify_output: ClassifyOutputFn<F::Output>,
    ) -> Self {
        OperationFuture {
            future: Some(future),
            state: RunState::NotStarted(Some(operation)),
            classify_output,
            classify: (),
            format_output: None,
        }
    }

    /// Sets which errors are failures. Every other error is expected, and ends the run as `client_error`: no error record,
    /// and the event is at the [level](Operation::level) of a success.
    ///
    /// A predicate that panics counts as a failure. A rejection by a guard of this process stays one. Default: an error is
    /// classified by its type; most are failures.
    ///
    /// A row that may be missing:
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::operation;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let row = operation("find_order")
    ///     .run(async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .failure_if(|error| error.kind() != ErrorKind::NotFound)
    ///     .await;
    /// assert!(row.is_err());
    /// # }
    /// ```
    pub fn failure_if<T, E, P>(
        self,
        is_failure: P,
    ) -> OperationFuture<F, impl Fn(&F::Output) -> Option<Outcome>>
    where
        F: Future<Output = Result<T, E>>,
        P: Fn(&E) -> bool,
    {
        self.classify_error(move |error: &E| match is_failure(error) {
            true => Outcome::Failure,
            false => Outcome::ClientError,
        })
    }

    /// Sets a closure that classifies errors by an [`Outcome`] or a [`ClassifyOutput`], of which only the outcome counts.
    ///
    /// A closure that panics counts as a failure. A rejection by a guard of this process stays one. Default: an error is
    /// classified by its type; most are failures.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::{Outcome, operation};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let row = operation("find_order")
    ///     .run(async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .classify_error(|error| match error.kind() {
    ///         ErrorKind::NotFound => Outcome::Success,
    ///         ErrorKind::TimedOut => Outcome::TimedOut,
    ///         _ => Outcome::Failure,
    ///     })
    ///     .await;
    /// assert!(row.is_err());
    /// # }
    /// ```
    pub fn classify_error<T, E, O, P>(
        self,
        classify: P,
    ) -> OperationFuture<F, impl Fn(&F::Output) -> Option<Outcome>>
    where
        F: Future<Output = Result<T, E>>,
        O: Into<ClassifyOutput>,
        P: Fn(&E) -> O,
    {
        self.with_classify(move |output: &F::Output| {
            let error = output.as_ref().err()?;
            Some(outcome_or_failure(|| classify(error).into().outcome()))
        })
    }

    /// Sets a closure that classifies the output: for work that fails without an error.
    ///
    /// A closure that panics counts as a failure. Default: an output is classified by its error; one without an error is a success.
    ///
    /// ```
    /// use tower_keep::{Outcome, operation};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let exit_code = operation("backup")
    ///     .run_infallible(async { 3 })
    ///     .classify(|exit_code| match exit_code {
    ///         0 => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     })
    ///     .await;
    /// assert_eq!(exit_code, 3);
    /// # }
    /// ```
    pub fn classify<P>(
        self,
        classify: P,
    ) -> OperationFuture<F, impl Fn(&F::Output) -> Option<Outcome>>
    where
        P: Fn(&F::Output) -> Outcome,
    {
        self.with_classify(move |output: &F::Output| Some(outcome_or_failure(|| classify(output))))
    }

    /// Replaces the future by one with the same output. Only before the first poll, which pins the future.
    pub(crate) fn map_future<G>(mut self, map: impl FnOnce(F) -> G) -> OperationFuture<G>
    where
        G: Future<Output = F::Output>,
    {
        let future = self.future.take();
        OperationFuture {
            future: future.map(map),
            state: std::mem::replace(&mut self.state, RunState::NotStarted(None)),
            classify_output: self.classify_output,
            classify: (),
            format_output: self.format_output.take(),
        }
    }

    fn with_classify<C>(mut self, classify: C) -> OperationFuture<F, C> {
        // Taken out one by one, since a type with a `Drop` cannot be taken apart. What is left does nothing when dropped.
        OperationFuture {
            future: self.future.take(),
            state: std::mem::replace(&mut self.state, RunState::NotStarted(None)),
            classify_output: self.classify_output,
            classify,
            format_output: self.format_output.take(),
        }
    }
}

impl<F: Future, C> OperationFuture<F, C> {
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
    ) -> OperationFuture<F, C> {
        self.format_output = Some(Box::new(format));
        self
    }

    fn poll_run(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        classify: impl FnOnce(&C, &F::Output) -> Option<Outcome>,
    ) -> Poll<F::Output> {
        let mut this = self.project();
        let run = this.state.start();
        let output = ready!(run.poll(|| {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect(POLLED_AFTER_COMPLETION).poll(cx);
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
        let custom = classify(this.classify, &output);
        (this.classify_output)(&output, &mut |outcome, cause| {
            run.complete(custom_outcome(outcome, custom), cause);
        });
        Poll::Ready(output)
    }
}

impl<F: Future, C> fmt::Debug for OperationFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationFuture")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<F: Future> Future for OperationFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        self.poll_run(cx, |_, _| None)
    }
}

impl<F, C> Future for OperationFuture<F, C>
where
    // The work.
    F: Future,
    // Classifies its output.
    C: Fn(&F::Output) -> Option<Outcome>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        self.poll_run(cx, |classify, output| classify(output))
    }
}
