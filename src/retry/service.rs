use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    RetryFuture, ServiceAttempts,
    custom::{NonHttp, ServiceRules},
    shared_retry::RetryLayerConfig,
};
use crate::call::BoxError;

/// A service whose requests are tried again. Made by [`RetryLayer`](super::RetryLayer).
pub struct RetryService<S, P> {
    inner: S,
    shared: RetryLayerConfig<P>,
}

impl<S, P> RetryService<S, P> {
    pub(super) fn new(inner: S, shared: RetryLayerConfig<P>) -> Self {
        RetryService { inner, shared }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    pub(super) fn poll_inner_ready<Req>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        self.inner.poll_ready(cx)
    }

    /// The handle polled ready moves into the future; the spare stays and must be polled before use.
    pub(super) fn take_ready_service(&mut self) -> (S, RetryLayerConfig<P>)
    where
        S: Clone,
    {
        let spare = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, spare);
        (ready, self.shared.clone())
    }
}

impl<S, R, Req> Service<Req> for RetryService<S, R>
where
    // The wrapped service, and what is called again.
    S: Service<Req, Error: Into<BoxError>> + Clone,
    // How requests are copied, and attempts judged.
    R: NonHttp + ServiceRules<Req, S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = RetryFuture<ServiceAttempts<S, Req, R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.poll_inner_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (ready, shared) = self.take_ready_service();
        ServiceAttempts::start_call(ready, request, shared)
    }
}

/// A clone shares the retry's settings and budget, and keeps no readiness.
impl<S: Clone, P> Clone for RetryService<S, P> {
    fn clone(&self) -> Self {
        RetryService::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, P> fmt::Debug for RetryService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retried")
            .field("inner", &self.inner)
            .field("retry", &self.shared)
            .finish_non_exhaustive()
    }
}
