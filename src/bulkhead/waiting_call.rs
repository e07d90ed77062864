use std::task::{Context, Poll, ready};

use tower_service::Service;

use super::{
    Bulkhead,
    service::{CalledFuture, admit},
    waiter::Waiter,
};
use crate::{
    call::mark_never_called,
    guard::Guarded,
    protocol::{ReadRequest, Respond},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// A call that waits for its slot, with the service that it will call then.
pub(super) struct WaitingCall<S, P, Req> {
    waiter: Waiter,
    guarded: Guarded<S, Bulkhead, P>,
    request: Option<Req>,
}

impl<S, P, Req> WaitingCall<S, P, Req> {
    pub(super) fn new(waiter: Waiter, guarded: Guarded<S, Bulkhead, P>, request: Req) -> Self {
        WaitingCall {
            waiter,
            guarded,
            request: Some(request),
        }
    }

    /// Makes the call once there is a slot, or rejects it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CalledFuture<S, P, Req>>
    where
        S: Service<Req> + Clone,
        P: ReadRequest<Req> + Respond<S::Response, S::Error>,
    {
        let result = ready!(self.waiter.poll(cx));
        let request = self.request.take().expect(POLLED_AFTER_COMPLETION);
        Poll::Ready(self.guarded.call_admitted(request, admit(result)))
    }
}

impl<S, P, Req> Drop for WaitingCall<S, P, Req> {
    // A timeout that drops it must not blame the peer, which has not been called.
    fn drop(&mut self) {
        if self.request.is_some() {
            mark_never_called();
        }
    }
}
