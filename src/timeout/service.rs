use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    TimeoutFuture, call_timeout::CallTimeout, config::TimeoutConfig, header::write_timeout_header,
    timer::Timer, wrap_body::WrapTimeoutBody,
};
use crate::{
    call::CallClock,
    protocol::{ReadRequest, Respond},
};

/// A service with a time limit. Made by [`TimeoutLayer`](super::TimeoutLayer).
pub struct TimeoutService<S, P> {
    inner: S,
    config: Arc<TimeoutConfig<P>>,
}

impl<S, P> TimeoutService<S, P> {
    pub(super) fn new(inner: S, config: Arc<TimeoutConfig<P>>) -> Self {
        TimeoutService { inner, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, Req> Service<Req> for TimeoutService<S, P>
where
    // The wrapped service.
    S: Service<Req>,
    // How the request is read, and how a late response is replaced.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapTimeoutBody<P>>;
    type Error = P::Error;
    type Future = TimeoutFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let config = self.config.clone();
        // Read at most once, and only if a deadline or a limit around the call has to be compared with it.
        let clock = CallClock::default();
        let call = config.protocol.read(&mut request);
        let timeout = CallTimeout::for_request(&config, &call, &request, &clock);
        // Before the inner service is called: a peer must not begin what nobody waits for.
        if timeout.is_elapsed(&clock) {
            return TimeoutFuture::rejected(config, call);
        }
        // After the request was read, since this overwrites the time that the caller sent.
        if let Some(headers) = P::headers_mut(&mut request) {
            write_timeout_header(&config, &call, &timeout, headers, &clock);
        }
        let future = {
            // The inner service and what it calls learn how much time there is, as in each poll.
            let _scope = Timer::default().time_budget(&timeout).enter();
            self.inner.call(request)
        };
        TimeoutFuture::new(config, call, timeout, future)
    }
}

/// A clone shares the time limit, but not the readiness.
impl<S: Clone, P> Clone for TimeoutService<S, P> {
    fn clone(&self) -> Self {
        TimeoutService::new(self.inner.clone(), self.config.clone())
    }
}

impl<S: fmt::Debug, P> fmt::Debug for TimeoutService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutService")
            .field("inner", &self.inner)
            .field("limit", &self.config.limit)
            .finish_non_exhaustive()
    }
}
