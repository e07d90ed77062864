use crate::util::sync::atomic::{AtomicUsize, Ordering};

/// A bounded counter of the keys that have a series of their own.
#[derive(Debug)]
pub(super) struct Capacity {
    max: usize,
    used: AtomicUsize,
}

impl Capacity {
    pub(super) fn new(max: usize) -> Self {
        let used = AtomicUsize::new(0);
        Capacity { max, used }
    }

    /// Returns whether another series fits.
    pub(super) fn has_room(&self) -> bool {
        // Pairs with the store in `claim`: a thread that sees no room sees all series that took it.
        self.used.load(Ordering::Acquire) < self.max
    }

    /// Counts a series that all threads can see. The caller holds the writer lock of the map.
    pub(super) fn claim(&self) {
        // Not a `fetch_add`: there is one writer at a time.
        let used = self.used.load(Ordering::Relaxed);
        self.used.store(used + 1, Ordering::Release);
    }
}
