use std::{
    mem,
    sync::Arc,
    task::{Context as Cx, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    HttpRetry, MapBody, RetryBody,
    body::BodyCompletion,
    grpc_code,
    headers::{deadline_error, remove_previous_attempts, set_previous_attempts, shorten_timeout},
    request_context::{set_request_context, shared_context},
};
use crate::{
    call::{BoxError, NotSent, Outcome},
    context::Context,
    protocol::{BodyExpected, CallState, HttpExchange, Protocol, ReadRequest, Respond},
    retry::{
        Attempt, Attempts, ReplayBody, Retry, RetryDecision, RetryFuture,
        attempts::{FailedAttempt, RequestCopy},
        call_config::CallConfig,
        stack::RetryStack,
        state::{CallCompletion, deadline_rejection},
    },
};

/// Attempts of an HTTP request. Part of a [`RetryFuture`]'s type.
pub struct HttpAttempts<S, P, M, B> {
    stack: Arc<RetryStack<S, P, HttpRetry<M>>>,
    /// Makes all attempts after the first; `None` before that. Boxed, since most calls need none, and each is moved.
    retrying: Option<Box<S>>,
    exchange: HttpExchange,
    /// `true` if the request may be sent twice.
    is_repeatable: bool,
    /// `true` if the request may be sent again: also one that may not be sent twice, if the peer never began it.
    is_buffered: bool,
    /// `true` if nothing follows the head of the response.
    is_end_stream: bool,
    /// Context of the request, or a new one that all attempts share if there is none.
    request_context: Option<Context>,
    /// For the next attempt, if the request can be sent again.
    replay_request: Option<(Parts, ReplayBody<B>)>,
    /// For an attempt that is about to begin beside others. Boxed, since most calls need none.
    hedge_body: Option<Box<ReplayBody<B>>>,
}

impl<S, P, M, B, RB> HttpAttempts<S, P, M, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    RB: Body<Data = Bytes, Error: 'static>,
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    /// Starts a call whose first attempt is made on a service that is ready.
    #[inline]
    pub(crate) fn start_call(
        ready: &mut S,
        request: Request<B>,
        stack: Arc<RetryStack<S, P, HttpRetry<M>>>,
    ) -> RetryFuture<Self> {
        let config = CallConfig::new(stack.layer.retry());
        let (attempts, parts, body) = HttpAttempts::new(request, stack, &config);
        let time_limit = attempts.time_limit();
        RetryFuture::started(attempts, config, time_limit, |attempts, _, context| {
            attempts.start_first(ready, parts, body, context)
        })
    }

    /// Reads a request, and decides whether it may be sent more than once.
    #[inline]
    pub(crate) fn new(
        mut request: Request<B>,
        stack: Arc<RetryStack<S, P, HttpRetry<M>>>,
        config: &CallConfig,
    ) -> (Self, Parts, B) {
        let layer = &stack.layer;
        let rules = layer.rules();
        let exchange = layer.protocol().read(&mut request);
        let (parts, body) = request.into_parts();
        // Without retries nothing is buffered, and the predicate is not asked.
        let retries = config.max_attempts() > 1;
        let is_repeatable = retries && rules.is_repeatable(&parts);
        let is_buffered = is_repeatable || (retries && rules.may_retry_unsent());
        let request_context = shared_context(&parts, is_buffered);
        let attempts = HttpAttempts {
            stack,
            retrying: None,
            exchange,
            is_repeatable,
            is_buffered,
            is_end_stream: false,
            request_context,
            replay_request: None,
            hedge_body: None,
        };
        (attempts, parts, body)
    }

    /// Returns the time that the caller waits at most, if the request says so.
    #[inline]
    pub(crate) fn time_limit(&self) -> Option<Duration> {
        self.exchange.time_limit()
    }

    /// Makes the first attempt on a service that is ready.
    #[inline]
    pub(crate) fn start_first(
        &mut self,
        ready: &mut S,
        parts: Parts,
        body: B,
        context: Option<&Context>,
    ) -> S::Future {
        ready.call(self.first_request(parts, body, context))
    }

    #[inline]
    fn first_request(
        &mut self,
        mut parts: Parts,
        body: B,
        context: Option<&Context>,
    ) -> Request<M::Body> {
        let rules = self.rules();
        set_request_context(&mut parts, context);
        if rules.send_attempt_header {
            remove_previous_attempts(&mut parts, &self.exchange);
        }
        // Of a layer further out that wants to know how far the body has come.
        let upload = parts.extensions.get();
        let body = if self.is_buffered {
            let replay = ReplayBody::with_upload(body, rules.max_replay_bytes, upload);
            let body = replay.replay().expect("an unread body is replayable");
            // After the headers were changed: retries send the same ones.
            self.replay_request = Some((parts.clone(), replay));
            body
        } else {
            ReplayBody::once(body, upload)
        };
        self.request(parts, body)
    }

    #[inline]
    fn request(&self, parts: Parts, body: ReplayBody<B>) -> Request<M::Body> {
        let body = self.rules().map.map_body(body);
        Request::from_parts(parts, body)
    }

    #[inline]
    fn rules(&self) -> &HttpRetry<M> {
        self.stack.layer.rules()
    }

    /// Classifies the head of a response, before its body is read.
    #[inline]
    fn classify_head(
        &mut self,
        mut response: Response<RB>,
        config: &mut CallConfig,
    ) -> (Response<RB>, RetryDecision) {
        let protocol = self.stack.layer.protocol();
        let step = protocol.classify_response(&mut self.exchange, &response, None);
        // On the response, so that layers outside come to the same outcome.
        P::share_classification(&self.exchange, &mut response);
        self.is_end_stream = step == BodyExpected::No;
        match self.exchange.outcome() {
            Outcome::Success => (response, RetryDecision::Stop),
            outcome => {
                // The closure that reads a retry-after takes the head as parts.
                let (parts, body) = response.into_parts();
                let retry_after = self.rules().retry_after(&parts);
                let settings = config.settings(self.stack.layer.retry());
                let code = grpc_code(&self.exchange, parts.status);
                let decision = settings.decide_about_response(outcome, code, retry_after);
                (Response::from_parts(parts, body), decision)
            }
        }
    }

    fn classify_error(
        &mut self,
        error: &BoxError,
        config: &mut CallConfig,
    ) -> (RetryDecision, Option<NotSent>) {
        let protocol = self.stack.layer.protocol();
        let error = protocol.classify_error(&mut self.exchange, error);
        let settings = config.settings(self.stack.layer.retry());
        let decision = settings.decide(self.exchange.outcome(), error);
        // An error that is not worth another attempt is not worth another connection either.
        let not_sent = match decision {
            RetryDecision::Stop => None,
            _ => error.and_then(|error| self.rules().not_sent(error)),
        };
        (decision, not_sent)
    }

    /// Decides about a failed attempt by whether its request can be sent again.
    fn failed(
        &self,
        output: Result<Response<RB>, BoxError>,
        decision: RetryDecision,
        not_sent: Option<NotSent>,
        attempt: Attempt,
    ) -> FailedAttempt<Result<Response<RB>, BoxError>> {
        let replay_request = self.replay_request.as_ref();
        let is_replayable = replay_request.is_some_and(|(_, body)| body.is_replayable());
        let not_sent = not_sent.filter(|_| is_replayable);
        let may_retry = is_replayable && (self.is_repeatable || not_sent.is_some());
        FailedAttempt {
            output,
            outcome: self.exchange.outcome(),
            decision: match decision {
                RetryDecision::Stop => RetryDecision::Stop,
                // The last attempt may have buffered nothing: the reason is the number of attempts.
                decision if may_retry || attempt.is_last => decision,
                _ => RetryDecision::NotRepeatable,
            },
            not_sent,
        }
    }

    /// Returns the request of the next attempt. Keeps a copy unless no other attempt can follow.
    fn next_request(&mut self, attempt: Attempt) -> Option<(Parts, ReplayBody<B>)> {
        if let Some(body) = self.hedge_body.take() {
            let (parts, _) = self.replay_request.as_ref()?;
            return Some((parts.clone(), *body));
        }
        // An unsent retry may follow the last attempt, and needs the request, too.
        if attempt.is_last && !self.rules().may_retry_unsent() {
            return self.replay_request.take();
        }
        let (parts, body) = self.replay_request.as_ref()?;
        Some((parts.clone(), body.replay()?))
    }
}

