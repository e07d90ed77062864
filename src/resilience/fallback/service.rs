use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    FallbackFuture,
    judge::{Join, Judge, Read},
    layer::Shared,
    source::{Lift, Source},
};

/// A service with a fallback. Made by [`FallbackLayer`](super::FallbackLayer).
pub struct WithFallback<S, P, Src> {
    inner: S,
    shared: Arc<Shared<P, Src>>,
}

impl<S, P, Src> WithFallback<S, P, Src> {
    pub(super) fn new(inner: S, shared: Arc<Shared<P, Src>>) -> Self {
        WithFallback { inner, shared }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, Src, Req> Service<Req> for WithFallback<S, P, Src>
where
    // The wrapped service.
    S: Service<Req>,
    // Where the other answer comes from.
    Src: Source<Req>,
    Src::Error: Lift<P::Error>,
    // How calls are judged, and the two answers become one.
    P: Read<Req> + Judge<S::Response, S::Error, <P as Read<Req>>::Notes>,
    P: Join<S::Response, Src::Response>,
{
    type Response = P::Response;
    type Error = P::Error;
    type Future = FallbackFuture<S::Future, Req, P, Src>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let notes = self.shared.protocol.read(&mut request);
        let kept = self.shared.source.keep(&request);
        FallbackFuture::new(self.inner.call(request), notes, kept, self.shared.clone())
    }
}

/// A clone shares the fallback and its source.
impl<S: Clone, P, Src> Clone for WithFallback<S, P, Src> {
    fn clone(&self) -> Self {
        WithFallback::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, P, Src> fmt::Debug for WithFallback<S, P, Src> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithFallback")
            .field("inner", &self.inner)
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
