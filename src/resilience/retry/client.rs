//! Retries over HTTP and gRPC clients: what may be sent twice, and how an answer is judged.

use std::{
    any::Any as AnyType,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use super::{
    Hint, ReplayBody, Retried, Retry, RetryLayer,
    course::{Course, Pause},
    policy::{Advice, Judged, hint_of},
};
use crate::{
    call::{BoxError, Classify, Outcome, quietly, view},
    guard::Answer,
    protocol::{Client, GrpcClient, Http, HttpCall, Notes, Side},
};

/// What is kept of a request body by default, in bytes: more than most have, little enough for thousands of calls.
const DEFAULT_CAP: usize = 64 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TWICE: &str = "polled after completion";

type Repeatable = dyn Fn(&Parts) -> bool + Send + Sync;

/// Retries over a client: its protocol, and how requests are sent again. Part of a
/// [`RetryLayer`]'s type.
pub struct Replay<P, M = AsIs> {
    protocol: Arc<P>,
    map: Arc<M>,
    cap: usize,
    repeatable: Option<Arc<Repeatable>>,
}

/// Gives the service the body it takes. Closures implement it.
pub trait MapBody<B> {
    /// What the service takes.
    type Body;
    #[doc(hidden)]
    fn map_body(&self, body: ReplayBody<B>) -> Self::Body;
}

/// The service takes any body: a [`ReplayBody`] as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs;

impl<B> MapBody<B> for AsIs {
    type Body = ReplayBody<B>;
    fn map_body(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

impl<B, F: Fn(ReplayBody<B>) -> T, T> MapBody<B> for F {
    type Body = T;
    fn map_body(&self, body: ReplayBody<B>) -> T {
        self(body)
    }
}

impl RetryLayer<Replay<Client>> {
    /// Retries over an HTTP client such as hyper-util's; its error becomes a `BoxError`.
    pub fn client(retry: Retry) -> Self {
        RetryLayer::new(retry, Replay::new(Client(()), AsIs))
    }
}

impl RetryLayer<Replay<GrpcClient>> {
    /// Retries over a gRPC client such as tonic's `Channel`; the error type stays. A channel takes one type of body
    /// only, so say [`request_body(tonic::body::Body::new)`](Self::request_body).
    ///
    /// gRPC calls are posted, so none is tried again until [`repeatable`](Self::repeatable) says which may be. One is
    /// judged by its headers: an answer that has begun is not taken back.
    pub fn grpc_client(retry: Retry) -> Self {
        RetryLayer::new(retry, Replay::new(GrpcClient(()), AsIs))
    }
}

impl<P, M> RetryLayer<Replay<P, M>> {
    /// Makes the body that the service takes out of the one that can be sent again.
    #[must_use]
    pub fn request_body<N>(self, map: N) -> RetryLayer<Replay<P, N>> {
        let (retry, replay) = self.into_parts();
        let replay = Replay {
            protocol: replay.protocol.clone(),
            map: Arc::new(map),
            cap: replay.cap,
            repeatable: replay.repeatable.clone(),
        };
        RetryLayer::new(retry, replay)
    }

    /// How much of a request's body is kept; a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub fn replay_at_most(self, bytes: usize) -> Self {
        let (retry, replay) = self.into_parts();
        let mut replay = (*replay).clone();
        replay.cap = bytes;
        RetryLayer::new(retry, replay)
    }

    /// Which requests may be sent twice. Default: those of idempotent methods, and those with an `Idempotency-Key`.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::grpc_client(Retry::default())
    ///     .repeatable(|request| request.uri.path().ends_with("/Get"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn repeatable(self, which: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        let (retry, replay) = self.into_parts();
        let mut replay = (*replay).clone();
        replay.repeatable = Some(Arc::new(which));
        RetryLayer::new(retry, replay)
    }
}

macro_rules! classify {
    ($protocol:ident) => {
        impl<C: Classify, M> RetryLayer<Replay<$protocol<C>, M>> {
            /// Judges attempts by the classifier instead of by the protocol alone: failures, overload and timeouts
            /// are worth another attempt.
            #[must_use]
            pub fn classify<D: Classify>(self, classify: D) -> RetryLayer<Replay<$protocol<D>, M>> {
                let (retry, replay) = self.into_parts();
                let replay = Replay {
                    protocol: Arc::new($protocol(classify)),
                    map: replay.map.clone(),
                    cap: replay.cap,
                    repeatable: replay.repeatable.clone(),
                };
                RetryLayer::new(retry, replay)
            }
        }
    };
}
classify!(Client);
classify!(GrpcClient);

impl<P, M> Replay<P, M> {
    fn new(protocol: P, map: M) -> Self {
        Replay {
            protocol: Arc::new(protocol),
            map: Arc::new(map),
            cap: DEFAULT_CAP,
            repeatable: None,
        }
    }

    fn may_repeat(&self, request: &Parts) -> bool {
        match &self.repeatable {
            // One that panics does not send anything twice.
            Some(which) => quietly(|| which(request)).unwrap_or(false),
            None => request.method.is_idempotent() || request.headers.contains_key(IDEMPOTENCY_KEY),
        }
    }
}

impl<P, M> Clone for Replay<P, M> {
    fn clone(&self) -> Self {
        Replay {
            protocol: self.protocol.clone(),
            map: self.map.clone(),
            cap: self.cap,
            repeatable: self.repeatable.clone(),
        }
    }
}

impl<P, M> fmt::Debug for Replay<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("cap", &self.cap)
            .finish_non_exhaustive()
    }
}

