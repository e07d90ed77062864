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
pub(super) struct Tally {
    calls: AtomicUsize,
    alive: AtomicUsize,
    wakes: AtomicUsize,
}

impl Tally {
    /// Counts a call; the number is how many there were before.
    pub(super) fn call(&self) -> usize {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
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
pub(super) struct Alive(Arc<Tally>);

impl Alive {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        tally.alive.fetch_add(1, Ordering::SeqCst);
        Alive(tally)
    }

    pub(super) fn wake(&self, cx: &Context<'_>) {
        self.0.wake(cx);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Panics without the panic hook, which would fill the test's output with panics that are meant to be.
pub(super) fn unwind(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}

/// Two panics at once would abort the process.
pub(super) fn unwind_in_drop(message: Option<&'static str>) {
    if let Some(message) = message
        && !std::thread::panicking()
    {
        unwind(message);
    }
}
