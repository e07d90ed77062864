use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    CallError, CallPermit, CircuitBreaker,
    classify_result::{ClassifyError, classify_result, failure_if, output_or_failure},
};
use crate::call::{Classification, ClassifyOutput, Outcome, catch};

pin_project! {
    /// The future of a call through a breaker; made by [`CircuitBreaker::call`] and [`CircuitBreaker::call_display`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerFuture<F, E, C = ()> {
        // Declared before the permit, so that it is dropped first: its drop still belongs to the call.
        #[pin]
        future: F,
        permit: CallPermit,
        classify_error: ClassifyError<E>,
        classify: C,
    }
}

impl<F, E> BreakerFuture<F, E> {
    /// Makes the future of a call whose result is classified already.
    pub(crate) fn new_classified<T>(
        breaker: &CircuitBreaker,
        future: F,
        classify_error: ClassifyError<E>,
        classify: fn(&Result<T, E>) -> ClassifyOutput,
    ) -> BreakerFuture<F, E, impl Fn(&Result<T, E>) -> Option<ClassifyOutput>>
    where
        F: Future<Output = Result<T, E>>,
    {
        BreakerFuture::new(breaker, future, classify_error)
            .with_classify(move |result: &Result<T, E>| Some(classify(result)))
    }

    pub(super) fn new(
        breaker: &CircuitBreaker,
        future: F,
        classify_error: ClassifyError<E>,
    ) -> Self {
        BreakerFuture {
            future,
            permit: CallPermit::new(breaker.clone()),
            classify_error,
            classify: (),
        }
    }

    /// Sets which errors are failures of the peer. Every other error does not count.
    ///
    /// A predicate that panics counts as a failure. A rejection by a guard of this process never counts. Default: an error is
    /// classified by its type; most are failures.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::CircuitBreaker;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::ConfigError> {
    /// let breaker = CircuitBreaker::builder("files").build()?;
    /// let missing = breaker
    ///     .call(async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .failure_if(|error| error.kind() != ErrorKind::NotFound)
    ///     .await;
    /// assert!(missing.is_err());
    /// assert_eq!(breaker.counts().calls, 0);
    /// # Ok(()) }
    /// ```
    pub fn failure_if<T, C>(
        self,
        is_failure: C,
    ) -> BreakerFuture<F, E, impl Fn(&Result<T, E>) -> Option<ClassifyOutput>>
    where
        F: Future<Output = Result<T, E>>,
        C: Fn(&E) -> bool,
    {
        self.with_classify(move |result: &Result<T, E>| {
            let error = result.as_ref().err()?;
            Some(failure_if(&is_failure, error))
        })
    }

    /// Sets a closure that classifies errors by an [`Outcome`] or a [`ClassifyOutput`].
    ///
    /// An error that it calls the caller's is no evidence and does not count. For a peer that answers by errors, return an
    /// output whose evidence is [`Healthy`](crate::call::Evidence::Healthy), so that they count and close a circuit. A
    /// closure that panics counts as a failure. A rejection by a guard of this process never counts. Default: an error is
    /// classified by its type; most are failures.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::{CircuitBreaker, Outcome};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::ConfigError> {
    /// let breaker = CircuitBreaker::builder("files").build()?;
    /// let missing = breaker
    ///     .call(async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .classify_error(|error| match error.kind() {
    ///         ErrorKind::NotFound => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     })
    ///     .await;
    /// assert!(missing.is_err());
    /// assert_eq!((breaker.counts().calls, breaker.counts().failures), (1, 0));
    /// # Ok(()) }
    /// ```
    pub fn classify_error<T, O, C>(
        self,
        classify: C,
    ) -> BreakerFuture<F, E, impl Fn(&Result<T, E>) -> Option<ClassifyOutput>>
    where
        F: Future<Output = Result<T, E>>,
        O: Into<ClassifyOutput>,
        C: Fn(&E) -> O,
    {
        self.with_classify(move |result: &Result<T, E>| {
            let error = result.as_ref().err()?;
            Some(output_or_failure(|| classify(error)))
        })
    }

    /// Sets a closure that classifies the result: for calls that succeed although the peer has failed, such as an HTTP
    /// response of 500.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, Outcome};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let breaker = CircuitBreaker::builder("quotes").build()?;
    /// let status = breaker
    ///     .call(async { Ok::<u16, std::io::Error>(500) })
    ///     .classify(|result| match result {
    ///         Ok(status) if *status < 500 => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     })
    ///     .await?;
    /// assert_eq!(status, 500);
    /// assert_eq!(breaker.counts().failures, 1);
    /// # Ok(()) }
    /// ```
    pub fn classify<T, C>(
        self,
        classify: C,
    ) -> BreakerFuture<F, E, impl Fn(&Result<T, E>) -> Option<ClassifyOutput>>
    where
        F: Future<Output = Result<T, E>>,
        C: Fn(&Result<T, E>) -> Outcome,
    {
        self.with_classify(move |result: &Result<T, E>| {
            Some(output_or_failure(|| classify(result)))
        })
    }

    fn with_classify<C>(self, classify: C) -> BreakerFuture<F, E, C> {
        BreakerFuture {
            future: self.future,
            permit: self.permit,
            classify_error: self.classify_error,
            classify,
        }
    }
}

impl<F, E, C> BreakerFuture<F, E, C> {
    #[inline]
    fn poll_call<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        classify: impl FnOnce(&C, &Result<T, E>) -> Option<ClassifyOutput>,
    ) -> Poll<Result<T, CallError<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let this = self.project();
        // Not when the future was made: one that is never polled must not hold the slot of a probe.
        this.permit.admit().map_err(CallError::Rejected)?;
        match catch(|| this.future.poll(cx)) {
            Ok(polled) => {
                let result = ready!(polled);
                let custom = classify(this.classify, &result);
                let (classification, cause, error) =
                    classify_result(&result, *this.classify_error, custom);
                this.permit.record(classification, cause, error);
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                // Before the panic goes on: the drop of the permit would complete the call as cancelled.
                this.permit.record(Classification::PANICKED, None, None);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, T, E> Future for BreakerFuture<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_call(cx, |_, _| None)
    }
}

impl<F, T, E, C> Future for BreakerFuture<F, E, C>
where
    // The call.
    F: Future<Output = Result<T, E>>,
    // Classifies its result.
    C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_call(cx, |classify, result| classify(result))
    }
}

impl<F, E, C> fmt::Debug for BreakerFuture<F, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerFuture")
            .field("breaker", self.permit.breaker())
            .finish_non_exhaustive()
    }
}
