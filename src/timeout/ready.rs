use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{call::asking_whether_begun, guard::WhenReady};

/// A service that is always ready, and waits for the wrapped one inside of the call; part of
/// [`IncludingReadiness`](super::IncludingReadiness).
#[derive(Clone, Debug)]
pub struct WaitInside<S> {
    inner: S,
}

impl<S> WaitInside<S> {
    pub(super) fn new(inner: S) -> Self {
        WaitInside { inner }
    }
}

impl<S: Service<Req> + Clone, Req> Service<Req> for WaitInside<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WaitInsideFuture<S, Req>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        WaitInsideFuture {
            inner: Some(WhenReady::new(self.inner.clone(), request)),
        }
    }
}

pin_project! {
    /// The call of a [`WaitInside`]. A time limit that drops it learns whether it was ever made.
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitInsideFuture<S, Req> where S: Service<Req> {
        // None once it is dropped.
        #[pin]
        inner: Option<WhenReady<S, Req>>,
    }

    impl<S, Req> PinnedDrop for WaitInsideFuture<S, Req> where S: Service<Req> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // A guard in there may wait as well, although it was ready itself.
            asking_whether_begun(|| this.inner.set(None));
        }
    }
}

impl<S: Service<Req>, Req> Future for WaitInsideFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner.as_pin_mut();
        inner.expect("polled before it is dropped").poll(cx)
    }
}
