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
    permit::Ticket,
    weigh::{ByError, ByResult, Looks, Weigh, Weight, weighed},
};
use crate::call::{Judged, Outcome, caught};

pin_project! {
    /// A future inside a breaker; made by [`CircuitBreaker::call`] and [`CircuitBreaker::call_any`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerCall<F, E, W = ()> {
        // Before the ticket: what the future does when it is dropped still belongs to the call.
        #[pin]
        future: F,
        ticket: Ticket<CircuitBreaker>,
        looks: Looks<E>,
        weigh: W,
    }
}

impl CircuitBreaker {
    /// Polls the future if the circuit lets it pass; asks when it is first polled.
    pub fn call<F, T, E>(&self, future: F) -> BreakerCall<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        BreakerCall::new(self, future, Looks::into_errors())
    }

    /// Polls a future whose error is no `Error`: a boxed one, anyhow's, a `String`. What cannot be looked into
    /// is a failure, unless [`when`](BreakerCall::when) says otherwise.
    pub fn call_any<F, T, E>(&self, future: F) -> BreakerCall<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        BreakerCall::new(self, future, Looks::at_any())
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
        self.run_weighed(work, Looks::into_errors(), &())
    }

    /// Runs a closure whose error is no `Error`; see [`call_any`](Self::call_any).
    ///
    /// # Errors
    ///
    /// The refusal, or the closure's own error.
    pub fn run_any<T, E: fmt::Display + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.run_weighed(work, Looks::at_any(), &())
    }

    /// Runs a closure, and judges its result as [`BreakerCall::judge`] does.
    ///
    /// # Errors
    ///
    /// The refusal, or the closure's own error.
    pub fn run_judged<T, E: fmt::Display + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        judge: impl Fn(&Result<T, E>) -> Outcome,
    ) -> Result<T, CallError<E>> {
        self.run_weighed(work, Looks::at_any(), &ByResult(judge))
    }

    #[inline]
    fn run_weighed<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        looks: Looks<E>,
        weigh: &impl Weigh<T, E>,
    ) -> Result<T, CallError<E>> {
        let mut ticket = Ticket::new(self);
        ticket.admit().map_err(CallError::Rejected)?;
        match caught(work) {
            Ok(result) => {
                settle(&mut ticket, &result, looks, weigh);
                result.map_err(CallError::Failed)
            }
            Err(payload) => {
                ticket.finish(Judged::PANICKED, None, &|| None);
                resume_unwind(payload)
            }
        }
    }
}

#[inline]
fn settle<T, E>(
    ticket: &mut Ticket<impl Borrow<CircuitBreaker>>,
    result: &Result<T, E>,
    looks: Looks<E>,
    weigh: &impl Weigh<T, E>,
) {
    let (judged, cause) = weighed(result, looks, weigh);
    let text = || result.as_ref().err().and_then(looks.text);
    ticket.finish(judged, cause, &text);
}

impl<F, E> BreakerCall<F, E> {
    fn new(breaker: &CircuitBreaker, future: F, looks: Looks<E>) -> Self {
        BreakerCall {
            future,
            ticket: Ticket::new(breaker.clone()),
            looks,
            weigh: (),
        }
    }

    /// Judges errors by a closure that answers with `bool` (`true`: a failure; `false`: counts nothing), with an
    /// [`Outcome`] or with a [`Verdict`](crate::call::Verdict). An error that it calls the caller's is inconclusive and
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
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::InvalidSetting> {
    /// let breaker = CircuitBreaker::builder("files").build()?;
    /// let missing = breaker
    ///     .call(async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .when(|error: &Error| error.kind() != ErrorKind::NotFound)
    ///     .await;
    /// assert!(missing.is_err());
    /// assert_eq!(breaker.counts().calls, 0);
    /// # Ok(()) }
    /// ```
    pub fn when<A, C>(self, errors: C) -> BreakerCall<F, E, ByError<C>>
    where
        A: Into<Weight>,
        C: Fn(&E) -> A,
    {
        self.weighed_by(ByError(errors))
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
    ///     .judge(|result| match result {
    ///         Ok(status) if *status < 500 => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     })
    ///     .await?;
    /// assert_eq!(status, 500);
    /// assert_eq!(breaker.counts().failures, 1);
    /// # Ok(()) }
    /// ```
    pub fn judge<T, C>(self, result: C) -> BreakerCall<F, E, ByResult<C>>
    where
        F: Future<Output = Result<T, E>>,
        C: Fn(&Result<T, E>) -> Outcome,
    {
        self.weighed_by(ByResult(result))
    }

    fn weighed_by<W>(self, weigh: W) -> BreakerCall<F, E, W> {
        BreakerCall {
            future: self.future,
            ticket: self.ticket,
            looks: self.looks,
            weigh,
        }
    }
}

impl<F, T, E, W> Future for BreakerCall<F, E, W>
where
    // The call.
    F: Future<Output = Result<T, E>>,
    // What its result comes to.
    W: Weigh<T, E>,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.ticket.admit().map_err(CallError::Rejected)?;
        match caught(|| this.future.poll(cx)) {
            Ok(polled) => {
                let result = ready!(polled);
                settle(this.ticket, &result, *this.looks, this.weigh);
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                this.ticket.finish(Judged::PANICKED, None, &|| None);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, E, W> fmt::Debug for BreakerCall<F, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerCall")
            .field("breaker", self.ticket.breaker())
            .finish_non_exhaustive()
    }
}
