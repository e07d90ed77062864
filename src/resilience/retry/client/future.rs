//! The future of an HTTP request that is tried again.

use std::{
    any::Any as AnyType,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    super::{
        Hint, ReplayBody,
        course::{Course, Pause, Planned, Start},
        policy::{Advice, Judged},
        step::{Step, Turn, Unready},
    },
    MapBody, Replay, wire,
};
use crate::{
    call::{BoxError, Outcome, view},
    context::Context as CallContext,
    guard::Answer,
    protocol::{Http, HttpCall, Notes, Protocol, Read as ReadRequest},
    resilience::hint::hint_of,
};

pin_project! {
    /// The future of an HTTP request that is tried again. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpRetryFuture<S, P, M, B>
    where
        M: MapBody<B>,
        S: Service<Request<M::Body>>,
    {
        // Before what settles the attempt: it is dropped first.
        #[pin]
        step: Step<S::Future>,
        course: Course<Planned<Replay<P, M>>>,
        inner: S,
        notes: HttpCall,
        // Whether it may be done twice.
        repeatable: bool,
        // For the attempts to come, if it can be sent again.
        again: Option<(Parts, ReplayBody<B>)>,
    }
}

impl<S, P, M, B> HttpRetryFuture<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>>,
    P: ReadRequest<Request<B>> + Protocol<Call = HttpCall>,
{
    pub(super) fn new(
        mut ready: S,
        mut request: Request<B>,
        planned: Planned<Replay<P, M>>,
    ) -> Self {
        let notes = planned.rules().protocol.read(&mut request);
        let (mut parts, body) = request.into_parts();
        let mut course = Course::new(planned);
        let (_, context) = course.begin(notes.time_limit(), own(&parts));
        tell(&mut parts, context.as_ref());
        let replay = course.rules();
        wire::begin(&mut parts.headers, &notes, replay.rules.announce);
        let (rules, last) = (&replay.rules, course.is_last());
        let repeatable = !last && rules.may_repeat(&parts);
        let (sent, again) = if repeatable || (rules.free_repeats && !last) {
            let kept = ReplayBody::new(body, rules.cap);
            let sent = kept.again().expect("nothing was read of it");
            (sent, Some((parts.clone(), kept)))
        } else {
            (ReplayBody::once(body), None)
        };
        let request = Request::from_parts(parts, replay.map.map_body(sent));
        HttpRetryFuture {
            step: Step::trying(context, || ready.call(request)),
            course,
            inner: ready,
            notes,
            repeatable,
            again,
        }
    }
}

impl<S, P, M, B, RB> Future for HttpRetryFuture<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    P: Http + Answer<Response<RB>, S::Error, Error = BoxError>,
{
    type Output = Result<Response<RB>, P::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match ready!(self.as_mut().project().step.poll(cx)) {
                Turn::Ended(result) => {
                    if let Some(answer) = self.as_mut().ended(result.map_err(P::unready)) {
                        // An upload may run on for hours after it was answered.
                        if let Some((_, body)) = self.project().again.take() {
                            body.release();
                        }
                        return Poll::Ready(answer);
                    }
                }
                Turn::Due => {
                    let this = self.as_mut().project();
                    let ready = this.inner.poll_ready(cx);
                    let pause = match ready!(this.step.poll_due(ready, this.course, cx)) {
                        Ok(pause) => pause,
                        Err(Unready::Failed(error)) => return Poll::Ready(Err(P::unready(error))),
                        Err(Unready::Late) => {
                            let why = this.course.too_late();
                            return Poll::Ready(Err(wire::too_late(this.notes, why)));
                        }
                    };
                    self.as_mut().send_again(pause);
                }
            }
        }
    }
}

