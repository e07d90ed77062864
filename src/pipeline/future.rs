use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{PipelineError, run::PipelineOutput};
use crate::{
    call::catch_hook,
    operation::{Operation, OperationFuture},
};

pin_project! {
    /// The future of a call through a pipeline; made by [`Pipeline::run`](super::Pipeline::run) and similar methods.
    #[must_use = "futures do nothing unless polled"]
    pub struct PipelineFuture<R>
    where
        R: Future,
    {
        #[pin]
        run: RunState<R>,
    }
}

pin_project! {
    #[project = RunStateProj]
    enum RunState<R>
    where
        R: Future,
    {
        Tracked { #[pin] run: OperationFuture<R> },
        Untracked { #[pin] run: R },
    }
}

impl<R, T, E> PipelineFuture<R>
where
    // The attempts, and the fallbacks so far.
    R: Future<Output = PipelineOutput<T, E>>,
    E: fmt::Display + 'static,
{
    pub(super) fn new(operation: Option<Operation>, run: R) -> Self {
        let run = match operation {
            None => RunState::Untracked { run },
            Some(operation) => {
                let run = operation.run_classified(run, |output, complete| {
                    let classified = output.result.as_ref().unwrap_or_else(|failed| failed);
                    classified.complete(complete);
                });
                RunState::Tracked { run }
            }
        };
        PipelineFuture { run }
    }

    /// Sets a value that replaces a failure: the call then succeeds with it.
    ///
    /// It replaces the errors whose outcome is a failure, or those for which the fallback of the pipeline is
    /// [configured](super::PipelineBuilder::fallback). Default: no value, since only the application knows one.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let pipeline = Pipeline::builder("recommendations").build()?;
    /// let load = || async { Err::<Vec<String>, _>(std::io::Error::other("reset")) };
    /// assert!(pipeline.run(load).fallback_value(Vec::new()).await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn fallback_value(
        self,
        value: T,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>>> {
        self.map_run(|run| async move { run.await.or_value(value) })
    }

    /// Sets an async closure that is called with the error of a failed call. The call ends with what it returns.
    ///
    /// The closure is outside of all limits but the caller's deadline, after which it is not called. It may return the error,
    /// or the result of another pipeline. It is called for the errors that
    /// [`fallback_value`](Self::fallback_value) replaces. Default: no closure.
    ///
    /// ```
    /// use tower_keep::{BoxError, Pipeline};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
    /// # let read = async |node: &str| if node == "replica" { Ok(7) } else { Err(std::io::Error::other("reset")) };
    /// let primary = Pipeline::builder("primary").breaker(|breaker| breaker).build()?;
    /// let replica = Pipeline::builder("replica").breaker(|breaker| breaker).build()?;
    /// let row = primary
    ///     .run(|| read("primary"))
    ///     .fallback_with(async |_error| replica.run(|| read("replica")).await)
    ///     .await?;
    /// assert_eq!(row, 7);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// A panic of the closure is counted as a failed fallback, and is re-raised (`resume_unwind`).
    pub fn fallback_with<F, Fut>(
        self,
        respond: F,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>>>
    where
        F: FnOnce(PipelineError<E>) -> Fut,
        Fut: Future<Output = Result<T, PipelineError<E>>>,
    {
        self.map_run(|run| async move {
            let output = run.await;
            let applies = output.has_fallback();
            output.or_call(applies, respond).await
        })
    }

    /// Sets an async closure as [`fallback_with`](Self::fallback_with) does, which is called for the errors that a predicate
    /// chooses, whatever else is configured.
    ///
    /// The predicate is called for every error whose outcome is not `Success`. If it panics, it counts as `false`. Default: no
    /// closure.
    ///
    /// ```
    /// use tower_keep::{BoxError, Pipeline};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
    /// let prices = Pipeline::builder("prices").breaker(|breaker| breaker).build()?;
    /// prices.breaker().unwrap().force_open();
    /// let price = prices
    ///     .run(|| async { Ok::<_, std::io::Error>(8) })
    ///     .fallback_if(|error| error.rejection().is_some(), async |_error| Ok(7))
    ///     .await?;
    /// assert_eq!(price, 7);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics as [`fallback_with`](Self::fallback_with) does.
    pub fn fallback_if<P, F, Fut>(
        self,
        applies: P,
        respond: F,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>>>
    where
        // Chooses the errors.
        P: FnOnce(&PipelineError<E>) -> bool,
        // Makes the result.
        F: FnOnce(PipelineError<E>) -> Fut,
        Fut: Future<Output = Result<T, PipelineError<E>>>,
    {
        self.map_run(|run| async move {
            let output = run.await;
            let error = output.failure_error();
            let applies = error.is_some_and(|error| catch_hook(|| applies(error)) == Some(true));
            output.or_call(applies, respond).await
        })
    }

    /// Puts something around the run, inside of the operation.
    fn map_run<N>(self, map: impl FnOnce(R) -> N) -> PipelineFuture<N>
    where
        N: Future<Output = PipelineOutput<T, E>>,
    {
        let run = match self.run {
            RunState::Tracked { run } => RunState::Tracked {
                run: run.map_future(map),
            },
            RunState::Untracked { run } => RunState::Untracked { run: map(run) },
        };
        PipelineFuture { run }
    }
}

impl<R, T, E> Future for PipelineFuture<R>
where
    R: Future<Output = PipelineOutput<T, E>>,
{
    type Output = Result<T, PipelineError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let output = match self.project().run.project() {
            RunStateProj::Tracked { run } => ready!(run.poll(cx)),
            RunStateProj::Untracked { run } => ready!(run.poll(cx)),
        };
        Poll::Ready(output.result.unwrap_or_else(|failed| failed).result)
    }
}

impl<R: Future> fmt::Debug for PipelineFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineFuture").finish_non_exhaustive()
    }
}
