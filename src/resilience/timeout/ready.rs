use std::task::{Context, Poll};

use tower_service::Service;

use crate::guard::WhenReady;

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
    type Future = WhenReady<S, Req>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        WhenReady::waiting(self.inner.clone(), request)
    }
}
