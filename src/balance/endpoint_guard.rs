use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::{
    breaker::CircuitBreaker,
    call::{CallClock, CallEnd, Evidence},
    guard::{Admit, Guard, Head},
    protocol::upload::Upload,
};

/// The guard of one endpoint, which learns from its calls. It is named by the futures and bodies of a
/// [`Balancer`](super::Balancer), and is not made by itself.
pub struct EndpointGuard {
    /// `None` for calls that find no endpoint.
    endpoint: Option<Arc<Endpoint>>,
}

/// The permit of a call to an endpoint.
#[derive(Debug)]
pub struct EndpointPermit {
    /// `None` if the circuit is open and the call does not count: its endpoint may not be ejected.
    circuit: Option<<CircuitBreaker as Guard>::Permit>,
    /// The evidence that the call has given so far.
    learned: Evidence,
}

impl EndpointGuard {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        EndpointGuard {
            endpoint: Some(endpoint),
        }
    }

    pub(super) fn without_endpoint() -> Self {
        EndpointGuard { endpoint: None }
    }

    pub(super) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref()
    }

    /// Begins a call, for which the clock was read at `now`. It is never rejected: it was picked.
    #[inline]
    pub(super) fn begin(&self, clock: &CallClock, now: Instant) -> Option<EndpointPermit> {
        let endpoint = self.endpoint.as_ref()?;
        // Set, so that the latency can be told later.
        clock.set_if_unread(now);
        endpoint.enter();
        Some(EndpointPermit {
            circuit: Admit::<()>::admit(&endpoint.breaker, &mut (), clock).ok(),
            learned: Evidence::Inconclusive,
        })
    }
}

impl Guard for EndpointGuard {
    type Permit = EndpointPermit;

    /// Learns from the head already: a caller that looks at the status and drops the body is ordinary.
    fn on_head(&self, permit: &mut EndpointPermit, head: &mut Head<'_>) {
        let Some(endpoint) = &self.endpoint else {
            return;
        };
        if let Some(circuit) = &mut permit.circuit {
            endpoint.breaker.on_head(circuit, head);
        }
        // The cause of a failure is the end's to tell; here it is enough that there is one.
        permit.learned = head.evidence;
        endpoint.learn(head.evidence, head.elapsed(), head.clock.now());
    }

    fn on_end(&self, permit: EndpointPermit, end: &CallEnd<'_>) {
        let Some(endpoint) = &self.endpoint else {
            return;
        };
        endpoint.leave();
        let is_new = match end.evidence() {
            Evidence::Healthy => permit.learned == Evidence::Inconclusive,
            // A body that breaks after a good head.
            Evidence::Unhealthy => permit.learned != Evidence::Unhealthy,
            Evidence::Inconclusive => false,
        };
        if is_new {
            endpoint.learn(end.evidence(), end.peer_time(), end.now());
        }
        if let Some(circuit) = permit.circuit {
            endpoint.breaker.on_end(circuit, end);
        }
    }

    fn on_not_ready(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.learn(Evidence::Unhealthy, None, Instant::now());
            endpoint.breaker.on_not_ready();
        }
    }

    fn on_upload(&self, permit: &mut EndpointPermit, upload: &Upload) {
        if let (Some(endpoint), Some(circuit)) = (&self.endpoint, &mut permit.circuit) {
            endpoint.breaker.on_upload(circuit, upload);
        }
    }
}

impl fmt::Debug for EndpointGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.endpoint.as_ref().map(|endpoint| &endpoint.label);
        f.debug_struct("EndpointGuard")
            .field("endpoint", &label)
            .finish_non_exhaustive()
    }
}
