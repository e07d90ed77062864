use std::{error::Error, fmt, future::Future, sync::Arc};

use super::{
    PipelineBuilder, PipelineFuture,
    classified::{AsError, as_error, as_known_error},
    lent_work::LentWork,
    run::{PipelineOutput, PipelineRun},
    shared::PipelineShared,
};
use crate::{
    breaker::CircuitBreaker,
    bulkhead::Bulkhead,
    call::{ClassifyOutput, Label},
    fallback::Fallback,
    hedge::Hedge,
    priority::Prioritizer,
    rate_limit::RateLimit,
    retry::Retry,
    throttle::Throttle,
    timeout::TimeLimit,
};

/// Time limits, retries, a circuit breaker, a fallback and tracking around a closure: see the [module](super).
///
/// # Clones
///
/// Clones are the same pipeline: they share all parts.
#[derive(Clone)]
pub struct Pipeline {
    shared: Arc<PipelineShared>,
}

impl Pipeline {
    /// Returns a builder of a pipeline, which tracks its calls and has no other part yet. All parts have its name.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// let pipeline = Pipeline::builder("db").breaker(|breaker| breaker.failure_rate(0.2)).build()?;
    /// assert_eq!(pipeline.breaker().unwrap().name(), "db");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> PipelineBuilder {
        PipelineBuilder::new(name.into())
    }

    pub(super) fn from_parts(parts: PipelineShared) -> Self {
        Pipeline {
            shared: Arc::new(parts),
        }
    }

    /// Returns the parts, for unit tests.
    #[cfg(test)]
    pub(super) fn into_shared(self) -> Arc<PipelineShared> {
        self.shared
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// Returns the fallback, if it is configured or a call has needed it.
    pub fn fallback(&self) -> Option<&Fallback> {
        self.shared.fallback.get()
    }

    /// Returns the limit of all attempts together, which can be changed while it is in use.
    pub fn total_limit(&self) -> Option<&TimeLimit> {
        self.shared.total_limit.as_ref()
    }

    /// Returns the retry.
    pub fn retry(&self) -> Option<&Retry> {
        self.shared.retry.as_ref()
    }

    /// Returns the prioritizer.
    pub fn prioritizer(&self) -> Option<&Prioritizer> {
        self.shared.prioritizer.as_ref()
    }

    /// Returns the hedge.
    pub fn hedge(&self) -> Option<&Hedge> {
        self.shared.hedge.as_ref()
    }

    /// Returns the bulkhead.
    pub fn bulkhead(&self) -> Option<&Bulkhead> {
        self.shared.bulkhead.as_ref()
    }

    /// Returns the throttle.
    pub fn throttle(&self) -> Option<&Throttle> {
        self.shared.throttle.as_ref()
    }

    /// Returns the breaker.
    pub fn breaker(&self) -> Option<&CircuitBreaker> {
        self.shared.breaker.as_ref()
    }

    /// Returns the rate limit.
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.shared.rate_limit.as_ref()
    }

    /// Returns the limit of one attempt, which can be changed while it is in use.
    pub fn attempt_limit(&self) -> Option<&TimeLimit> {
        self.shared.attempt_limit.as_ref()
    }

    /// Runs work through all parts. The work is a closure that makes a future for each attempt.
    ///
    /// Nothing happens before the first poll. For work that changes what it borrows, use [`run_mut`](Self::run_mut).
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// async fn query(pool: &[u32], id: u32) -> std::io::Result<bool> {
    ///     Ok(pool.contains(&id))
    /// }
    ///
    /// let pipeline = Pipeline::builder("db").retry(|retry| retry.preset_internal()).build()?;
    /// let pool = vec![7];
    /// assert!(pipeline.run(|| query(&pool, 7)).await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the last attempt, a rejection, or that of a time limit.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime that has a timer, when a part has to wait.
    pub fn run<F, Fut, T, E>(
        &self,
        work: F,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>> + use<F, Fut, T, E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        self.run_parts(work, as_error, |_| None, true)
    }

    /// Runs work that changes what it borrows, such as a connection: an async closure, which is called for each attempt. An
    /// attempt that is dropped in the middle gives back what it has borrowed. Allocates once. Never
    /// [hedged](PipelineBuilder::hedge), since two attempts cannot borrow the same.
    ///
    /// Not for axum handlers and spawned tasks, whose futures must be `Send`: the compiler does not see that such a call is
    /// ("implementation of `Send` is not general enough"). There, use [`run`](Self::run) with a pool, or with a mutex around
    /// the borrow, as in the second example.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// async fn insert(connection: &mut Vec<u32>, id: u32) -> std::io::Result<usize> {
    ///     connection.push(id);
    ///     if connection.len() < 2 { Err(std::io::Error::other("reset")) } else { Ok(connection.len()) }
    /// }
    ///
    /// let pipeline = Pipeline::builder("db").retry(|retry| retry.preset_internal()).build()?;
    /// let mut connection = Vec::new();
    /// let rows = pipeline.run_mut(async || insert(&mut connection, 7).await).await?;
    /// assert_eq!(rows, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// In an axum handler:
    ///
    /// ```
    /// use axum::{Router, extract::{Path, State}, http::StatusCode, routing::get};
    /// use tokio::sync::Mutex;
    /// use tower_keep::Pipeline;
    /// # #[derive(Clone)] struct Pool;
    /// # struct Connection;
    /// # impl Pool { async fn take(&self) -> Connection { Connection } }
    /// # impl Connection { async fn fetch(&mut self, id: u32) -> std::io::Result<String> { Ok(id.to_string()) } }
    ///
    /// #[derive(Clone)]
    /// struct App { db: Pipeline, pool: Pool }
    ///
    /// async fn order(State(app): State<App>, Path(id): Path<u32>) -> Result<String, StatusCode> {
    ///     let mut connection = app.pool.take().await;
    ///     let connection = Mutex::new(&mut connection);
    ///     let row = app.db.run(|| async { connection.lock().await.fetch(id).await }).await;
    ///     row.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    /// }
    ///
    /// let app: Router<App> = Router::new().route("/orders/{id}", get(order));
    /// # let _ = app;
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does.
    pub fn run_mut<F, T, E>(
        &self,
        work: F,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>> + use<F, T, E>>
    where
        F: AsyncFnMut() -> Result<T, E>,
        E: Error + 'static,
    {
        let work = LentWork::new(work);
        let attempt = move || {
            let mut work = work.lend();
            async move { work.run().await }
        };
        self.run_parts(attempt, as_error, |_| None, false)
    }

    /// Runs work whose error does not implement `Error`: a boxed one ("the size of `dyn Error` cannot be known" with
    /// [`run`](Self::run)), anyhow's, a `String`. An error of an unknown type is a
    /// failure.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::ConfigError> {
    /// let pipeline = Pipeline::builder("db").build()?;
    /// let error = pipeline.run_display(|| async { Err::<u32, _>("no row") }).await.unwrap_err();
    /// assert_eq!(error.into_inner(), Some("no row"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does.
    pub fn run_display<F, Fut, T, E>(
        &self,
        work: F,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>> + use<F, Fut, T, E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        self.run_parts(work, as_known_error, |_| None, true)
    }

    /// Runs work, and classifies each of its results by an [`Outcome`](crate::Outcome) or a [`ClassifyOutput`]: for work that
    /// fails without an error. Instead of [`classify_error`](PipelineBuilder::classify_error), for this call.
    ///
    /// A closure that panics counts as a failure. A rejection by a guard of this process stays one.
    ///
    /// ```
    /// use tower_keep::{Outcome, Pipeline};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let pipeline = Pipeline::builder("jobs").retry(|retry| retry).build()?;
    /// let mut runs = 0;
    /// let exit_code = pipeline
    ///     .run_classified(
    ///         || {
    ///             runs += 1;
    ///             let exit_code = if runs < 3 { 75 } else { 0 };
    ///             async move { Ok::<_, std::io::Error>(exit_code) }
    ///         },
    ///         |result| match result {
    ///             Ok(0) => Outcome::Success,
    ///             _ => Outcome::Failure,
    ///         },
    ///     )
    ///     .await?;
    /// assert_eq!((exit_code, runs), (0, 3));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). The result of the last attempt is returned as it is: an `Ok` that is classified as a failure
    /// stays an `Ok`.
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does.
    pub fn run_classified<F, Fut, T, E, O, C>(
        &self,
        work: F,
        classify: C,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>> + use<F, Fut, T, E, O, C>>
    where
        // The work.
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
        // Classifies its result.
        C: Fn(&Result<T, E>) -> O,
        O: Into<ClassifyOutput>,
    {
        let classify = move |result: &Result<T, E>| Some(classify(result).into());
        self.run_parts(work, as_error, classify, true)
    }

    fn run_parts<F, Fut, T, E, C>(
        &self,
        work: F,
        as_error: AsError<E>,
        classify: C,
        may_overlap: bool,
    ) -> PipelineFuture<impl Future<Output = PipelineOutput<T, E>> + use<F, Fut, T, E, C>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let run = PipelineRun {
            work,
            as_error,
            classify,
            may_overlap,
        };
        let operation = self.shared.operation.clone();
        PipelineFuture::new(operation, run.run(Arc::clone(&self.shared)))
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.shared.name)
            .field("fallback", &self.shared.fallback.get())
            .field("total_limit", &self.shared.total_limit)
            .field("retry", &self.shared.retry)
            .field("prioritizer", &self.shared.prioritizer)
            .field("hedge", &self.shared.hedge)
            .field("bulkhead", &self.shared.bulkhead)
            .field("throttle", &self.shared.throttle)
            .field("breaker", &self.shared.breaker)
            .field("rate_limit", &self.shared.rate_limit)
            .field("attempt_limit", &self.shared.attempt_limit)
            .finish_non_exhaustive()
    }
}
