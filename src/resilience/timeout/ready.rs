use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

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
            state: State::Waiting {
                request: Some(request),
            },
            inner: self.inner.clone(),
        }
    }
}

pin_project! {
    /// The future of [`WaitInside`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitInsideFuture<S, Req> where S: Service<Req> {
        #[pin]
        state: State<S::Future, Req>,
        inner: S,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, Req> {
        Waiting { request: Option<Req> },
        Calling { #[pin] future: F },
    }
}

impl<S: Service<Req>, Req> Future for WaitInsideFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Waiting { request } => {
                    ready!(this.inner.poll_ready(cx))?;
                    let request = request.take().expect("polled after completion");
                    let future = this.inner.call(request);
                    this.state.set(State::Calling { future });
                }
                StateProj::Calling { future } => return future.poll(cx),
            }
        }
    }
}
