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
        Advice, Attempts, ReplayBody, Retry, RetryFuture,
        attempts::{Begin, Decision, Ended, Failed},
        shared_retry::SharedRetry,
        state::{OpenCall, too_late},
    },
    BodyEnd, MapBody, Replay, RetryBody, wire,
};
use crate::{
    call::{BoxError, Outcome, Unsent},
    context::Context,
    protocol::{HttpCall, Notes, Protocol, Read, Respond, Step},
};

/// Attempts at an HTTP request. Part of a [`RetryFuture`]'s type.
pub struct HttpAttempts<S, P, M, B> {
    shared: SharedRetry<Replay<P, M>>,
    inner: S,
    call: HttpCall,
    /// Whether it may be done twice.
    repeatable: bool,
    /// Whether nothing follows the head of the answer.
    is_over: bool,
    /// The request's own, or one that all attempts share if there is none.
    context: Option<Context>,
    /// For the attempts to come, if it can be sent again.
    request: Option<(Parts, ReplayBody<B>)>,
}

impl<S, P, M, B, RB> HttpAttempts<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    RB: Body<Data = Bytes, Error: 'static>,
    P: Protocol<Call = HttpCall> + Read<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    #[inline]
    pub(super) fn call(
        inner: S,
        mut request: Request<B>,
        shared: SharedRetry<Replay<P, M>>,
    ) -> RetryFuture<Self> {
        let call = shared.rules().protocol.read(&mut request);
        let (parts, body) = request.into_parts();
        let rules = &shared.rules().rules;
        let (limit, repeats) = (call.time_limit(), shared.retry().shared.policy.attempts > 1);
        let repeatable = repeats && rules.may_repeat(&parts);
        let keeps = repeatable || (repeats && rules.repeats_unsent());
        let mut context = parts.extensions.get::<Context>().cloned();
        if keeps && context.is_none() && Context::peek(|current| current.is_none()) {
            // Who sends a context on would begin one for each attempt.
            context = Some(Context::root());
        }
        let attempts = HttpAttempts {
            shared,
            inner,
            call,
            repeatable,
            is_over: false,
            context,
            request: None,
        };
        RetryFuture::begun(attempts, limit, |attempts, begin| {
            attempts.first(parts, body, keeps, begin.context)
        })
    }

    #[inline]
    fn first(
        &mut self,
        mut parts: Parts,
        body: B,
        keeps: bool,
        context: Option<&Context>,
    ) -> S::Future {
        let rules = &self.shared.rules().rules;
        show(&mut parts, context);
        wire::begin(&mut parts.headers, &self.call, rules.announce);
        let sent = if keeps {
            let kept = ReplayBody::watched(body, rules.cap, parts.extensions.get());
            let sent = kept.again().expect("nothing was read of it");
            self.request = Some((parts.clone(), kept));
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
    fn judge_head(&mut self, mut response: Response<RB>) -> (Response<RB>, Advice) {
        let replay = self.shared.rules();
        let step = replay.protocol.judge(&mut self.call, &response, None);
        P::leave(&self.call, &mut response);
        self.is_over = step == Step::Over;
        match self.call.verdict() {
            Outcome::Success => (response, Advice::Stop),
            outcome => {
                let (parts, body) = response.into_parts();
                let hint = replay.rules.hint(&parts, SystemTime::now());
                let advice = self.retry().shared.policy.advise(outcome, None, hint);
                (Response::from_parts(parts, body), advice)
            }
        }
    }

    fn judge_error(&mut self, error: &BoxError) -> (Advice, Option<Unsent>) {
        let replay = self.shared.rules();
        let error = replay.protocol.judge_error(&mut self.call, error);
        let policy = &self.shared.retry().shared.policy;
        let advice = policy.advise(self.call.verdict(), error, None);
        let unsent = match advice {
            Advice::Stop => None,
            _ => error.and_then(|error| replay.rules.unsent(error)),
        };
        (advice, unsent)
    }

    /// Returns whether the request can be sent again as it is kept.
    fn can_go_again(&self) -> bool {
        let kept = self.request.as_ref();
        kept.is_some_and(|(_, body)| body.can_go_again())
    }

    /// Returns what settles the call when the body has come to its end, if there is anything to settle then.
    #[inline]
    fn body_end(&mut self, open: OpenCall, body: &RB) -> Option<BodyEnd> {
        let retry = self.shared.retry();
        if self.is_over || body.is_end_stream() || !open.has_to_settle(retry) {
            self.call.judge_clean_end();
            open.settle(retry, self.call.verdict());
            return None;
        }
        let nothing = HttpCall::read(&Method::GET, &HeaderMap::new());
        let call = mem::replace(&mut self.call, nothing);
        Some(BodyEnd::new(retry.clone(), open, call))
    }
}

impl<S, P, M, B, RB> Attempts for HttpAttempts<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    RB: Body<Data = Bytes, Error: 'static>,
    P: Protocol<Call = HttpCall> + Read<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    type Future = S::Future;
    type Output = Result<Response<RB>, BoxError>;
    type Answer = Result<Response<RetryBody<RB>>, BoxError>;

    #[inline]
    fn retry(&self) -> &Retry {
        self.shared.retry()
    }

    #[inline]
    fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<Result<(), Self::Answer>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| Err(P::error(error)))
    }

    fn begin(&mut self, begin: Begin<'_>) -> S::Future {
        let rules = &self.shared.rules().rules;
        let announce = rules.announce;
        let next = if begin.is_last && !rules.repeats_unsent() {
            self.request.take()
        } else {
            let kept = self.request.as_ref();
            kept.and_then(|(parts, body)| Some((parts.clone(), body.again()?)))
        };
        let (mut parts, body) = next.expect("kept, and read by nobody in the wait");
        self.call.begin_again();
        parts.extensions.insert(begin.attempt);
        if announce {
            wire::number(&mut parts.headers, &self.call, &begin.attempt);
        }
        wire::hurry(&mut parts.headers, &self.call, begin.caller_deadline);
        show(&mut parts, begin.context);
        self.send(parts, body)
    }

    #[inline]
    fn decide(
        &mut self,
        output: Result<Response<RB>, S::Error>,
        ended: Ended,
    ) -> Decision<Self::Output> {
        let (output, advice, unsent) = match output {
            Ok(response) => {
                let (response, advice) = self.judge_head(response);
                (Ok(response), advice, None)
            }
            Err(error) => {
                let error = P::error(error);
                let (advice, unsent) = self.judge_error(&error);
                let protocol = &self.shared.rules().protocol;
                let error = protocol.leave_with(&self.call, error);
                (Err(error), advice, unsent)
            }
        };
        let outcome = self.call.verdict();
        if outcome == Outcome::Success {
            return Decision::Succeeded(output);
        }
        let can = self.can_go_again();
        let unsent = unsent.filter(|_| can);
        let may = can && (self.repeatable || unsent.is_some());
        Decision::Failed(Failed {
            output,
            outcome,
            // The last attempt may have kept nothing; that there is none after it is said first.
            advice: match advice {
                Advice::Stop => Advice::Stop,
                advice if may || ended.is_last => advice,
                _ => Advice::NotRepeatable,
            },
            unsent,
        })
    }

    /// Makes fail what is still being sent of the failed attempt.
    fn prepare(&mut self) -> bool {
        let Some((_, body)) = &mut self.request else {
            return false;
        };
        let Some(next) = body.again() else {
            return false; // Grew too long just now.
        };
        *body = next;
        true
    }

    #[inline]
    fn answer(
        &mut self,
        output: Self::Output,
        ended: Ended,
        open: Option<OpenCall>,
    ) -> Self::Answer {
        // An upload may run on for hours after it was answered.
        if let Some((_, body)) = self.request.take() {
            body.release();
        }
        let mut response = match output {
            Ok(response) => response,
            Err(error) => {
                if let Some(open) = open {
                    open.settle(self.retry(), Outcome::Success);
                }
                return Err(error);
            }
        };
        if ended.attempt.is_retry() {
            response.extensions_mut().insert(ended.attempt);
        }
        let end = open.and_then(|open| self.body_end(open, response.body()));
        Ok(response.map(|body| RetryBody::new(body, end)))
    }

    fn too_late(&self, why: &'static str) -> Option<Self::Answer> {
        let why = too_late(self.retry(), why);
        Some(Err(wire::too_late(&self.call, why)))
    }
}

/// Puts the attempt's context into the request, for whoever looks there.
fn show(parts: &mut Parts, context: Option<&Context>) {
    let known = parts.extensions.get_mut::<Context>();
    if let (Some(known), Some(context)) = (known, context) {
        *known = context.clone();
    }
}
