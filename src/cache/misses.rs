use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// The calls in flight whose results are to be kept, by the hash of their key.
///
/// A call may have read what it returns before somebody changed that and removed it from the cache. So a removal makes the results of all
/// calls outdated that began before it: none of them is kept.
#[derive(Default)]
pub(super) struct Misses {
    calls: Mutex<HashMap<u64, Calls>>,
}

/// The calls in flight that have one key, and began after its last removal.
#[derive(Default)]
struct Calls {
    count: usize,
    is_outdated: Arc<AtomicBool>,
}

/// A call in flight whose result is to be kept.
pub(super) struct Miss {
    misses: Arc<Misses>,
    pub(super) hash: u64,
    is_outdated: Arc<AtomicBool>,
}

impl Misses {
    /// Counts in a call that is about to be made.
    pub(super) fn begin(self: &Arc<Self>, hash: u64) -> Miss {
        let mut all = self.lock();
        let calls = all.entry(hash).or_default();
        calls.count += 1;
        let is_outdated = calls.is_outdated.clone();
        drop(all);
        Miss {
            misses: self.clone(),
            hash,
            is_outdated,
        }
    }

    /// Makes the results outdated of all calls in flight that have this key. What is kept is to be removed after that.
    pub(super) fn outdate(&self, hash: u64) {
        if let Some(calls) = self.lock().remove(&hash) {
            calls.is_outdated.store(true, SeqCst);
        }
    }

    /// Makes the results of all calls in flight outdated.
    pub(super) fn outdate_all(&self) {
        for (_, calls) in self.lock().drain() {
            calls.is_outdated.store(true, SeqCst);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Calls>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Miss {
    /// Returns whether something was removed since the call began.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(SeqCst)
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        let mut all = self.misses.lock();
        // Those that a removal has outdated are counted nowhere.
        let is_own = |calls: &&mut Calls| Arc::ptr_eq(&calls.is_outdated, &self.is_outdated);
        if let Some(calls) = all.get_mut(&self.hash).filter(is_own) {
            calls.count -= 1;
            if calls.count == 0 {
                all.remove(&self.hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_outdates_the_calls_of_its_key_that_began_before_it() {
        let misses = Arc::<Misses>::default();
        let (one, same, other) = (misses.begin(1), misses.begin(1), misses.begin(2));
        misses.outdate(1);
        let later = misses.begin(1);
        let outdated = [&one, &same, &other, &later].map(Miss::is_outdated);
        assert_eq!(outdated, [true, true, false, false]);
        drop((one, same));
        misses.outdate(1);
        assert!(later.is_outdated(), "those before it have not ended it");
        misses.outdate_all();
        assert!(other.is_outdated());
    }

    #[test]
    fn calls_that_are_over_leave_nothing() {
        let misses = Arc::<Misses>::default();
        let calls: Vec<Miss> = (0..10).map(|call| misses.begin(call % 3)).collect();
        assert_eq!(misses.lock().len(), 3);
        drop(calls);
        assert_eq!(misses.lock().len(), 0);
    }
}
