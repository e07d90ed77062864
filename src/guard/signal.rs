//! Wakes tasks that wait for readiness when a guard begins or stops to refuse.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    task::Waker,
};

use crate::{
    call::quietly,
    util::sync::{Mutex, MutexGuard},
};

/// Wakes the tasks that wait for readiness when a guard changes what it [refuses](super::Guard::refuses).
///
/// A guard that refuses early keeps one, names it in [`Guard::signals`](super::Guard::signals), and calls
/// [`wake`](Self::wake) after each change. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    wakers: HashMap<u64, Waker>,
    next: u64,
}

impl Signal {
    /// Creates a signal that nobody waits for.
    pub fn new() -> Self {
        Signal::default()
    }

    /// Wakes all tasks that wait. Each asks for itself whether it would be refused.
    pub fn wake(&self) {
        // Woken without the lock: a waker may poll at once.
        let wakers = std::mem::take(&mut self.lock().wakers);
        for waker in wakers.into_values() {
            quietly(|| waker.wake());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one handle among the tasks that wait for a [`Signal`]; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct WaitingFor {
    signal: Signal,
    ticket: u64,
}

impl WaitingFor {
    pub(crate) fn new(signal: &Signal) -> Self {
        let mut waiting = signal.lock();
        waiting.next += 1;
        let ticket = waiting.next;
        drop(waiting);
        WaitingFor {
            signal: signal.clone(),
            ticket,
        }
    }

    /// Registers the task that polled last as the one to be woken.
    pub(crate) fn register(&self, waker: &Waker) {
        let known = |known: &Waker| known.will_wake(waker);
        if self
            .signal
            .lock()
            .wakers
            .get(&self.ticket)
            .is_some_and(known)
        {
            return;
        }
        // Cloned, and the one before dropped, without the lock: both are the executor's code.
        let waker = waker.clone();
        let replaced = self.signal.lock().wakers.insert(self.ticket, waker);
        drop(replaced);
    }
}

impl Drop for WaitingFor {
    fn drop(&mut self) {
        let waker = self.signal.lock().wakers.remove(&self.ticket);
        // Dropped without the lock: it is the executor's code.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_keeps_nothing_of_tasks_that_no_longer_wait() {
        let signal = Signal::new();
        let waiting: Vec<_> = (0..100).map(|_| WaitingFor::new(&signal)).collect();
        for _ in 0..3 {
            waiting.iter().for_each(|one| one.register(Waker::noop()));
        }
        assert_eq!(signal.lock().wakers.len(), 100);
        signal.wake();
        assert_eq!(signal.lock().wakers.len(), 0);
        waiting.iter().for_each(|one| one.register(Waker::noop()));
        drop(waiting);
        assert_eq!(signal.lock().wakers.len(), 0);
    }
}
