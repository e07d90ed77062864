//! Attempts at an HTTP request.

use std::{
    mem,
    task::{Context as Cx, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    super::{
        Attempts, ReplayBody, Retry, RetryDecision, RetryFuture,
        attempts::{AttemptEnd, AttemptStart, Classified, FailedAttempt},
        shared_retry::RetryLayerConfig,
        state::{CallCompletion, deadline_rejection},
    },
    BodyCompletion, HttpRetry, MapBody, RetryBody, wire,
};
use crate::{
    call::{BoxError, NotSent, Outcome},
    context::Context,
    protocol::{BodyExpected, CallState, HttpExchange, Protocol, ReadRequest, Respond},
};

/// Attempts at an HTTP request. Part of a [`RetryFuture`]'s type.
pub struct HttpAttempts<S, P, M, B> {
    shared: RetryLayerConfig<HttpRetry<P, M>>,
    inner: S,
    exchange: HttpExchange,
    /// Whether it may be done twice.
    repeatable: bool,
    /// Whether nothing follows the head of the answer.
    is_end_stream: bool,
    /// The request's own, or one that all attempts share if there is none.
    request_context: Option<Context>,
    /// For the attempts to come, if it can be sent again.
    replay_request: Option<(Parts, ReplayBody<B>)>,
}

impl<S, P, M, B, RB> HttpAttempts<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    RB: Body<Data = Bytes, Error: 'static>,
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    #[inline]
    pub(super) fn start_call(
        inner: S,
        mut request: Request<B>,
        shared: RetryLayerConfig<HttpRetry<P, M>>,
    ) -> RetryFuture<Self> {
        let call = shared.rules().protocol.read(&mut request);
        let (parts, body) = request.into_parts();
        let rules = &shared.rules().rules;
        let (limit, repeats) = (
            call.time_limit(),
            shared.retry().shared.config.max_attempts > 1,
        );
        let repeatable = repeats && rules.is_repeatable(&parts);
        let keeps = repeatable || (repeats && rules.may_retry_unsent());
        let mut context = parts.extensions.get::<Context>().cloned();
        if keeps && context.is_none() && Context::peek(|current| current.is_none()) {
            // Who sends a context on would begin one for each attempt.
            context = Some(Context::new_root());
        }
        let attempts = HttpAttempts {
            shared,
            inner,
            exchange: call,
            repeatable,
            is_end_stream: false,
            request_context: context,
            replay_request: None,
        };
        RetryFuture::started(attempts, limit, |attempts, begin| {
            attempts.start_first(parts, body, keeps, begin.context)
        })
    }

    #[inline]
    fn start_first(
        &mut self,
        mut parts: Parts,
        body: B,
        keeps: bool,
        context: Option<&Context>,
    ) -> S::Future {
        let rules = &self.shared.rules().rules;
        set_request_context(&mut parts, context);
        wire::remove_previous_attempts(
            &mut parts.headers,
            &self.exchange,
            rules.send_attempt_header,
        );
        let sent = if keeps {
            let kept =
                ReplayBody::with_upload(body, rules.max_replay_bytes, parts.extensions.get());
            let sent = kept.replay().expect("nothing was read of it");
            self.replay_request = Some((parts.clone(), kept));
            sent
        } else {
            ReplayBody::once(body, parts.extensions.get())
        };
        self.send(parts, sent)
    }

    #[inline]
    fn send(&mut self, parts: Parts, body: ReplayBody<B>) -> S::Future {
        let body = self.shared.rules().map.map_body(body);
        self.inner.call(Request::from_parts(parts, body))
    }

    /// Judges the head of a response; nothing of its body has been read yet.
    #[inline]
    fn classify_head(&mut self, mut response: Response<RB>) -> (Response<RB>, RetryDecision) {
        let replay = self.shared.rules();
        let step = replay
            .protocol
            .classify_response(&mut self.exchange, &response, None);
        P::share_classification(&self.exchange, &mut response);
        self.is_end_stream = step == BodyExpected::No;
        match self.exchange.outcome() {
            Outcome::Success => (response, RetryDecision::Stop),
            outcome => {
                let (parts, body) = response.into_parts();
                let hint = replay.rules.retry_after(&parts, SystemTime::now());
                let advice = self.retry().shared.config.decide(outcome, None, hint);
                (Response::from_parts(parts, body), advice)
            }
        }
    }

    fn classify_error(&mut self, error: &BoxError) -> (RetryDecision, Option<NotSent>) {
        let replay = self.shared.rules();
        let error = replay.protocol.classify_error(&mut self.exchange, error);
        let policy = &self.shared.retry().shared.config;
        let advice = policy.decide(self.exchange.outcome(), error, None);
        let unsent = match advice {
            RetryDecision::Stop => None,
            _ => error.and_then(|error| replay.rules.not_sent(error)),
        };
        (advice, unsent)
    }

    /// Returns whether the request can be sent again as it is kept.
    fn is_replayable(&self) -> bool {
        let kept = self.replay_request.as_ref();
        kept.is_some_and(|(_, body)| body.is_replayable())
    }

    /// Returns what settles the call when the body has come to its end, if there is anything to settle then.
    #[inline]
    fn body_completion(&mut self, open: CallCompletion, body: &RB) -> Option<BodyCompletion> {
        let retry = self.shared.retry();
        if self.is_end_stream || body.is_end_stream() || !open.is_needed(retry) {
            self.exchange.on_body_end();
            open.complete(retry, self.exchange.outcome());
            return None;
        }
        let nothing = HttpExchange::from_client_request(&Method::GET, &HeaderMap::new());
        let call = mem::replace(&mut self.exchange, nothing);
        Some(BodyCompletion::new(retry.clone(), open, call))
    }
}

