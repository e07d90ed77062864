use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    FallbackFuture,
    future::Joined,
    join::Join,
    layer::Shared,
    source::{Lift, Source},
};
use crate::protocol::{Notes, Read};

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
    // Where the other answer comes from.
    Src: Source<Req>,
    // The wrapped service.
    S: Service<Src::Sent>,
    Src::Error: Lift<P::Error>,
    // How calls are judged, and the two answers become one.
    P: Read<Req> + Join<S::Response, S::Error, Src::Response>,
{
    type Response = Joined<P, S::Response, S::Error, Src::Response>;
    type Error = P::Error;
    type Future = FallbackFuture<S::Future, Req, P, Src>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::error)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let notes = self.shared.protocol.read(&mut request);
        let (sent, kept) = self.shared.source.keep(request, notes.time_limit());
        FallbackFuture::new(self.inner.call(sent), notes, kept, self.shared.clone())
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
