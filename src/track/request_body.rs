//! Counts the bytes of request bodies.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::byte_counter::{ByteCounter, RequestByteCount};
use crate::protocol::upload::{Upload, WatchedBody};

/// A layer that counts the bytes of request bodies for the [trackers](super::Track) around it.
///
/// It also watches bodies that guards cannot watch by themselves: hyper's `Incoming` (feature `hyper`). A body that
/// breaks off or stalls is then attributed to the caller; see [`breaker`](mod@crate::breaker#evidence).
///
/// It is a separate layer since it changes the type of the body. The closure converts the body back for services that
/// accept one type only. Place it inside of the trackers: one layer serves all of them, and a second one has no effect.
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyLayer<F>(F);

impl<F> RequestBodyLayer<F> {
    /// Returns a layer that passes what the closure returns for the counted body to the service.
    ///
    /// An axum app, whose handlers take axum's own body:
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::{Router, body::Body, routing::post};
    /// use tower_keep::{observe, track::RequestBodyLayer};
    ///
    /// let app: Router = Router::new()
    ///     .route("/echo", post(|body: String| async { body }))
    ///     .layer(RequestBodyLayer::new(Body::new))
    ///     .layer(observe("echo").server());
    /// # let _ = app;
    /// # }
    /// ```
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

/// A service whose request bodies are counted; made by [`RequestBodyLayer`].
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
        // The counter and the upload were left in the extensions by the guards around this layer.
        let counter = RequestByteCount::start_counting(&mut parts.extensions);
        let upload: Option<&Upload> = parts.extensions.get();
        let reporter = upload.and_then(|upload| upload.reporter(&inner.size_hint(), None));
        let inner = WatchedBody::new(inner, reporter);
        let body = (self.map)(CountedBody { inner, counter });
        self.inner.call(Request::from_parts(parts, body))
    }
}

pin_project! {
    /// A request body whose bytes are counted as they are read.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: WatchedBody<B>,
        // None if no tracker needs the count, or another layer counts.
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
            && let Some(counter) = this.counter
        {
            // Now, before whoever gets the frame consumes it.
            let read = data.remaining() as u64;
            counter.add(read);
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