impl<S, P, M, B, RB> Attempts for HttpAttempts<S, P, M, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    RB: Body<Data = Bytes, Error: 'static>,
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    type Future = S::Future;
    type AttemptOutput = Result<Response<RB>, BoxError>;
    type CallOutput = Result<Response<RetryBody<RB>>, BoxError>;

    #[inline]
    fn retry(&self) -> &Retry {
        self.stack.layer.retry()
    }

    #[inline]
    fn request_context(&self) -> Option<&Context> {
        self.request_context.as_ref()
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Self::CallOutput>> {
        let service = self
            .retrying
            .get_or_insert_with(|| Box::new(self.stack.new_service()));
        let ready = service.poll_ready(cx);
        ready.map_err(|error| Err(P::convert_error(error)))
    }

    fn start(&mut self, attempt: Attempt, context: Option<&Context>) -> S::Future {
        let request = self.next_request(attempt);
        let (mut parts, body) = request.expect("no task reads the body during the wait");
        // The same request, another response.
        self.exchange.reset();
        if self.rules().send_attempt_header {
            set_previous_attempts(&mut parts, &self.exchange, &attempt);
        }
        parts.extensions.insert(attempt);
        // The exchange still has the limit that the caller asked for; the request gets what is left of it.
        shorten_timeout(&mut parts.headers, &self.exchange, attempt.caller_deadline);
        set_request_context(&mut parts, context);
        let request = self.request(parts, body);
        let service = self.retrying.as_mut();
        service.expect("it was polled ready").call(request)
    }

    #[inline]
    fn classify(
        &mut self,
        output: Result<Response<RB>, S::Error>,
        attempt: Attempt,
        config: &mut CallConfig,
    ) -> Result<Self::AttemptOutput, FailedAttempt<Self::AttemptOutput>> {
        if attempt.started() > 1 {
            // Another attempt may have been classified since this one began.
            self.exchange.reset();
        }
        let (output, decision, not_sent) = match output {
            Ok(response) => {
                let (response, decision) = self.classify_head(response, config);
                (Ok(response), decision, None)
            }
            Err(error) => {
                let error = P::convert_error(error);
                let (decision, not_sent) = self.classify_error(&error, config);
                let error = self
                    .stack
                    .layer
                    .protocol()
                    .wrap_error(&self.exchange, error);
                (Err(error), decision, not_sent)
            }
        };
        match self.exchange.outcome() {
            Outcome::Success => Ok(output),
            _ => Err(self.failed(output, decision, not_sent, attempt)),
        }
    }

    /// Replays the body, so that what still sends it for the failed attempt stops.
    fn prepare_retry(&mut self) -> bool {
        // The body may have grown too long since the attempt was classified.
        if let Some((_, body)) = &mut self.replay_request
            && let Some(replay) = body.replay()
        {
            *body = replay;
            return true;
        }
        false
    }

    #[inline]
    fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    fn prepare_hedge(&mut self) -> RequestCopy {
        let Some((_, body)) = &self.replay_request else {
            return RequestCopy::Never;
        };
        match body.copy_if_complete() {
            Some(copy) => {
                self.hedge_body = Some(Box::new(copy));
                RequestCopy::Made
            }
            None if body.is_replayable() => RequestCopy::NotYet,
            None => RequestCopy::Never,
        }
    }

    fn release_service(&mut self) {
        self.retrying = None;
    }

    #[inline]
    fn complete(&mut self, output: Self::AttemptOutput, attempt: Attempt) -> Self::CallOutput {
        // The upload may go on for hours after its response.
        if let Some((_, body)) = self.replay_request.take() {
            body.release_buffer();
        }
        let mut response = output?;
        if attempt.started() > 1 {
            response.extensions_mut().insert(attempt);
        }
        Ok(response.map(RetryBody::new))
    }

    #[inline]
    fn complete_success(&mut self, output: &mut Self::CallOutput, completion: CallCompletion) {
        let retry = self.stack.layer.retry();
        let Ok(response) = output else {
            return completion.complete(retry, Outcome::Success);
        };
        let body = response.body_mut();
        if self.is_end_stream || body.is_end_stream() || !completion.is_needed(retry) {
            self.exchange.on_body_end();
            return completion.complete(retry, self.exchange.outcome());
        }
        // The future is complete, and its exchange is not used again.
        let unused = HttpExchange::from_client_request(&Method::GET, &HeaderMap::new());
        let exchange = mem::replace(&mut self.exchange, unused);
        body.complete_at_end(BodyCompletion::new(retry.clone(), completion, exchange));
    }

    fn deadline_exceeded(&self, reason: &'static str) -> Option<Self::CallOutput> {
        let rejection = deadline_rejection(self.retry(), reason);
        Some(Err(deadline_error(&self.exchange, rejection)))
    }
}
