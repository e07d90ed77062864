use std::{
    error::Error,
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{BreakerPermit, CircuitBreaker};
use crate::{
    call::{Cause, End, Moment, Outcome, Rejection, caught},
    protocol::error_verdict,
};

/// A call that was refused, or failed.
#[derive(Clone, Debug)]
pub enum CallError<E> {
    /// The breaker refused; the call was not made.
    Rejected(Rejection),
    /// The call's own error.
    Failed(E),
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Rejected(rejection) => rejection.fmt(f),
            CallError::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CallError::Rejected(rejection) => Some(rejection),
            CallError::Failed(error) => error.source(),
        }
    }
}

/// One call that may be made; to be settled once.
#[must_use = "dropping it reports the call as cancelled"]
#[derive(Debug)]
pub struct Permit {
    breaker: CircuitBreaker,
    permit: Option<BreakerPermit>,
    began: Option<Instant>,
}

impl Permit {
    pub(super) fn new(
        breaker: CircuitBreaker,
        permit: BreakerPermit,
        began: Option<Instant>,
    ) -> Self {
        Permit {
            breaker,
            permit: Some(permit),
            began,
        }
    }

    /// Says how the call ended.
    pub fn settle(mut self, outcome: Outcome) {
        self.finish(outcome, None);
    }

    fn judge<T, E: Error + 'static>(mut self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.finish(Outcome::Success, None),
            Err(error) => self.finish(error_verdict(error), Some(Cause::of(error))),
        }
    }

    fn finish(&mut self, outcome: Outcome, cause: Option<Cause<'_>>) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let now = Moment::default();
        let mut end = End::new(outcome, &now);
        if let Some(began) = self.began {
            end = end.with_began(began);
        }
        if let Some(cause) = cause {
            end = end.with_cause(cause);
        }
        self.breaker.shared.settle(permit, &end);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.finish(Outcome::Cancelled, None);
    }
}

pin_project! {
    /// A future inside a breaker; made by [`CircuitBreaker::call`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct BreakerCall<F> {
        // Before the permit: what the future does when it is dropped still belongs to the call.
        #[pin]
        future: F,
        permit: Option<Permit>,
        breaker: CircuitBreaker,
    }
}

impl CircuitBreaker {
    /// Polls the future if the circuit lets it pass; asks when it is first polled.
    pub fn call<F, T, E>(&self, future: F) -> BreakerCall<F>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        BreakerCall {
            future,
            permit: None,
            breaker: self.clone(),
        }
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
        let permit = self.try_acquire().map_err(CallError::Rejected)?;
        match caught(work) {
            Ok(result) => {
                permit.judge(&result);
                result.map_err(CallError::Failed)
            }
            Err(payload) => {
                permit.settle(Outcome::Panicked);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, T, E> Future for BreakerCall<F>
where
    F: Future<Output = Result<T, E>>,
    E: Error + 'static,
{
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let permit = match this.permit.take() {
            Some(permit) => permit,
            None => this.breaker.try_acquire().map_err(CallError::Rejected)?,
        };
        let permit = this.permit.insert(permit);
        match caught(|| this.future.poll(cx)) {
            Ok(polled) => {
                let result = ready!(polled);
                if let Some(permit) = this.permit.take() {
                    permit.judge(&result);
                }
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                permit.finish(Outcome::Panicked, None);
                resume_unwind(payload)
            }
        }
    }
}
