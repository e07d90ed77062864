use std::sync::Arc;

use super::Measure;

/// Guards and protocol, shared by every clone of a service and by each of its calls.
pub(crate) struct GuardStack<G, P> {
    /// Shared once more, so that one set of guards can stand in layers of several protocols.
    pub(crate) guards: Arc<G>,
    pub(crate) protocol: P,
    pub(crate) measure: Measure,
}
