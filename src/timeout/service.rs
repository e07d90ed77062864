use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    TimeoutFuture, answer::InTime, asked::Asked, layer::Plan, send::send_on, timer::Timer,
};
use crate::{
    call::Moment,
    protocol::{Read, Respond},
};

/// A service with a time limit. Made by [`TimeoutLayer`](super::TimeoutLayer).
pub struct Timed<S, P> {
    inner: S,
    plan: Arc<Plan<P>>,
}

impl<S, P> Timed<S, P> {
    pub(super) fn new(inner: S, plan: Arc<Plan<P>>) -> Self {
        Timed { inner, plan }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, Req> Service<Req> for Timed<S, P>
where
    // The wrapped service.
    S: Service<Req>,
    // How the request is read, and how a late answer is replaced.
    P: Read<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<InTime<P>>;
    type Error = P::Error;
    type Future = TimeoutFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::error)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let plan = self.plan.clone();
        let now = Moment::default();
        let call = plan.protocol.read(&mut request);
        let asked = Asked::of(&plan, &call, &request, &now);
        if asked.is_over(&now) {
            return TimeoutFuture::refused(plan, call);
        }
        if let Some(headers) = P::headers_mut(&mut request) {
            send_on(&plan, &call, &asked, headers, &now);
        }
        let scope = Timer::default().scope(&asked);
        let future = scope.enter(|| self.inner.call(request));
        TimeoutFuture::calling(plan, call, asked, future)
    }
}

/// A clone shares the time limit and keeps no readiness.
impl<S: Clone, P> Clone for Timed<S, P> {
    fn clone(&self) -> Self {
        Timed::new(self.inner.clone(), self.plan.clone())
    }
}

impl<S: fmt::Debug, P> fmt::Debug for Timed<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed")
            .field("inner", &self.inner)
            .field("limit", &self.plan.limit)
            .finish_non_exhaustive()
    }
}
