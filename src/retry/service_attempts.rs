use std::task::{Context as Cx, Poll};

use tower_service::Service;

use super::{
    Attempts, Retry, RetryDecision, RetryFuture,
    attempts::{AttemptEnd, AttemptStart, Classified, FailedAttempt},
    custom::{FinishedAttempt, ServiceRules},
    shared_retry::RetryLayerConfig,
    stage::POLLED_AFTER_COMPLETION,
    state::{CallCompletion, deadline_rejection},
};
use crate::call::{BoxError, Outcome};

/// Attempts at a request of any kind. Part of a [`RetryFuture`]'s type.
pub struct ServiceAttempts<S, Req, P> {
    shared: RetryLayerConfig<P>,
    inner: S,
    /// For the attempts to come; none once the last has begun.
    request: Option<Req>,
}

impl<S, Req, P> ServiceAttempts<S, Req, P>
where
    S: Service<Req, Error: Into<BoxError>>,
    P: ServiceRules<Req, S::Response>,
{
    #[inline]
    pub(super) fn start_call(
        inner: S,
        request: Req,
        shared: RetryLayerConfig<P>,
    ) -> RetryFuture<Self> {
        let attempts = ServiceAttempts {
            shared,
            inner,
            request: None,
        };
        RetryFuture::started(attempts, None, |attempts, begin| {
            attempts.send(request, &begin)
        })
    }

    #[inline]
    fn send(&mut self, request: Req, begin: &AttemptStart<'_>) -> S::Future {
        if !begin.is_last {
            self.request = self.shared.rules().clone_request(&request);
        }
        self.inner.call(request)
    }
}

impl<S, Req, P> Attempts for ServiceAttempts<S, Req, P>
where
    S: Service<Req, Error: Into<BoxError>>,
    P: ServiceRules<Req, S::Response>,
{
    type Future = S::Future;
    type AttemptOutput = Result<S::Response, BoxError>;
    type CallOutput = Result<S::Response, BoxError>;

    #[inline]
    fn retry(&self) -> &Retry {
        self.shared.retry()
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Self::CallOutput>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| Err(error.into()))
    }

    fn start(&mut self, begin: AttemptStart<'_>) -> S::Future {
        let request = self.request.take().expect(POLLED_AFTER_COMPLETION);
        self.send(request, &begin)
    }

    #[inline]
    fn classify(
        &mut self,
        output: Result<S::Response, S::Error>,
        ended: AttemptEnd,
    ) -> Classified<Self::AttemptOutput> {
        let output = output.map_err(Into::into);
        let request = self.request.as_ref();
        let (outcome, advice) = self.shared.rules().classify(FinishedAttempt {
            request,
            result: &output,
            attempt: ended.attempt,
            config: &self.retry().shared.config,
        });
        if outcome == Outcome::Success {
            return Classified::Success(output);
        }
        let advice = match (advice, request) {
            (RetryDecision::Stop, _) | (_, Some(_)) => advice,
            // The last attempt keeps nothing; that there is none after it is said first.
            (_, None) if ended.is_last => advice,
            (_, None) => RetryDecision::NotRepeatable,
        };
        Classified::Failure(FailedAttempt {
            output,
            outcome,
            decision: advice,
            not_sent: None,
        })
    }

    #[inline]
    fn complete(
        &mut self,
        output: Self::AttemptOutput,
        _: AttemptEnd,
        open: Option<CallCompletion>,
    ) -> Result<S::Response, BoxError> {
        if let Some(open) = open {
            open.complete(self.retry(), Outcome::Success);
        }
        output
    }

    fn deadline_exceeded(&self, why: &'static str) -> Option<Self::CallOutput> {
        Some(Err(deadline_rejection(self.retry(), why).into()))
    }
}
