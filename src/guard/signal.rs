//! Wakes tasks that wait for readiness when a guard begins or stops to reject.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    task::Waker,
};

use crate::{
    call::catch_hook,
    util::sync::{Mutex, MutexGuard},
};

/// A signal that wakes the tasks that wait for readiness when a guard changes what it [rejects](super::Guard::rejects).
///
/// A guard that rejects early keeps one, adds it in [`Guard::ready_signals`](super::Guard::ready_signals), and calls
/// [`wake`](Self::wake) after each change. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct ReadySignal(Arc<Mutex<SignalWakers>>);

#[derive(Debug, Default)]
struct SignalWakers {
    wakers: HashMap<u64, Waker>,
    next_id: u64,
}

impl ReadySignal {
    /// Creates a signal that no task waits for.
    ///
    /// A guard keeps it beside the state that decides about calls:
    ///
    /// ```
    /// use tower_keep::guard::ReadySignal;
    ///
    /// struct Gate { is_closed: bool, signal: ReadySignal }
    ///
    /// let mut gate = Gate { is_closed: true, signal: ReadySignal::new() };
    /// gate.is_closed = false;
    /// gate.signal.wake();
    /// # assert!(!gate.is_closed);
    /// ```
    pub fn new() -> Self {
        ReadySignal::default()
    }

    /// Wakes all tasks that wait. Each asks the guard again.
    pub fn wake(&self) {
        // Woken without the lock: a waker may poll at once.
        let wakers = std::mem::take(&mut self.lock().wakers);
        for waker in wakers.into_values() {
            catch_hook(|| waker.wake());
        }
    }

    fn lock(&self) -> MutexGuard<'_, SignalWakers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of one handle with a [`ReadySignal`]; dropping it removes the waker.
#[derive(Debug)]
pub(crate) struct SignalWaiter {
    signal: ReadySignal,
    id: u64,
}

impl SignalWaiter {
    pub(crate) fn new(signal: &ReadySignal) -> Self {
        let mut waiting = signal.lock();
        waiting.next_id += 1;
        let ticket = waiting.next_id;
        drop(waiting);
        SignalWaiter {
            signal: signal.clone(),
            id: ticket,
        }
    }

    /// Registers the task that polled last as the one to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        // Most polls are those of the task that is registered already.
        let known = |known: &Waker| known.will_wake(waker);
        if self.signal.lock().wakers.get(&self.id).is_some_and(known) {
            return;
        }
        // Cloned, and the one before dropped, without the lock: both are the executor's code.
        let waker = waker.clone();
        let replaced = self.signal.lock().wakers.insert(self.id, waker);
        drop(replaced);
    }
}

impl Drop for SignalWaiter {
    fn drop(&mut self) {
        let waker = self.signal.lock().wakers.remove(&self.id);
        // Dropped without the lock: it is the executor's code.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_keeps_nothing_of_tasks_that_no_longer_wait() {
        let signal = ReadySignal::new();
        let waiting: Vec<_> = (0..100).map(|_| SignalWaiter::new(&signal)).collect();
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
