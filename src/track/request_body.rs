//! Counts request bodies as they are streamed.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::{Extensions, Request};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::labels::CallSide;
use crate::protocol::upload::{Upload, WatchedBody};

/// Counts the bytes of a request body that have been read so far, for the trackers of the call.
#[derive(Clone, Debug)]
pub(super) struct RequestByteCount {
    counter: ByteCounter,
    /// Whose body it is: a proxy's server may pass its request on to a client with all that is in it.
    side: CallSide,
    /// True once somebody counts it.
    is_counted: bool,
}

/// The number itself.
#[derive(Clone, Debug)]
pub(super) struct ByteCounter(Arc<AtomicU64>);

/// Nobody counts: there is no [`RequestBodyLayer`].
const UNCOUNTED: u64 = u64::MAX;

impl RequestByteCount {
    /// Returns those of a tracker further out, or leaves some for whoever counts and for trackers further in.
    pub(super) fn get_or_insert(extensions: &mut Extensions, side: CallSide) -> ByteCounter {
        let found = extensions.get::<RequestByteCount>();
        if let Some(found) = found.filter(|found| found.side == side) {
            return found.counter.clone();
        }
        let read = ByteCounter(Arc::new(AtomicU64::new(UNCOUNTED)));
        extensions.insert(RequestByteCount {
            counter: read.clone(),
            side,
            is_counted: false,
        });
        read
    }

    /// Begins to count, unless somebody does.
    fn start_counting(extensions: &mut Extensions) -> Option<ByteCounter> {
        let bytes = extensions.get_mut::<RequestByteCount>()?;
        if std::mem::replace(&mut bytes.is_counted, true) {
            return None;
        }
        // An attempt before this one may have been counted.
        bytes.counter.0.store(0, Ordering::Relaxed);
        Some(bytes.counter.clone())
    }
}

impl ByteCounter {
    /// What was read, if it was counted.
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&bytes| bytes != UNCOUNTED)
    }
}

/// Counts the bytes of request bodies as they are read, for the [trackers](super::Track) around it, and watches those that
/// guards cannot watch by themselves: hyper's own `Incoming` (feature `hyper`). A body that breaks off or stalls is then
/// put down to the caller; see [`breaker`](mod@crate::breaker#evidence).
///
/// A layer of its own, since it changes the type of the body; the closure changes it back where the service
/// takes one type only: `RequestBodyLayer::new(axum::body::Body::new)`. Put it inside of the trackers; one is enough for
/// several of them, and a second one counts nothing.
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyLayer<F>(F);

impl<F> RequestBodyLayer<F> {
    /// Gives the counted body to the closure, and what comes back to the service.
    pub fn new(map: F) -> Self {
        RequestBodyLayer(map)
    }
}

impl<S, F: Clone> Layer<S> for RequestBodyLayer<F> {
    type Service = RequestBodyService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestBodyService {
            inner,
            map: self.0.clone(),
        }
    }
}

/// Made by [`RequestBodyLayer`].
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyService<S, F> {
    inner: S,
    map: F,
}

impl<S, F, B, C> Service<Request<B>> for RequestBodyService<S, F>
where
    B: Body,
    S: Service<Request<C>>,
    F: Fn(CountedBody<B>) -> C,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let (mut parts, inner) = request.into_parts();
        let bytes = RequestByteCount::start_counting(&mut parts.extensions);
        let upload: Option<&Upload> = parts.extensions.get();
        let reporter = upload.and_then(|upload| upload.reporter(&inner.size_hint(), None));
        let inner = WatchedBody::new(inner, reporter);
        let body = (self.map)(CountedBody {
            inner,
            counter: bytes,
        });
        self.inner.call(Request::from_parts(parts, body))
    }
}

pin_project! {
    /// A request body that is counted as it is read.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: WatchedBody<B>,
        // None if nobody wants to know, or somebody else counts.
        counter: Option<ByteCounter>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Some(bytes) = this.counter
        {
            let read = data.remaining() as u64;
            bytes.0.fetch_add(read, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
