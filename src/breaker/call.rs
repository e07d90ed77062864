use std::{
    borrow::Borrow,
    error::Error,
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    CallError, CircuitBreaker,
    classify::{
        ClassifyResult, ErrorClass, ErrorClassifier, ErrorView, ResultClassifier, classify_result,
    },
    permit::CallGuard,
};
use crate::call::{Classification, Outcome, catch};

pin_project! {
    /// A future inside a breaker; made by [`CircuitBreaker::call`] and [`CircuitBreaker::call_display`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerFuture<F, E, W = ()> {
        // Before the ticket: what the future does when it is dropped still belongs to the call.
        #[pin]
        future: F,
        ticket: CallGuard<CircuitBreaker>,
        looks: ErrorView<E>,
        weigh: W,
    }
}

impl CircuitBreaker {
    /// Polls the future if the circuit lets it pass; asks when it is first polled.
    pub fn call<F, T, E>(&self, future: F) -> BreakerFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        BreakerFuture::new(self, future, ErrorView::of_error())
    }

    /// Polls a future whose error is no `Error`: a boxed one, anyhow's, a `String`. What cannot be looked into
    /// is a failure, unless [`when`](BreakerFuture::classify_error) says otherwise.
    pub fn call_display<F, T, E>(&self, future: F) -> BreakerFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        BreakerFuture::new(self, future, ErrorView::of_display())
    }

    /// Runs a closure that does not wait, if the circuit lets it pass.
    ///
    /// # Errors
    ///
    /// The refusal, or the closure's own error.
    pub fn run<T, E: Error + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.run_with_classifier(work, ErrorView::of_error(), &())
    }

    /// Runs a closure whose error is no `Error`; see [`call_display`](Self::call_display).
    ///
    /// # Errors
    ///
    /// The refusal, or the closure's own error.
    pub fn run_display<T, E: fmt::Display + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.run_with_classifier(work, ErrorView::of_display(), &())
    }

    /// Runs a closure, and judges its result as [`BreakerFuture::classify`] does.
    ///
    /// # Errors
    ///
    /// The refusal, or the closure's own error.
    pub fn run_classified<T, E: fmt::Display + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        judge: impl Fn(&Result<T, E>) -> Outcome,
    ) -> Result<T, CallError<E>> {
        self.run_with_classifier(work, ErrorView::of_display(), &ResultClassifier(judge))
    }

    #[inline]
    fn run_with_classifier<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        looks: ErrorView<E>,
        weigh: &impl ClassifyResult<T, E>,
    ) -> Result<T, CallError<E>> {
        let mut ticket = CallGuard::new(self);
        ticket.admit().map_err(CallError::Rejected)?;
        match catch(work) {
            Ok(result) => {
                complete(&mut ticket, &result, looks, weigh);
                result.map_err(CallError::Failed)
            }
            Err(payload) => {
                ticket.complete(Classification::PANICKED, None, &|| None);
                resume_unwind(payload)
            }
        }
    }
}

#[inline]
fn complete<T, E>(
    ticket: &mut CallGuard<impl Borrow<CircuitBreaker>>,
    result: &Result<T, E>,
    looks: ErrorView<E>,
    weigh: &impl ClassifyResult<T, E>,
) {
    let (judged, cause) = classify_result(result, looks, weigh);
    let text = || result.as_ref().err().and_then(looks.text);
    ticket.complete(judged, cause, &text);
}

impl<F, E> BreakerFuture<F, E> {
    fn new(breaker: &CircuitBreaker, future: F, looks: ErrorView<E>) -> Self {
        BreakerFuture {
            future,
            ticket: CallGuard::new(breaker.clone()),
            looks,
            weigh: (),
        }
    }

    /// Judges errors by a closure that answers with `bool` (`true`: a failure; `false`: counts nothing), with an
    /// [`Outcome`] or with a [`ClassifyOutput`](crate::call::ClassifyOutput). An error that it calls the caller's is inconclusive and
    /// counts nothing either. Where a peer that says no is a peer that works, return a verdict whose evidence is
    /// [`Healthy`](crate::call::Evidence::Healthy), so that its answers count and close a circuit.
    ///
    /// Default: an error is judged by what it is; most are failures. One that panics says failure. A refusal by
    /// a guard of this process never counts.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::CircuitBreaker;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::ConfigError> {
    /// let breaker = CircuitBreaker::builder("files").build()?;
    /// let missing = breaker
    ///     .call(async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .classify_error(|error: &Error| error.kind() != ErrorKind::NotFound)
    ///     .await;
    /// assert!(missing.is_err());
    /// assert_eq!(breaker.counts().calls, 0);
    /// # Ok(()) }
    /// ```
    pub fn classify_error<A, C>(self, errors: C) -> BreakerFuture<F, E, ErrorClassifier<C>>
    where
        A: Into<ErrorClass>,
        C: Fn(&E) -> A,
    {
        self.with_classifier(ErrorClassifier(errors))
    }

    /// Judges the result: for calls that succeed although the peer has failed, such as an HTTP response of 500.
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
    pub fn classify<T, C>(self, result: C) -> BreakerFuture<F, E, ResultClassifier<C>>
    where
        F: Future<Output = Result<T, E>>,
        C: Fn(&Result<T, E>) -> Outcome,
    {
        self.with_classifier(ResultClassifier(result))
    }

    fn with_classifier<W>(self, weigh: W) -> BreakerFuture<F, E, W> {
        BreakerFuture {
            future: self.future,
            ticket: self.ticket,
            looks: self.looks,
            weigh,
        }
    }
}

impl<F, T, E, W> Future for BreakerFuture<F, E, W>
where
    // The call.
    F: Future<Output = Result<T, E>>,
    // What its result comes to.
    W: ClassifyResult<T, E>,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.ticket.admit().map_err(CallError::Rejected)?;
        match catch(|| this.future.poll(cx)) {
            Ok(polled) => {
                let result = ready!(polled);
                complete(this.ticket, &result, *this.looks, this.weigh);
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                this.ticket
                    .complete(Classification::PANICKED, None, &|| None);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, E, W> fmt::Debug for BreakerFuture<F, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerCall")
            .field("breaker", self.ticket.breaker())
            .finish_non_exhaustive()
    }
}
