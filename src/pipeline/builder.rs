use std::{sync::OnceLock, time::Duration};

use super::{
    Pipeline, error_classifier::ErrorClassifier, hedge_part::HedgePart, injected::PipelineFaults,
    limits::PipelineLimits, shared::PipelineShared,
};
use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    bulkhead::{Bulkhead, BulkheadBuilder},
    call::{ClassifyOutput, ConfigError, Label},
    chaos::{Chaos, InjectedFault},
    fallback::{Fallback, FallbackBuilder},
    hedge::{Hedge, HedgeBuilder},
    operation::Operation,
    priority::{Prioritizer, PrioritizerBuilder},
    rate_limit::{RateLimit, RateLimitBuilder},
    retry::{Retry, RetryBuilder},
    throttle::{Throttle, ThrottleBuilder},
};

/// Builder of a [`Pipeline`]; made by [`Pipeline::builder`].
#[derive(Clone, Debug)]
pub struct PipelineBuilder {
    name: Label,
    operation: Option<Operation>,
    fallback: Option<Result<Fallback, ConfigError>>,
    limits: PipelineLimits,
    prioritizer: Option<Result<Prioritizer, ConfigError>>,
    bulkhead: Option<Result<Bulkhead, ConfigError>>,
    retry: Option<Result<Retry, ConfigError>>,
    hedge: Option<HedgePart>,
    throttle: Option<Result<Throttle, ConfigError>>,
    breaker: Option<Result<CircuitBreaker, ConfigError>>,
    rate_limit: Option<Result<RateLimit, ConfigError>>,
    faults: PipelineFaults,
    classify_error: Option<ErrorClassifier>,
}

impl PipelineBuilder {
    pub(super) fn new(name: Label) -> Self {
        PipelineBuilder {
            operation: Some(Operation::new(name.clone())),
            fallback: None,
            limits: PipelineLimits::new(name.clone()),
            name,
            prioritizer: None,
            bulkhead: None,
            retry: None,
            hedge: None,
            throttle: None,
            breaker: None,
            rate_limit: None,
            faults: PipelineFaults::default(),
            classify_error: None,
        }
    }

