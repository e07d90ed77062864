use super::CircuitBreaker;
use crate::guard::GuardLayerBuilder;

impl CircuitBreaker {
    /// Returns the breaker as a layer, for the protocol that is named next.
    ///
    /// An open circuit refuses at once, whether the wrapped service is ready or not; for that, the service must be
    /// `Clone`. [`back_pressure`](crate::GuardLayer::back_pressure) makes callers wait instead, as a balancer wants it.
    pub fn layer(&self) -> GuardLayerBuilder<CircuitBreaker> {
        GuardLayerBuilder(self.clone())
    }
}
