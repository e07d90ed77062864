use std::task::{Context as Cx, Poll};

use tower_service::Service;

use super::{
    Advice, Attempts, Retry, RetryFuture,
    attempts::{Begin, Decision, Ended, Failed},
    custom::{Judge, Rules},
    shared_retry::SharedRetry,
    stage::TWICE,
    state::{OpenCall, too_late},
};
use crate::call::{BoxError, Outcome};

/// Attempts at a request of any kind. Part of a [`RetryFuture`]'s type.
pub struct ServiceAttempts<S, Req, P> {
    shared: SharedRetry<P>,
    inner: S,
    /// For the attempts to come; none once the last has begun.
    request: Option<Req>,
}

impl<S, Req, P> ServiceAttempts<S, Req, P>
where
    S: Service<Req, Error: Into<BoxError>>,
    P: Rules<Req, S::Response>,
{
    #[inline]
    pub(super) fn call(inner: S, request: Req, shared: SharedRetry<P>) -> RetryFuture<Self> {
        let attempts = ServiceAttempts {
            shared,
            inner,
            request: None,
        };
        RetryFuture::begun(attempts, None, |attempts, begin| {
            attempts.send(request, &begin)
        })
    }

    #[inline]
    fn send(&mut self, request: Req, begin: &Begin<'_>) -> S::Future {
        if !begin.is_last {
            self.request = self.shared.rules().copy(&request);
        }
        self.inner.call(request)
    }
}

impl<S, Req, P> Attempts for ServiceAttempts<S, Req, P>
where
    S: Service<Req, Error: Into<BoxError>>,
    P: Rules<Req, S::Response>,
{
    type Future = S::Future;
    type Output = Result<S::Response, BoxError>;
    type Answer = Result<S::Response, BoxError>;

    #[inline]
    fn retry(&self) -> &Retry {
        self.shared.retry()
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Self::Answer>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| Err(error.into()))
    }

    fn begin(&mut self, begin: Begin<'_>) -> S::Future {
        let request = self.request.take().expect(TWICE);
        self.send(request, &begin)
    }

    #[inline]
    fn decide(
        &mut self,
        output: Result<S::Response, S::Error>,
        ended: Ended,
    ) -> Decision<Self::Output> {
        let output = output.map_err(Into::into);
        let request = self.request.as_ref();
        let (outcome, advice) = self.shared.rules().judge(Judge {
            request,
            result: &output,
            attempt: ended.attempt,
            policy: &self.retry().shared.policy,
        });
        if outcome == Outcome::Success {
            return Decision::Succeeded(output);
        }
        let advice = match (advice, request) {
            (Advice::Stop, _) | (_, Some(_)) => advice,
            // The last attempt keeps nothing; that there is none after it is said first.
            (_, None) if ended.is_last => advice,
            (_, None) => Advice::NotRepeatable,
        };
        Decision::Failed(Failed {
            output,
            outcome,
            advice,
            unsent: None,
        })
    }

    #[inline]
    fn answer(
        &mut self,
        output: Self::Output,
        _: Ended,
        open: Option<OpenCall>,
    ) -> Result<S::Response, BoxError> {
        if let Some(open) = open {
            open.settle(self.retry(), Outcome::Success);
        }
        output
    }

    fn too_late(&self, why: &'static str) -> Option<Self::Answer> {
        Some(Err(too_late(self.retry(), why).into()))
    }
}