    /// Changes the operation that tracks the calls: its kind, when a call is slow, where its errors go. Default: an operation
    /// with the name of the pipeline.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::Pipeline;
    ///
    /// let slow = Duration::from_millis(200);
    /// let pipeline = Pipeline::builder("db").operation(|operation| operation.kind("db").slow(slow)).build()?;
    /// # let _ = pipeline;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn operation(mut self, configure: impl FnOnce(Operation) -> Operation) -> Self {
        let operation = self.operation.take();
        let operation = operation.unwrap_or_else(|| Operation::new(self.name.clone()));
        self.operation = Some(configure(operation));
        self
    }

    /// Leaves out the operation: no metrics, event, span or error record of the calls. For work that is tracked already.
    #[must_use]
    pub fn untracked(mut self) -> Self {
        self.operation = None;
        self
    }

    /// Changes the settings of the fallback, such as the failures that it [replaces](FallbackBuilder::when). What it returns
    /// is set where the work is run, by [`fallback_value`](super::PipelineFuture::fallback_value) or
    /// [`fallback_with`](super::PipelineFuture::fallback_with). Default: a fallback with the name of the pipeline and the
    /// default settings.
    ///
    /// ```
    /// use tower_keep::{Outcome, Pipeline};
    ///
    /// let pipeline = Pipeline::builder("prices")
    ///     .breaker(|breaker| breaker)
    ///     .fallback(|fallback| fallback.when(|failed| failed.outcome() == Outcome::Rejected))
    ///     .build()?;
    /// assert_eq!(pipeline.fallback().unwrap().name(), "prices");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn fallback(self, configure: impl FnOnce(FallbackBuilder) -> FallbackBuilder) -> Self {
        let fallback = configure(Fallback::builder(self.name.clone())).build();
        PipelineBuilder {
            fallback: Some(fallback),
            ..self
        }
    }

    /// Sets a fallback that others use as well, and by whose name it is counted.
    ///
    /// ```
    /// use tower_keep::{Pipeline, fallback::Fallback};
    ///
    /// let cache = Fallback::new("cache");
    /// let reads = Pipeline::builder("reads").shared_fallback(&cache).build()?;
    /// assert_eq!(reads.fallback().unwrap().name(), "cache");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_fallback(mut self, fallback: &Fallback) -> Self {
        self.fallback = Some(Ok(fallback.clone()));
        self
    }

    /// Sets the limit of all attempts and the waits between them. Its name is that of the pipeline and `.total`.
    ///
    /// Must be longer than zero. Default: no limit, since only the application knows how long its callers wait.
    #[must_use]
    pub fn total_limit(mut self, time: Duration) -> Self {
        self.limits.total = Some(time);
        self
    }

    /// Adds a prioritizer with the name of the pipeline, which sheds calls of a low priority first; the closure changes its settings.
    /// The priority is that of the work around the call: that of its [`Context`](crate::Context), or of a prioritizer further out.
    /// Default: no prioritizer.
    ///
    /// ```
    /// use tower_keep::{Context, Pipeline, bulkhead::QueueOrder, priority::PriorityClass};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let exports = Pipeline::builder("exports")
    ///     .prioritizer(|prioritizer| prioritizer.floor(0.1))
    ///     .bulkhead(|bulkhead| bulkhead.limit(4).queue_limit(16).queue_order(QueueOrder::Priority))
    ///     .build()?;
    /// let job = Context::new_root().with_priority(PriorityClass::Bulk);
    /// let rows = job.scope(exports.run(async || Ok::<u32, std::io::Error>(7))).await?;
    /// assert_eq!(rows, 7);
    /// let stats = exports.prioritizer().unwrap().stats();
    /// assert_eq!(stats.class(PriorityClass::Bulk).admitted, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn prioritizer(
        self,
        configure: impl FnOnce(PrioritizerBuilder) -> PrioritizerBuilder,
    ) -> Self {
        let prioritizer = configure(Prioritizer::builder(self.name.clone())).build();
        PipelineBuilder {
            prioritizer: Some(prioritizer),
            ..self
        }
    }

    /// Adds a prioritizer that others use as well.
    ///
    /// ```
    /// use tower_keep::{Pipeline, priority::Prioritizer};
    ///
    /// let jobs = Prioritizer::new("jobs");
    /// let exports = Pipeline::builder("exports").shared_prioritizer(&jobs).build()?;
    /// assert_eq!(exports.prioritizer().unwrap().name(), "jobs");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_prioritizer(mut self, prioritizer: &Prioritizer) -> Self {
        self.prioritizer = Some(Ok(prioritizer.clone()));
        self
    }

    /// Adds a bulkhead with the name of the pipeline; the closure changes its settings. Default: no bulkhead.
    ///
    /// A call has one slot for all of its attempts and the waits between them. Without a [queue](BulkheadBuilder::queue_limit),
    /// a call that finds no free slot is rejected; with one it waits, within the total limit.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// let pipeline = Pipeline::builder("db").bulkhead(|bulkhead| bulkhead.limit(10)).build()?;
    /// assert_eq!(pipeline.bulkhead().unwrap().limit(), 10);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn bulkhead(self, configure: impl FnOnce(BulkheadBuilder) -> BulkheadBuilder) -> Self {
        let bulkhead = configure(Bulkhead::builder(self.name.clone())).build();
        PipelineBuilder {
            bulkhead: Some(bulkhead),
            ..self
        }
    }

    /// Adds a bulkhead that others use as well: all that share a pool of connections, say.
    ///
    /// ```
    /// use tower_keep::{Bulkhead, Pipeline};
    ///
    /// let pool = Bulkhead::new("postgres");
    /// let reads = Pipeline::builder("reads").shared_bulkhead(&pool).build()?;
    /// assert_eq!(reads.bulkhead().unwrap().name(), "postgres");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_bulkhead(mut self, bulkhead: &Bulkhead) -> Self {
        self.bulkhead = Some(Ok(bulkhead.clone()));
        self
    }

    /// Adds a retry with the name of the pipeline; the closure changes its settings. Default: no retry, since the work may
    /// not be done twice.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// let pipeline = Pipeline::builder("db").retry(|retry| retry.max_attempts(5)).build()?;
    /// assert_eq!(pipeline.retry().unwrap().name(), "db");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn retry(self, configure: impl FnOnce(RetryBuilder) -> RetryBuilder) -> Self {
        let retry = configure(Retry::builder(self.name.clone())).build();
        PipelineBuilder {
            retry: Some(retry),
            ..self
        }
    }

    /// Adds a retry that others use as well.
    ///
    /// ```
    /// use tower_keep::{Pipeline, Retry};
    ///
    /// let retry = Retry::new("postgres");
    /// let reads = Pipeline::builder("reads").shared_retry(&retry).build()?;
    /// assert_eq!(reads.retry().unwrap().name(), "postgres");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_retry(mut self, retry: &Retry) -> Self {
        self.retry = Some(Ok(retry.clone()));
        self
    }

    /// Adds a hedge with the name of the pipeline; the closure changes its settings. It pays from the budget of the pipeline's retry, if
    /// there is one, unless the closure sets another. Default: no hedge, since the work may not be done twice.
    ///
    /// Attempts run at the same time, each through throttle, breaker and attempt limit. [`run_mut`](super::Pipeline::run_mut) is not
    /// hedged: two attempts cannot borrow the same.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::Pipeline;
    ///
    /// let delay = Duration::from_millis(20);
    /// let pipeline = Pipeline::builder("replicas").hedge(|hedge| hedge.delay(delay)).build()?;
    /// assert_eq!(pipeline.hedge().unwrap().stats().delay, Some(delay));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn hedge(mut self, configure: impl FnOnce(HedgeBuilder) -> HedgeBuilder) -> Self {
        let hedge = configure(Hedge::builder(self.name.clone()));
        self.hedge = Some(HedgePart::Own(hedge));
        self
    }

    /// Adds a hedge that others use as well.
    ///
    /// ```
    /// use tower_keep::{Pipeline, hedge::Hedge};
    ///
    /// let replicas = Hedge::new("replicas");
    /// let reads = Pipeline::builder("reads").shared_hedge(&replicas).build()?;
    /// assert_eq!(reads.hedge().unwrap().name(), "replicas");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_hedge(mut self, hedge: &Hedge) -> Self {
        self.hedge = Some(HedgePart::Shared(hedge.clone()));
        self
    }

    /// Adds a throttle with the name of the pipeline, which rejects attempts in proportion to how many fail; the closure changes its
    /// settings. Default: no throttle.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// let pipeline = Pipeline::builder("ledger").throttle(|throttle| throttle.factor(1.5)).build()?;
    /// assert_eq!(pipeline.throttle().unwrap().settings().factor, 1.5);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn throttle(self, configure: impl FnOnce(ThrottleBuilder) -> ThrottleBuilder) -> Self {
        let throttle = configure(Throttle::builder(self.name.clone())).build();
        PipelineBuilder {
            throttle: Some(throttle),
            ..self
        }
    }

    /// Adds a throttle that others use as well: all that call one peer, say.
    ///
    /// ```
    /// use tower_keep::{Pipeline, throttle::Throttle};
    ///
    /// let ledger = Throttle::new("ledger");
    /// let reads = Pipeline::builder("reads").shared_throttle(&ledger).build()?;
    /// assert_eq!(reads.throttle().unwrap().name(), "ledger");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_throttle(mut self, throttle: &Throttle) -> Self {
        self.throttle = Some(Ok(throttle.clone()));
        self
    }

    /// Adds a breaker with the name of the pipeline; the closure changes its settings. Default: no breaker.
    ///
    /// ```
    /// use tower_keep::Pipeline;
    ///
    /// let pipeline = Pipeline::builder("db").breaker(|breaker| breaker.consecutive_failures(5)).build()?;
    /// assert!(!pipeline.breaker().unwrap().is_rejecting());
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn breaker(
        self,
        configure: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder,
    ) -> Self {
        let breaker = configure(CircuitBreaker::builder(self.name.clone())).build();
        PipelineBuilder {
            breaker: Some(breaker),
            ..self
        }
    }

    /// Adds a breaker that others use as well: all that call the same peer.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, Pipeline};
    ///
    /// let breaker = CircuitBreaker::new("postgres");
    /// let reads = Pipeline::builder("reads").shared_breaker(&breaker).build()?;
    /// assert_eq!(reads.breaker().unwrap().name(), "postgres");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_breaker(mut self, breaker: &CircuitBreaker) -> Self {
        self.breaker = Some(Ok(breaker.clone()));
        self
    }

    /// Adds a rate limit with the name of the pipeline, of which each attempt takes one call; the closure changes its settings.
    /// Default: no rate limit.
    ///
    /// An attempt for which there is no room waits for [`max_wait`](RateLimitBuilder::max_wait) at most, and never past the
    /// deadline: with `Duration::ZERO` it is rejected at once. What it waits is no part of the
    /// [attempt limit](Self::attempt_limit), but of the total limit, and counts where a breaker looks for slow calls. An error
    /// of the peer that means that it is called too often, such as a `tonic::Status` with `RESOURCE_EXHAUSTED`,
    /// [empties](crate::rate_limit#clients) the limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{BoxError, Pipeline};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
    /// let second = Duration::from_secs(1);
    /// let mails = Pipeline::builder("mails").rate_limit(|limit| limit.rate(1, second).max_wait(5 * second)).build()?;
    /// let start = Instant::now();
    /// for _ in 0..3 {
    ///     mails.run(async || Ok::<_, std::io::Error>(())).await?;
    /// }
    /// assert_eq!(start.elapsed(), 2 * second);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn rate_limit(self, configure: impl FnOnce(RateLimitBuilder) -> RateLimitBuilder) -> Self {
        let rate_limit = configure(RateLimit::builder(self.name.clone())).build();
        PipelineBuilder {
            rate_limit: Some(rate_limit),
            ..self
        }
    }

    /// Adds a rate limit that others use as well: all that call one peer, say.
    ///
    /// ```
    /// use tower_keep::{Pipeline, RateLimit};
    ///
    /// let quotes = RateLimit::new("quotes");
    /// let reads = Pipeline::builder("reads").shared_rate_limit(&quotes).build()?;
    /// assert_eq!(reads.rate_limit().unwrap().name(), "quotes");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn shared_rate_limit(mut self, rate_limit: &RateLimit) -> Self {
        self.rate_limit = Some(Ok(rate_limit.clone()));
        self
    }

    /// Sets the limit of one attempt. Its name is that of the pipeline and `.attempt`.
    ///
    /// Must be longer than zero and at most the total limit. Default: no limit.
    #[must_use]
    pub fn attempt_limit(mut self, time: Duration) -> Self {
        self.limits.attempt = Some(time);
        self
    }

    /// Injects faults into the attempts, inside of all other parts: see [`chaos`](crate::chaos). Whether that happens is decided
    /// by the chaos, which is off at first. Default: no chaos.
    ///
    /// A fault that is an error becomes one of the work: by itself where the error of the work is a
    /// [`BoxError`](crate::BoxError), an `io::Error`, a `String`, an [`InjectedFault`] or a `tonic::Status`, else by
    /// [`chaos_error`](Self::chaos_error). Where that is not set it is skipped, and counted.
    ///
    /// ```
    /// use tower_keep::{Pipeline, chaos::Chaos};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let chaos = Chaos::builder("db").error_rate(1.0).build()?;
    /// let pipeline = Pipeline::builder("db").breaker(|breaker| breaker).chaos(&chaos).build()?;
    /// chaos.enable();
    /// let error = pipeline.run(async || Ok::<u32, std::io::Error>(7)).await.unwrap_err();
    /// assert_eq!(error.to_string(), r#"fault injected by chaos "db": error"#);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn chaos(mut self, chaos: &Chaos) -> Self {
        self.faults.chaos = Some(chaos.clone());
        self
    }

    /// Sets what makes an error of the work out of a fault, where the error of the work is of this type.
    ///
    /// Default: nothing, except for the types that [`chaos`](Self::chaos) names.
    ///
    /// ```
    /// use tower_keep::{Pipeline, chaos::{Chaos, InjectedFault}};
    ///
    /// #[derive(Debug)]
    /// enum DbError { Lost, NotFound }
    ///
    /// let chaos = Chaos::new("db");
    /// let pipeline = Pipeline::builder("db").chaos(&chaos).chaos_error(|_| DbError::Lost).build()?;
    /// # let _ = (pipeline, DbError::NotFound);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn chaos_error<E: 'static>(
        mut self,
        error: impl Fn(InjectedFault) -> E + Send + Sync + 'static,
    ) -> Self {
        self.faults.set_error(error);
        self
    }

    /// Sets what errors of this type mean, for all parts: an [`Outcome`](crate::Outcome) or a [`ClassifyOutput`].
    ///
    /// A `ClientError` is not retried, does not count for the breaker, and is no error in metrics and logs. A closure that
    /// panics counts as a failure. A rejection by a guard of this process stays one. Errors of other types than that of the
    /// closure's argument are not passed to it. Default: an error is classified by its type; most are failures.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::{Outcome, Pipeline};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::ConfigError> {
    /// let pipeline = Pipeline::builder("files")
    ///     .retry(|retry| retry)
    ///     .breaker(|breaker| breaker)
    ///     .classify_error(|error: &Error| match error.kind() {
    ///         ErrorKind::NotFound => Outcome::ClientError,
    ///         _ => Outcome::Failure,
    ///     })
    ///     .build()?;
    /// let mut calls = 0;
    /// let missing = pipeline
    ///     .run_mut(async || {
    ///         calls += 1;
    ///         Err::<(), _>(Error::from(ErrorKind::NotFound))
    ///     })
    ///     .await;
    /// assert_eq!(missing.unwrap_err().into_inner().unwrap().kind(), ErrorKind::NotFound);
    /// assert_eq!((calls, pipeline.breaker().unwrap().counts().calls), (1, 0));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn classify_error<E, O>(
        mut self,
        classify: impl Fn(&E) -> O + Send + Sync + 'static,
    ) -> Self
    where
        E: 'static,
        O: Into<ClassifyOutput>,
    {
        self.classify_error = Some(ErrorClassifier::new(classify));
        self
    }

    /// Builds the pipeline.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting, be it of a part.
    pub fn build(self) -> Result<Pipeline, ConfigError> {
        let (total_limit, attempt_limit) = self.limits.build()?;
        let retry = self.retry.transpose()?;
        let hedge = self.hedge.map(|hedge| hedge.build(retry.as_ref()));
        Ok(Pipeline::from_parts(PipelineShared {
            name: self.name,
            operation: self.operation,
            fallback: self
                .fallback
                .transpose()?
                .map_or_else(OnceLock::new, OnceLock::from),
            total_limit,
            prioritizer: self.prioritizer.transpose()?,
            bulkhead: self.bulkhead.transpose()?,
            hedge: hedge.transpose()?,
            retry,
            throttle: self.throttle.transpose()?,
            breaker: self.breaker.transpose()?,
            rate_limit: self.rate_limit.transpose()?,
            attempt_limit,
            faults: self.faults,
            classify_error: self.classify_error,
        }))
    }
}
