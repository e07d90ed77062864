//! Tasks that wait for a service to become ready, and want to know when the circuit opens meanwhile.

use std::{collections::HashMap, sync::PoisonError, task::Waker};

use super::CircuitBreaker;
use crate::{
    call::quietly,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// One waker for each handle that waits; a handle that is dropped, or has become ready, has none.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    wakers: Mutex<HashMap<u64, Waker>>,
    tickets: AtomicU64,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all that wait. They ask for themselves whether they would be refused.
    pub(super) fn wake(&self) {
        // Woken without the lock: a waker may poll at once.
        let wakers = std::mem::take(&mut *self.lock());
        for waker in wakers.into_values() {
            quietly(|| waker.wake());
        }
    }
}

/// A handle's place among those that wait.
#[derive(Debug)]
pub(super) struct Waiting {
    breaker: CircuitBreaker,
    ticket: u64,
}

impl Waiting {
    pub(super) fn new(breaker: &CircuitBreaker) -> Self {
        let tickets = &breaker.shared.waiters.tickets;
        Waiting {
            breaker: breaker.clone(),
            ticket: tickets.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The task that polled last is the one to be woken.
    pub(super) fn register(&self, waker: &Waker) {
        let mut wakers = self.breaker.shared.waiters.lock();
        let known = wakers.get(&self.ticket);
        if !known.is_some_and(|known| known.will_wake(waker)) {
            wakers.insert(self.ticket, waker.clone());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waker = self.breaker.shared.waiters.lock().remove(&self.ticket);
        // Dropped without the lock: it is the executor's code.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_wait_any_more_leaves_nothing_behind() {
        let breaker = CircuitBreaker::builder("b").build().expect("sound");
        let waiters = &breaker.shared.waiters;
        let waiting: Vec<_> = (0..100).map(|_| Waiting::new(&breaker)).collect();
        for _ in 0..3 {
            waiting.iter().for_each(|one| one.register(Waker::noop()));
        }
        assert_eq!(waiters.lock().len(), 100);
        waiters.wake();
        assert_eq!(waiters.lock().len(), 0);
        waiting.iter().for_each(|one| one.register(Waker::noop()));
        drop(waiting);
        assert_eq!(waiters.lock().len(), 0);
    }
}
