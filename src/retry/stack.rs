use std::sync::{Mutex, PoisonError};

use super::RetryLayer;

/// The layer of a service, and the spare service that retries are made on: shared by all clones of the service, and by
/// their calls.
pub(crate) struct RetryStack<S, P, R> {
    pub(super) layer: RetryLayer<P, R>,
    /// Never polled or called, only cloned. Behind a lock, since a service need not be `Sync`.
    spare: Mutex<S>,
}

impl<S: Clone, P, R> RetryStack<S, P, R> {
    pub(super) fn new(service: &S, layer: RetryLayer<P, R>) -> Self {
        RetryStack {
            layer,
            spare: Mutex::new(service.clone()),
        }
    }

    /// Returns a service for the retries of a call. It must be polled until it is ready before it is used.
    #[cold]
    pub(super) fn new_service(&self) -> S {
        let spare = self.spare.lock();
        spare.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
