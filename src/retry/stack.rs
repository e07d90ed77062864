use std::sync::{Mutex, PoisonError};

use super::RetryLayer;

/// The layer of a service, and the spare service that retries are made on: shared by all clones of the service, and by
/// their calls.
pub(crate) struct RetryStack<S, P, R> {
    pub(crate) layer: RetryLayer<P, R>,
    /// Never polled or called, only cloned. Behind a lock, since a service need not be `Sync`.
    spare: Mutex<S>,
}

impl<S: Clone, P, R> RetryStack<S, P, R> {
    pub(crate) fn new(service: &S, layer: RetryLayer<P, R>) -> Self {
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

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    use super::*;
    use crate::retry::Retry;

    /// Counts its clones, and is not `Sync`. The clone after the second panics.
    struct Counted(Cell<u32>);

    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.set(self.0.get() + 1);
            assert_ne!(self.0.get(), 2, "the service panics");
            Counted(Cell::new(0))
        }
    }

    #[test]
    fn service_is_cloned_for_each_call_that_is_retried_even_after_a_panic() {
        fn assert_shared<T: Send + Sync>(_: &T) {}
        let service = Counted(Cell::new(0));
        let stack = RetryStack::new(&service, RetryLayer::any(Retry::new("spare")));
        assert_shared(&stack);
        assert_eq!(service.0.get(), 1);
        assert_eq!(stack.new_service().0.get(), 0);
        let clone = catch_unwind(AssertUnwindSafe(|| stack.new_service()));
        assert!(clone.is_err());
        assert_eq!(stack.new_service().0.get(), 0);
    }
}
