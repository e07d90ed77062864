use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Context,
};

/// The number of calls and wakes, of all clones of a script.
#[derive(Debug, Default)]
pub(super) struct CallCounters {
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    wakes: AtomicUsize,
}

impl CallCounters {
    /// Counts a call, and returns its index.
    pub(super) fn record_call(&self) -> usize {
        // All of them SeqCst: tests compare several counters, and speed does not matter.
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn start_call(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_call(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(super) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Counts a wake, and wakes the task.
    pub(super) fn wake(&self, cx: &Context<'_>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        cx.waker().wake_by_ref();
    }
}
