use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{ChaosFuture, body::WrapChaosBody, config::ChaosConfig, request_match::RequestMatch};
use crate::protocol::{ReadRequest, Respond};

/// A service into whose calls faults are injected. Made by [`ChaosLayer`](super::ChaosLayer).
pub struct ChaosService<S, P, M> {
    inner: S,
    config: Arc<ChaosConfig<P, M>>,
}

impl<S, P, M> ChaosService<S, P, M> {
    pub(super) fn new(inner: S, config: Arc<ChaosConfig<P, M>>) -> Self {
        ChaosService { inner, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, M, Req> Service<Req> for ChaosService<S, P, M>
where
    // The wrapped service.
    S: Service<Req>,
    // How the request is read, and how a response in the service's place is made.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
    // Which requests get faults.
    M: RequestMatch<Req>,
{
    type Response = P::Response<WrapChaosBody>;
    type Error = P::Error;
    type Future = ChaosFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        match self.config.inject(&mut request) {
            Some(injection) if injection.is_in_place() => {
                let call = self.config.protocol.read(&mut request);
                ChaosFuture::in_place(injection, call)
            }
            injection => ChaosFuture::calling(self.inner.call(request), injection),
        }
    }
}

/// A clone shares the chaos, but not the readiness.
impl<S: Clone, P, M> Clone for ChaosService<S, P, M> {
    fn clone(&self) -> Self {
        ChaosService::new(self.inner.clone(), self.config.clone())
    }
}

impl<S: fmt::Debug, P, M> fmt::Debug for ChaosService<S, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosService")
            .field("inner", &self.inner)
            .field("chaos", &self.config.chaos)
            .finish_non_exhaustive()
    }
}
