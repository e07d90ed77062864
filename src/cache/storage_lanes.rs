use std::{
    any::Any,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::storage::Storage;
use crate::util::{padded::Padded, shards::shard_count, thread_slot::thread_slot};

/// The store of a cache for those who look for a result, in lanes: each thread finds it in its own, under a lock that the threads of
/// other lanes do not take, and without a reference that all of them count.
pub(super) struct StorageLanes(Box<[Padded<Mutex<Arc<Storage>>>]>);

impl StorageLanes {
    pub(super) fn new(storage: &Arc<Storage>) -> Self {
        let lane = |_| Padded(Mutex::new(storage.clone()));
        StorageLanes((0..shard_count()).map(lane).collect())
    }

    /// Returns a result, if it has this type.
    #[inline]
    pub(super) fn get<V: Any + Send + Sync>(&self, hash: u64) -> Option<Arc<V>> {
        // The number of lanes is a power of two.
        let lane = &self.0[thread_slot() & (self.0.len() - 1)];
        let found = lock(lane).get(hash)?;
        // Without the lock: if the type is another one, this may be its last reference.
        found.downcast().ok()
    }

    /// Replaces the store, one lane after the other. Called under the lock of the settings, so that all lanes end with the same one.
    /// The caller still has a reference to the one of before, which is so not dropped under the locks.
    pub(super) fn replace(&self, storage: &Arc<Storage>) {
        for lane in &self.0 {
            let before = mem::replace(&mut *lock(lane), storage.clone());
            drop(before);
        }
    }
}

fn lock(lane: &Mutex<Arc<Storage>>) -> MutexGuard<'_, Arc<Storage>> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::thread;

    use super::*;
    use crate::{cache::CacheSettings, util::thread_slot::THREAD_SLOTS};

    fn storage(value: u32) -> Arc<Storage> {
        let storage = Storage::new(&CacheSettings::default());
        storage.insert(7, Arc::new(value), 1);
        Arc::new(storage)
    }

    #[test]
    fn threads_of_all_lanes_find_the_store_that_was_set_last() {
        let (first, second) = (storage(1), storage(2));
        let lanes = StorageLanes::new(&first);
        let found = || {
            let threads = (0..2 * THREAD_SLOTS).map(|_| {
                thread::scope(|scope| {
                    let found = scope.spawn(|| lanes.get::<u32>(7).map(|value| *value));
                    found.join().expect("no panic")
                })
            });
            threads.collect::<Vec<_>>()
        };
        assert_eq!(found(), [Some(1); 2 * THREAD_SLOTS]);
        lanes.replace(&second);
        assert_eq!(found(), [Some(2); 2 * THREAD_SLOTS]);
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(lanes.get::<u64>(7).is_none(), "of another type");
        assert!(lanes.get::<u32>(8).is_none());
    }
}
