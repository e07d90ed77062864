use std::task::{Context, Poll, Waker};

use tower_service::Service;

use super::EndpointGuard;
use crate::guard::Guarded;

/// The service of an endpoint that was polled for a call, without a task to wake.
pub(super) struct Polled<'a, S, P> {
    endpoint: &'a Guarded<S, EndpointGuard, P>,
    service: Guarded<S, EndpointGuard, P>,
    pub(super) readiness: Readiness,
}

/// The readiness of an endpoint; a call goes to the more ready one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    Failed,
    Pending,
    Ready,
}

impl<'a, S: Clone, P> Polled<'a, S, P> {
    pub(super) fn new<Req>(endpoint: &'a Guarded<S, EndpointGuard, P>) -> Self
    where
        S: Service<Req>,
    {
        let mut service = endpoint.clone();
        let cx = &mut Context::from_waker(Waker::noop());
        let readiness = match service.poll_inner_untold::<Req>(cx) {
            Poll::Ready(Ok(())) => Readiness::Ready,
            Poll::Ready(Err(_)) => Readiness::Failed,
            Poll::Pending => Readiness::Pending,
        };
        Polled {
            endpoint,
            service,
            readiness,
        }
    }

    /// Returns the service for the call, which waits in its future where it is not ready.
    pub(super) fn take(self) -> Guarded<S, EndpointGuard, P> {
        match self.readiness {
            Readiness::Ready | Readiness::Pending => self.service,
            // One that has failed must not be polled again: another clone fails the call, which counts it.
            Readiness::Failed => self.endpoint.clone(),
        }
    }

    /// Leaves the call to another endpoint. A failure counts although no call fails by it.
    pub(super) fn leave(self) {
        if self.readiness == Readiness::Failed {
            self.endpoint.tell_not_ready();
        }
    }
}
