use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    FallbackFuture,
    alternative::{Alternative, IntoLayerError},
    future::MergedResponse,
    layer::LayerShared,
    merge::Merge,
};
use crate::protocol::{CallState, ReadRequest};

/// A service with a fallback. Made by [`FallbackLayer`](super::FallbackLayer).
pub struct FallbackService<S, P, Src> {
    inner: S,
    shared: Arc<LayerShared<P, Src>>,
}

impl<S, P, Src> FallbackService<S, P, Src> {
    pub(super) fn new(inner: S, shared: Arc<LayerShared<P, Src>>) -> Self {
        FallbackService { inner, shared }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, Src, Req> Service<Req> for FallbackService<S, P, Src>
where
    // Where the other answer comes from.
    Src: Alternative<Req>,
    // The wrapped service.
    S: Service<Src::Sent>,
    Src::Error: IntoLayerError<P::Error>,
    // How calls are judged, and the two answers become one.
    P: ReadRequest<Req> + Merge<S::Response, S::Error, Src::Response>,
{
    type Response = MergedResponse<P, S::Response, S::Error, Src::Response>;
    type Error = P::Error;
    type Future = FallbackFuture<S::Future, Req, P, Src>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let notes = self.shared.protocol.read(&mut request);
        let (sent, kept) = self
            .shared
            .alternative
            .retain_request(request, notes.time_limit());
        FallbackFuture::new(self.inner.call(sent), notes, kept, self.shared.clone())
    }
}

/// A clone shares the fallback and its source.
impl<S: Clone, P, Src> Clone for FallbackService<S, P, Src> {
    fn clone(&self) -> Self {
        FallbackService::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, P, Src> fmt::Debug for FallbackService<S, P, Src> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithFallback")
            .field("inner", &self.inner)
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
