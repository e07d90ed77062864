use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    flight::{Flight, Landed, Left, Received},
    metrics::CoalesceEvent,
    shared::CoalesceShared,
};
use crate::{call::Elapsed, util::hook::catch_hook};

/// A caller's part in a shared call. Its drop gives that part up: another caller drives the call then, and the last one drops it.
pub(super) struct Seat<K, F, T, O> {
    shared: Arc<CoalesceShared>,
    flight: Arc<Flight<K, F, T, O>>,
    caller: u64,
}

impl<K, F, T, O> Seat<K, F, T, O> {
    pub(super) fn new(
        shared: Arc<CoalesceShared>,
        flight: Arc<Flight<K, F, T, O>>,
        caller: u64,
    ) -> Self {
        Seat {
            shared,
            flight,
            caller,
        }
    }

    /// Counts that the caller makes the call for itself after all.
    pub(super) fn count_alone(&self) {
        self.shared.count(CoalesceEvent::Alone);
    }

    /// Counts that the caller stops waiting at its deadline, and returns the error that it gets.
    pub(super) fn record_elapsed(&self) -> Elapsed {
        self.shared.record_elapsed()
    }

    /// Begins the call, which this caller has made.
    pub(super) fn start(&self, future: F) {
        self.flight.start(Box::pin(future));
    }
}

impl<K, F, T, O> Seat<K, F, T, O>
where
    F: Future<Output = Landed<T, O>>,
{
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Landed<Received<T>, O>> {
        // From then on callers with this key begin another call.
        let on_end = || self.shared.remove(&self.flight);
        self.flight.poll(self.caller, cx, on_end)
    }
}

impl<K, F, T, O> Drop for Seat<K, F, T, O> {
    fn drop(&mut self) {
        match self.flight.leave(self.caller) {
            Left::Nothing => {}
            Left::HandedOver(next) => {
                self.shared.count(CoalesceEvent::HandedOver);
                next.into_iter().for_each(Waker::wake);
            }
            Left::Failed(waiting) => {
                self.shared.remove(&self.flight);
                waiting.into_iter().for_each(Waker::wake);
            }
            Left::Last(future) => {
                self.shared.remove(&self.flight);
                drop_call(future);
            }
        }
    }
}

/// Drops a call that nobody waits for. Its drop may panic, as that of any call.
fn drop_call<F>(future: Option<Pin<Box<F>>>) {
    match std::thread::panicking() {
        // A second panic would end the process.
        true => drop(catch_hook(|| drop(future))),
        false => drop(future),
    }
}
