use super::{BreakerPermit, CircuitBreaker, OpenReadyLayer};
use crate::{
    call::{End, Moment, Rejection},
    guard::{Admit, Guard, GuardLayer, Head},
    protocol::{Any, Client, GrpcClient, Server},
};

impl Guard for CircuitBreaker {
    type Permit = BreakerPermit;

    #[inline]
    fn head(&self, permit: &mut BreakerPermit, head: &mut Head<'_>) {
        self.shared.head(permit, head);
    }

    #[inline]
    fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        self.shared.settle(permit, end);
    }

    fn unready(&self) {
        self.shared.unready();
    }
}

impl<Req> Admit<Req> for CircuitBreaker {
    #[inline]
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<BreakerPermit, Rejection> {
        self.shared.admit(now)
    }
}

impl CircuitBreaker {
    /// The breaker as a layer, for the protocol that is named next. It passes back-pressure on; put
    /// [`open_ready`](Self::open_ready) right inside of it to be refused without waiting.
    pub fn layer(&self) -> BreakerLayers {
        BreakerLayers(self.clone())
    }

    /// Lets an open circuit refuse although the wrapped service is not ready.
    pub fn open_ready(&self) -> OpenReadyLayer {
        OpenReadyLayer::new(self.clone())
    }
}

/// A breaker that is about to become a layer; made by [`CircuitBreaker::layer`].
#[derive(Clone, Debug)]
pub struct BreakerLayers(CircuitBreaker);

impl BreakerLayers {
    /// Round a service of any kind.
    pub fn any(self) -> GuardLayer<CircuitBreaker, Any> {
        GuardLayer::any(self.0)
    }

    /// Round an HTTP or gRPC server.
    pub fn server(self) -> GuardLayer<CircuitBreaker, Server> {
        GuardLayer::server(self.0)
    }

    /// Round an HTTP client.
    pub fn client(self) -> GuardLayer<CircuitBreaker, Client> {
        GuardLayer::client(self.0)
    }

    /// Round a gRPC client.
    pub fn grpc_client(self) -> GuardLayer<CircuitBreaker, GrpcClient> {
        GuardLayer::grpc_client(self.0)
    }
}
