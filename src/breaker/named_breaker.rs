use super::{CircuitBreaker, config::BreakerConfig};

/// A breaker of a registry.
#[derive(Clone)]
pub(super) struct NamedBreaker {
    pub(super) breaker: CircuitBreaker,
    /// The settings that it has while the registry has none for its name: those that it was created or inserted with.
    pub(super) own: BreakerConfig,
}
