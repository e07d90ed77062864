use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tower_service::Service;

use super::{
    RateLimitFuture, layer::WaitConfig, observer::LimitObserver, wait_limit::WaitLimit,
    wrap_body::WrapLimited,
};
use crate::{
    context::{self, min_some},
    protocol::{CallState, ReadRequest, Respond},
};

/// A service whose calls wait for a rate limit. Made by [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimitService<S, L, P> {
    inner: S,
    config: Arc<WaitConfig<L, P>>,
}

impl<S, L, P> RateLimitService<S, L, P> {
    pub(super) fn new(inner: S, config: Arc<WaitConfig<L, P>>) -> Self {
        RateLimitService { inner, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, L, P, Req> Service<Req> for RateLimitService<S, L, P>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // What the request waits for.
    L: WaitLimit<Req>,
    // How the request is read, and how a rejected one is answered.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapLimited>;
    type Error = P::Error;
    type Future = RateLimitFuture<S, Req, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let WaitConfig { limit, protocol } = &*self.config;
        let call = protocol.read(&mut request);
        let now = Instant::now();
        let requested = call.time_limit().and_then(|time| now.checked_add(time));
        let context = P::extensions(&request).and_then(|it| it.get::<context::Context>());
        let deadline = min_some(context.and_then(context::Context::deadline), requested);
        let deadline = min_some(deadline, context::deadline());
        let observer = LimitObserver::new::<P, Req>(limit, &request);
        match limit.reserve(&request, now, deadline) {
            Ok(None) => RateLimitFuture::called(call, observer, self.inner.call(request)),
            Ok(Some(reservation)) => {
                let inner = self.release_inner();
                RateLimitFuture::waiting(call, observer, reservation, inner, request)
            }
            Err(rejection) => {
                let target = limit.target(&request);
                self.release_inner();
                RateLimitFuture::rejected(call, target, rejection)
            }
        }
    }
}

impl<S: Clone, L, P> RateLimitService<S, L, P> {
    /// Gives back what this handle holds of the wrapped service, which others need meanwhile. Returns a handle that holds nothing.
    #[cold]
    fn release_inner(&mut self) -> S {
        self.inner = self.inner.clone();
        self.inner.clone()
    }
}

/// A clone shares the limit, but not the readiness.
impl<S: Clone, L, P> Clone for RateLimitService<S, L, P> {
    fn clone(&self) -> Self {
        RateLimitService::new(self.inner.clone(), self.config.clone())
    }
}

impl<S: fmt::Debug, L: fmt::Debug, P> fmt::Debug for RateLimitService<S, L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitService")
            .field("inner", &self.inner)
            .field("limit", &self.config.limit)
            .finish_non_exhaustive()
    }
}
