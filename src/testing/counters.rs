//! The counters of a script.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
};

#[derive(Debug, Default)]
pub(super) struct CallCounters {
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    wakes: AtomicUsize,
}

impl CallCounters {
    /// Counts a call, and returns its index.
    pub(super) fn record_call(&self) -> usize {
        self.calls.fetch_add(1, Ordering::SeqCst)
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

    pub(super) fn wake(&self, cx: &Context<'_>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        cx.waker().wake_by_ref();
    }
}

/// A token owned by the future of a call, and then by its body.
#[derive(Debug)]
pub(super) struct InFlightToken(Arc<CallCounters>);

impl InFlightToken {
    pub(super) fn new(tally: Arc<CallCounters>) -> Self {
        tally.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlightToken(tally)
    }

    pub(super) fn wake(&self, cx: &Context<'_>) {
        self.0.wake(cx);
    }
}

impl Drop for InFlightToken {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Panics without calling the panic hook, which would fill the output of tests with expected panics.
pub(super) fn panic_silently(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}

/// Panics in a drop, unless the thread is already panicking: a second panic would abort the process.
pub(super) fn panic_silently_in_drop(message: Option<&'static str>) {
    if let Some(message) = message
        && !std::thread::panicking()
    {
        panic_silently(message);
    }
}
