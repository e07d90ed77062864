use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::CallSnapshot;

/// The duration from which a call is slow that has no threshold in the settings: people wait for it.
pub(crate) const DEFAULT_SLOW: Duration = Duration::from_secs(1);
/// The number of slow calls that are kept.
const MAX_SLOW: usize = 200;

/// The latest slow calls.
#[derive(Debug, Default)]
pub(super) struct SlowCalls(Mutex<VecDeque<Arc<CallSnapshot>>>);

impl SlowCalls {
    pub(super) fn push(&self, call: CallSnapshot) {
        // Made, and dropped, without the lock.
        let call = Arc::new(call);
        let mut calls = self.lock();
        let oldest = match calls.len() == MAX_SLOW {
            true => calls.pop_front(),
            false => None,
        };
        calls.push_back(call);
        drop(calls);
        drop(oldest);
    }

    /// Returns up to so many, the newest first.
    pub(super) fn latest(&self, limit: usize) -> Vec<Arc<CallSnapshot>> {
        self.lock().iter().rev().take(limit).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<CallSnapshot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