impl<S, P, M, B, RB> HttpRetryFuture<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    P: Http + Answer<Response<RB>, S::Error, Error = BoxError>,
{
    /// An attempt has ended: its result, unless there is another attempt.
    fn ended(
        self: Pin<&mut Self>,
        result: Result<Response<RB>, P::Error>,
    ) -> Option<Result<Response<RB>, P::Error>> {
        let this = self.project();
        let (result, (outcome, hint)) = judge(&*this.course.rules().protocol, this.notes, result);
        if outcome == Outcome::Success {
            this.course.succeeded();
            return Some(result);
        }
        let advice = this.course.policy().advise_error(outcome, hint);
        let kept = this
            .again
            .as_ref()
            .is_some_and(|(_, body)| body.can_go_again());
        let unsent = match &result {
            Err(error) if kept && advice != Advice::Stop => view(error as &dyn AnyType)
                .and_then(|error| this.course.rules().rules.unsent(error)),
            _ => None,
        };
        let pause = match unsent.and_then(|how| this.course.unsent(how)) {
            Some(pause) => Some(pause),
            None => {
                let may = kept && (*this.repeatable || unsent.is_some());
                this.course
                    .failed(outcome, checked(advice, may, this.course.is_last()))
            }
        };
        let Some(pause) = pause else {
            return Some(result);
        };
        // From here on, what is still being sent of the failed attempt fails.
        let next = this.again.as_ref().and_then(|(_, body)| body.again());
        let (Some((_, body)), Some(next)) = (this.again, next) else {
            return Some(result); // Grew too long just now.
        };
        *body = next;
        // The connection is free again before the wait: the response and its body are let go of.
        drop(result);
        this.step.wait(pause);
        None
    }

    fn send_again(self: Pin<&mut Self>, pause: Pause) {
        let mut this = self.project();
        let own = this.again.as_ref().and_then(|(parts, _)| own(parts));
        let (attempt, context): Start = this.course.resume(pause, own);
        let next = if this.course.is_last() && !this.course.rules().rules.free_repeats {
            this.again.take()
        } else {
            let kept = this.again.as_ref();
            kept.and_then(|(parts, body)| Some((parts.clone(), body.again()?)))
        };
        let (mut parts, body) = next.expect("kept, and read by nobody in the wait");
        this.notes.begin_again();
        parts.extensions.insert(attempt);
        if this.course.rules().rules.announce {
            wire::number(&mut parts.headers, this.notes, &attempt);
        }
        wire::hurry(&mut parts.headers, this.notes, this.course.time_left());
        tell(&mut parts, context.as_ref());
        let request = Request::from_parts(parts, this.course.rules().map.map_body(body));
        let inner = this.inner;
        let trying = Step::trying(context, || inner.call(request));
        this.step.set(trying);
    }
}

/// The context that a request brings along.
fn own(parts: &Parts) -> Option<&CallContext> {
    parts.extensions.get()
}

/// Whoever looks for a context in the request finds the attempt's.
fn tell(parts: &mut Parts, context: Option<&CallContext>) {
    let known = parts.extensions.get_mut::<CallContext>();
    if let (Some(known), Some(context)) = (known, context) {
        *known = context.clone();
    }
}

/// What must not be done twice, or can no longer be, is not.
fn checked(advice: Advice, may: bool, last: bool) -> Advice {
    match advice {
        Advice::Stop => Advice::Stop,
        // The last attempt may have kept nothing; that there is none after it is said first.
        advice if may || last => advice,
        _ => Advice::NotRepeatable,
    }
}

fn judge<P: Http, B, E: 'static>(
    protocol: &P,
    notes: &mut HttpCall,
    result: Result<Response<B>, E>,
) -> (Result<Response<B>, E>, Judged) {
    match result {
        Ok(response) => {
            let (response, judged) = judge_head(protocol, notes, response);
            (Ok(response), judged)
        }
        Err(error) => {
            let judged = judge_error(protocol, notes, &error);
            (Err(error), judged)
        }
    }
}

/// Judges the head of a response; nothing of its body has been read yet.
fn judge_head<P: Http, B>(
    protocol: &P,
    notes: &mut HttpCall,
    response: Response<B>,
) -> (Response<B>, Judged) {
    let (mut parts, body) = response.into_parts();
    notes.judge_head(&parts, None, protocol.classify());
    notes.leave_verdict(&mut parts.extensions);
    let hint = match notes.verdict() {
        Outcome::Success => None,
        _ => Hint::from_headers(&parts.headers, SystemTime::now()),
    };
    (Response::from_parts(parts, body), (notes.verdict(), hint))
}

fn judge_error<P: Http, E: 'static>(protocol: &P, notes: &mut HttpCall, error: &E) -> Judged {
    let error = notes.judge_any_error(error, protocol.classify());
    (notes.verdict(), error.and_then(hint_of))
}

impl<S, P, M, B> fmt::Debug for HttpRetryFuture<S, P, M, B>
where
    M: MapBody<B>,
    S: Service<Request<M::Body>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRetryFuture")
            .field("course", &self.course)
            .finish_non_exhaustive()
    }
}