impl<S, P, M, B, RB> Service<Request<B>> for Retried<S, Replay<P, M>>
where
    // The request's body, and what the service takes in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The wrapped service, and what is called again.
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    // How an attempt is judged.
    P: Http + Answer<Response<RB>, S::Error, Error: 'static>,
{
    type Response = S::Response;
    type Error = P::Error;
    type Future = HttpRetryFuture<S, P, M, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_inner(cx).map_err(P::unready)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (ready, retry, replay) = self.take_ready();
        HttpRetryFuture::new(ready, request, retry, replay)
    }
}

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
        state: State<S::Future>,
        course: Course,
        inner: S,
        notes: HttpCall,
        // For the attempts to come, if it may be sent again.
        again: Option<(Parts, ReplayBody<B>)>,
        replay: Arc<Replay<P, M>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Trying { #[pin] attempt: F },
        Waiting { #[pin] sleep: Sleep, pause: Option<Pause> },
        Readying { pause: Option<Pause> },
    }
}

impl<S, P, M, B> HttpRetryFuture<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>>,
{
    fn new(mut ready: S, request: Request<B>, retry: Retry, replay: Arc<Replay<P, M>>) -> Self {
        let (parts, body) = request.into_parts();
        let notes = HttpCall::read(&parts.method, &parts.headers);
        let mut course = Course::new(retry);
        if let Some(limit) = notes.time_limit() {
            course.until(Instant::now() + limit);
        }
        course.begin();
        let once = course.is_last() || !replay.may_repeat(&parts);
        let body = ReplayBody::new(body, if once { 0 } else { replay.cap });
        // Asked for only where it is used: it ends the sending of the one it was asked of.
        let sent = if once { None } else { body.again() };
        let (sent, again) = match sent {
            Some(sent) => (sent, Some((parts.clone(), body))),
            None => (body, None),
        };
        let request = Request::from_parts(parts, replay.map.map_body(sent));
        HttpRetryFuture {
            state: State::Trying {
                attempt: ready.call(request),
            },
            course,
            inner: ready,
            notes,
            again,
            replay,
        }
    }
}

