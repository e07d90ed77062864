use std::{
    sync::Arc,
    task::{Context as Cx, Poll},
};

use tower_service::Service;

use super::{
    Attempt, AttemptResult, Attempts, Retry, RetryDecision, RetryFuture, RetryPolicy,
    attempts::{FailedAttempt, RequestCopy},
    call_config::CallConfig,
    stack::RetryStack,
    state::deadline_rejection,
};
use crate::{
    call::{BoxError, Outcome},
    context::Context,
    protocol::AnyService,
    util::poll::POLLED_AFTER_COMPLETION,
};

/// Attempts of a service of any kind. Part of a [`RetryFuture`]'s type.
pub struct ServiceAttempts<S, Req, T> {
    stack: Arc<RetryStack<S, AnyService, T>>,
    /// Makes all attempts after the first; `None` before that. Boxed, since most calls need none, and each is moved.
    retrying: Option<Box<S>>,
    /// For the next attempt; `None` once the last has begun.
    request: Option<Req>,
}

impl<S, Req, T> ServiceAttempts<S, Req, T>
where
    S: Service<Req, Response: 'static, Error: Into<BoxError>> + Clone,
    T: RetryPolicy<Req, S::Response>,
{
    pub(crate) fn new(stack: Arc<RetryStack<S, AnyService, T>>) -> Self {
        ServiceAttempts {
            stack,
            retrying: None,
            request: None,
        }
    }

    /// Starts a call whose first attempt is made on a service that is ready.
    #[inline]
    pub(super) fn start_call(
        ready: &mut S,
        request: Req,
        stack: Arc<RetryStack<S, AnyService, T>>,
    ) -> RetryFuture<Self> {
        let attempts = ServiceAttempts::new(stack);
        let config = CallConfig::new(attempts.retry());
        RetryFuture::started(attempts, config, None, |attempts, attempt, _| {
            attempts.start_first(ready, request, attempt)
        })
    }

    /// Makes the first attempt on a service that is ready.
    #[inline]
    pub(crate) fn start_first(
        &mut self,
        ready: &mut S,
        request: Req,
        attempt: Attempt,
    ) -> S::Future {
        self.keep_clone(&request, attempt);
        ready.call(request)
    }

    /// Clones a request before its call, which takes it. The last attempt needs no other.
    #[inline]
    fn keep_clone(&mut self, request: &Req, attempt: Attempt) {
        if !attempt.is_last {
            let policy = self.stack.layer.rules();
            self.request = policy
                .call_caught(|policy| policy.clone_request(request))
                .flatten();
        }
    }

    /// Classifies a result, and lets the policy decide about it.
    #[inline]
    fn decide(
        &self,
        result: &Result<S::Response, BoxError>,
        attempt: Attempt,
        config: &mut CallConfig,
    ) -> (Outcome, RetryDecision) {
        let layer = &self.stack.layer;
        let outcome = layer.protocol().classify(result.as_ref()).outcome;
        let error = result.as_ref().err().map(|error| &**error as _);
        let default_decision = match outcome {
            Outcome::Success => RetryDecision::Stop,
            _ => config.settings(self.retry()).decide(outcome, error),
        };
        let attempt = AttemptResult {
            request: self.request.as_ref(),
            result,
            attempt,
            default_decision,
        };
        let decision = layer.rules().call_caught(|policy| policy.decide(&attempt));
        let decision = decision.unwrap_or(RetryDecision::Stop);
        match (outcome, decision) {
            // A response that the policy retries is no success.
            (Outcome::Success, RetryDecision::Stop) => (outcome, decision),
            (Outcome::Success, _) => (Outcome::Failure, decision),
            _ => (outcome, decision),
        }
    }
}

impl<S, Req, T> Attempts for ServiceAttempts<S, Req, T>
where
    S: Service<Req, Response: 'static, Error: Into<BoxError>> + Clone,
    T: RetryPolicy<Req, S::Response>,
{
    type Future = S::Future;
    type AttemptOutput = Result<S::Response, BoxError>;
    type CallOutput = Result<S::Response, BoxError>;

    #[inline]
    fn retry(&self) -> &Retry {
        self.stack.layer.retry()
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Self::CallOutput>> {
        let service = self
            .retrying
            .get_or_insert_with(|| Box::new(self.stack.new_service()));
        let ready = service.poll_ready(cx);
        ready.map_err(|error| Err(error.into()))
    }

    fn start(&mut self, attempt: Attempt, _: Option<&Context>) -> S::Future {
        // `classify` lets no attempt follow that has no request.
        let request = self.request.take().expect(POLLED_AFTER_COMPLETION);
        self.keep_clone(&request, attempt);
        let service = self.retrying.as_mut();
        service.expect("it was polled ready").call(request)
    }

    #[inline]
    fn classify(
        &mut self,
        output: Result<S::Response, S::Error>,
        attempt: Attempt,
        config: &mut CallConfig,
    ) -> Result<Self::AttemptOutput, FailedAttempt<Self::AttemptOutput>> {
        let output = output.map_err(Into::into);
        let (outcome, decision) = self.decide(&output, attempt, config);
        if outcome == Outcome::Success {
            return Ok(output);
        }
        let decision = match (decision, &self.request) {
            (RetryDecision::Stop, _) | (_, Some(_)) => decision,
            // The last attempt keeps no clone: the reason is the number of attempts.
            (_, None) if attempt.is_last => decision,
            (_, None) => RetryDecision::NotRepeatable,
        };
        Err(FailedAttempt {
            output,
            outcome,
            decision,
            not_sent: None,
        })
    }

    fn prepare_hedge(&mut self) -> RequestCopy {
        match self.request {
            Some(_) => RequestCopy::Made,
            None => RequestCopy::Never,
        }
    }

    fn release_service(&mut self) {
        self.retrying = None;
    }

    #[inline]
    fn complete(
        &mut self,
        output: Self::AttemptOutput,
        _: Attempt,
    ) -> Result<S::Response, BoxError> {
        output
    }

    fn deadline_exceeded(&self, reason: &'static str) -> Option<Self::CallOutput> {
        Some(Err(deadline_rejection(self.retry(), reason).into()))
    }
}
