use crate::call::Label;

/// The endpoints of a balancer, whatever their services are.
pub(super) trait EndpointTable<K>: Send + Sync {
    /// Adds an endpoint. `false` if it is there already, or there are too many.
    fn insert(&self, key: K) -> bool;

    /// Removes an endpoint. `false` if there is none.
    fn remove(&self, key: &K) -> bool;

    /// Makes these the endpoints.
    fn set(&self, keys: &mut dyn Iterator<Item = K>);

    /// Returns the keys, in the order in which they came.
    fn keys(&self) -> Vec<K>;

    fn count_lookup_failure(&self);

    fn name(&self) -> Label;
}
