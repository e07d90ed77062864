//! What a script knows of its calls, and how it panics.

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
    /// Counts a call; the number is how many there were before.
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

/// Held by the future of a call and then by its body.
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

/// Panics without the panic hook, which would fill the test's output with panics that are meant to be.
pub(super) fn panic_silently(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}

/// Two panics at once would abort the process.
pub(super) fn panic_silently_in_drop(message: Option<&'static str>) {
    if let Some(message) = message
        && !std::thread::panicking()
    {
        panic_silently(message);
    }
}