impl<S, P, M, B, RB> Attempts for HttpAttempts<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    RB: Body<Data = Bytes, Error: 'static>,
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    type Future = S::Future;
    type AttemptOutput = Result<Response<RB>, BoxError>;
    type CallOutput = Result<Response<RetryBody<RB>>, BoxError>;

    #[inline]
    fn retry(&self) -> &Retry {
        self.shared.retry()
    }

    #[inline]
    fn request_context(&self) -> Option<&Context> {
        self.request_context.as_ref()
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Self::CallOutput>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| Err(P::convert_error(error)))
    }

    fn start(&mut self, begin: AttemptStart<'_>) -> S::Future {
        let rules = &self.shared.rules().rules;
        let announce = rules.send_attempt_header;
        let next = if begin.is_last && !rules.may_retry_unsent() {
            self.replay_request.take()
        } else {
            let kept = self.replay_request.as_ref();
            kept.and_then(|(parts, body)| Some((parts.clone(), body.replay()?)))
        };
        let (mut parts, body) = next.expect("kept, and read by nobody in the wait");
        self.exchange.reset();
        parts.extensions.insert(begin.attempt);
        if announce {
            wire::set_previous_attempts(&mut parts.headers, &self.exchange, &begin.attempt);
        }
        wire::shorten_timeout(&mut parts.headers, &self.exchange, begin.caller_deadline);
        set_request_context(&mut parts, begin.context);
        self.send(parts, body)
    }

    #[inline]
    fn classify(
        &mut self,
        output: Result<Response<RB>, S::Error>,
        ended: AttemptEnd,
    ) -> Classified<Self::AttemptOutput> {
        let (output, advice, unsent) = match output {
            Ok(response) => {
                let (response, advice) = self.classify_head(response);
                (Ok(response), advice, None)
            }
            Err(error) => {
                let error = P::convert_error(error);
                let (advice, unsent) = self.classify_error(&error);
                let protocol = &self.shared.rules().protocol;
                let error = protocol.wrap_error(&self.exchange, error);
                (Err(error), advice, unsent)
            }
        };
        let outcome = self.exchange.outcome();
        if outcome == Outcome::Success {
            return Classified::Success(output);
        }
        let can = self.is_replayable();
        let unsent = unsent.filter(|_| can);
        let may = can && (self.repeatable || unsent.is_some());
        Classified::Failure(FailedAttempt {
            output,
            outcome,
            // The last attempt may have kept nothing; that there is none after it is said first.
            decision: match advice {
                RetryDecision::Stop => RetryDecision::Stop,
                advice if may || ended.is_last => advice,
                _ => RetryDecision::NotRepeatable,
            },
            not_sent: unsent,
        })
    }

    /// Makes fail what is still being sent of the failed attempt.
    fn prepare_retry(&mut self) -> bool {
        let Some((_, body)) = &mut self.replay_request else {
            return false;
        };
        let Some(next) = body.replay() else {
            return false; // Grew too long just now.
        };
        *body = next;
        true
    }

    #[inline]
    fn complete(
        &mut self,
        output: Self::AttemptOutput,
        ended: AttemptEnd,
        open: Option<CallCompletion>,
    ) -> Self::CallOutput {
        // An upload may run on for hours after it was answered.
        if let Some((_, body)) = self.replay_request.take() {
            body.release_buffer();
        }
        let mut response = match output {
            Ok(response) => response,
            Err(error) => {
                if let Some(open) = open {
                    open.complete(self.retry(), Outcome::Success);
                }
                return Err(error);
            }
        };
        if ended.attempt.is_retry() {
            response.extensions_mut().insert(ended.attempt);
        }
        let end = open.and_then(|open| self.body_completion(open, response.body()));
        Ok(response.map(|body| RetryBody::new(body, end)))
    }

    fn deadline_exceeded(&self, why: &'static str) -> Option<Self::CallOutput> {
        let why = deadline_rejection(self.retry(), why);
        Some(Err(wire::deadline_error(&self.exchange, why)))
    }
}

/// Puts the attempt's context into the request, for whoever looks there.
fn set_request_context(parts: &mut Parts, context: Option<&Context>) {
    let known = parts.extensions.get_mut::<Context>();
    if let (Some(known), Some(context)) = (known, context) {
        *known = context.clone();
    }
}
