use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::Inspect;

/// The guards of the process, as weak references.
pub(super) struct GuardList(Mutex<Vec<Weak<dyn Inspect>>>);

impl GuardList {
    pub(super) const fn new() -> Self {
        GuardList(Mutex::new(Vec::new()))
    }

    pub(super) fn register(&self, guard: Weak<dyn Inspect>) {
        let mut all = self.lock();
        // Dropped guards are removed whenever the list would grow, so that it is at most twice as long as needed.
        if all.len() == all.capacity() {
            all.retain(|guard| guard.strong_count() > 0);
            // Exact, since the doubling of a vector would come on top, and by the live guards alone: a list that was long
            // once does not stay so.
            let additional = all.len().max(16);
            all.reserve_exact(additional);
        }
        all.push(guard);
    }

    /// Returns the guards, some of which may have been dropped. Weak references, so that the copy keeps none of them alive.
    pub(super) fn list(&self) -> Vec<Weak<dyn Inspect>> {
        self.lock().clone()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.lock().capacity()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Inspect>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
