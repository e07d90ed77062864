use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Inspect;

/// The guards of the process, as weak references.
pub(super) struct GuardList(Mutex<Vec<Weak<dyn Inspect>>>);

impl GuardList {
    pub(super) const fn new() -> Self {
        GuardList(Mutex::new(Vec::new()))
    }

    pub(super) fn register(&self, guard: Weak<dyn Inspect>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped guards are removed whenever the list would grow, so that it is at most twice as long as needed.
        if all.len() == all.capacity() {
            all.retain(|guard| guard.strong_count() > 0);
            let room = all.len().max(16);
            all.reserve_exact(room);
        }
        all.push(guard);
    }

    /// Returns the guards that are not dropped.
    pub(super) fn live(&self) -> Vec<Arc<dyn Inspect>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .capacity()
    }
}
