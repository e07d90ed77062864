use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{TimeoutLayer, TimeoutService};
use crate::{call::track_never_called, guard::Oneshot};

/// A [`TimeoutLayer`] whose calls include the wait for readiness; made by
/// [`TimeoutLayer::include_readiness`].
#[derive(Clone, Debug)]
pub struct IncludeReadinessLayer<P>(pub(super) TimeoutLayer<P>);

impl<S, P> Layer<S> for IncludeReadinessLayer<P> {
    type Service = TimeoutService<LazyReady<S>, P>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(LazyReady::new(inner))
    }
}

/// A service that is always ready, and waits for the wrapped one inside of the call. Part of [`IncludeReadinessLayer`].
#[derive(Clone, Debug)]
pub struct LazyReady<S> {
    inner: S,
}

impl<S> LazyReady<S> {
    fn new(inner: S) -> Self {
        LazyReady { inner }
    }
}

impl<S: Service<Req> + Clone, Req> Service<Req> for LazyReady<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = LazyReadyFuture<S, Req>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        LazyReadyFuture {
            // No swap of the clone: this service was never polled ready, and the call polls its own.
            inner: Some(Oneshot::new(self.inner.clone(), request)),
        }
    }
}

pin_project! {
    /// The future of a [`LazyReady`]. A time limit that drops it learns whether the service was called.
    #[must_use = "futures do nothing unless polled"]
    pub struct LazyReadyFuture<S, Req> where S: Service<Req> {
        // None while and after it is dropped.
        #[pin]
        inner: Option<Oneshot<S, Req>>,
    }

    impl<S, Req> PinnedDrop for LazyReadyFuture<S, Req> where S: Service<Req> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // A guard in it may be waiting as well, although this service was ready.
            track_never_called(|| this.inner.set(None));
        }
    }
}

impl<S: Service<Req>, Req> Future for LazyReadyFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner.as_pin_mut();
        inner.expect("a call exists until it is dropped").poll(cx)
    }
}