impl<S, P, M, B, RB> Future for HttpRetryFuture<S, P, M, B>
where
    B: Body<Data = Bytes>,
    M: MapBody<B>,
    S: Service<Request<M::Body>, Response = Response<RB>>,
    P: Http + Answer<Response<RB>, S::Error, Error: 'static>,
{
    type Output = Result<Response<RB>, P::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Trying { attempt } => {
                    let result = ready!(attempt.poll(cx)).map_err(P::unready);
                    let protocol = &*this.replay.protocol;
                    let (result, (outcome, hint)) = match result {
                        Ok(response) => {
                            let (response, judged) = judge(protocol, this.notes, response);
                            (Ok(response), judged)
                        }
                        Err(error) => {
                            let judged = judge_error(protocol, this.notes, &error);
                            (Err(error), judged)
                        }
                    };
                    if outcome == Outcome::Success {
                        this.course.succeeded();
                        return Poll::Ready(result);
                    }
                    let advice = match this.course.policy().advise_error(outcome, hint) {
                        Advice::Stop => Advice::Stop,
                        // The last attempt keeps nothing; that there is none after it is said first.
                        advice if this.course.is_last() => advice,
                        advice if may_go_again(this.again.as_ref()) => advice,
                        _ => Advice::NotRepeatable,
                    };
                    let Some(pause) = this.course.failed(outcome, advice) else {
                        return Poll::Ready(result);
                    };
                    // From here on, what is still being sent of the failed attempt fails.
                    let Some((_, body)) = this.again else {
                        return Poll::Ready(result);
                    };
                    match body.again() {
                        Some(next) => *body = next,
                        // Grew too long just now.
                        None => return Poll::Ready(result),
                    }
                    // The connection is free again before the wait: the response and its body are let go of.
                    drop(result);
                    let (sleep, pause) = (pause.sleep(), Some(pause));
                    this.state.set(State::Waiting { sleep, pause });
                }
                StateProj::Waiting { sleep, pause } => {
                    ready!(sleep.poll(cx));
                    let pause = pause.take();
                    this.state.set(State::Readying { pause });
                }
                StateProj::Readying { pause } => {
                    if let Err(error) = ready!(this.inner.poll_ready(cx)) {
                        // Given back: no attempt was made.
                        drop(pause.take());
                        this.course.not_ready();
                        return Poll::Ready(Err(P::unready(error)));
                    }
                    let attempt = this.course.resume(pause.take().expect(TWICE));
                    let next = if this.course.is_last() {
                        this.again.take()
                    } else {
                        let kept = this.again.as_ref();
                        kept.and_then(|(parts, body)| Some((parts.clone(), body.again()?)))
                    };
                    let (mut parts, body) = next.expect("kept, and read by nobody in the wait");
                    *this.notes = HttpCall::read(&parts.method, &parts.headers);
                    parts.extensions.insert(attempt);
                    let request = Request::from_parts(parts, this.replay.map.map_body(body));
                    let attempt = this.inner.call(request);
                    this.state.set(State::Trying { attempt });
                }
            }
        }
    }
}

fn may_go_again<B>(again: Option<&(Parts, ReplayBody<B>)>) -> bool {
    again.is_some_and(|(_, body)| body.can_go_again())
}

/// Judges the head of a response; nothing of its body has been read yet.
fn judge<P: Http, B>(
    protocol: &P,
    notes: &mut HttpCall,
    response: Response<B>,
) -> (Response<B>, Judged) {
    let side = if P::SERVER {
        Side::Server
    } else {
        Side::Client
    };
    let (parts, body) = response.into_parts();
    notes.judge_head(side, &parts, None, protocol.classify());
    let hint = match notes.verdict() {
        Outcome::Success => None,
        _ => Hint::from_headers(&parts.headers, SystemTime::now()),
    };
    (Response::from_parts(parts, body), (notes.verdict(), hint))
}

fn judge_error<P: Http, E: 'static>(protocol: &P, notes: &mut HttpCall, error: &E) -> Judged {
    let error = view(error as &dyn AnyType);
    match error {
        Some(error) => notes.judge_error(error, protocol.classify()),
        None => notes.judge_opaque_error(protocol.classify()),
    }
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
