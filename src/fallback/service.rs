use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    FallbackFuture,
    alternative::Alternative,
    layer_error::IntoLayerError,
    layer_shared::{LayerShared, MergedResponse},
    merge::Merge,
};
use crate::protocol::{CallState, ReadRequest};

/// A service with a fallback. Made by [`FallbackLayer`](super::FallbackLayer).
pub struct FallbackService<S, P, A> {
    inner: S,
    shared: Arc<LayerShared<P, A>>,
}

impl<S, P, A> FallbackService<S, P, A> {
    pub(super) fn new(inner: S, shared: Arc<LayerShared<P, A>>) -> Self {
        FallbackService { inner, shared }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, A, Req> Service<Req> for FallbackService<S, P, A>
where
    // What responds if the call fails.
    A: Alternative<Req>,
    // The wrapped service.
    S: Service<A::InnerRequest>,
    A::Error: IntoLayerError<P::Error>,
    // How calls are classified, and the two responses become one.
    P: ReadRequest<Req> + Merge<S::Response, S::Error, A::Response>,
{
    type Response = MergedResponse<P, S::Response, S::Error, A::Response>;
    type Error = P::Error;
    type Future = FallbackFuture<S::Future, Req, P, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        // Read and copied first: the original is gone once it is sent.
        let call = self.shared.protocol.read(&mut request);
        let alternative = &self.shared.alternative;
        let (request, retained) = alternative.retain_request(request, call.time_limit());
        FallbackFuture::new(
            self.inner.call(request),
            call,
            retained,
            self.shared.clone(),
        )
    }
}

/// A clone shares the fallback and the alternative.
impl<S: Clone, P, A> Clone for FallbackService<S, P, A> {
    fn clone(&self) -> Self {
        FallbackService::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, P, A> fmt::Debug for FallbackService<S, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackService")
            .field("inner", &self.inner)
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
