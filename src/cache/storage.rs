use std::{any::Any, hash::BuildHasherDefault, sync::Arc};

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{CacheSettings, already_hashed::AlreadyHashed};
use crate::call::catch_hook;

/// The largest number of shards, with which threads seldom meet.
const MAX_SHARDS: u32 = 16;
/// The number of the longest bodies that a shard has room for: it keeps nothing that is longer than itself.
const BODIES_PER_SHARD: u32 = 8;

/// The results of a cache, by the hash of their key, within a bound of memory that is one of their number as well.
///
/// Of any type, since one cache may be in layers of several.
pub(super) struct Storage(Cache<u64, Stored, ByWeight, KeyHasher, DropUnlocked>);

type KeyHasher = BuildHasherDefault<AlreadyHashed>;

/// A result, with the weight that it had when it was kept: that of a result must not change.
#[derive(Clone)]
struct Stored {
    value: Arc<dyn Any + Send + Sync>,
    weight: u32,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<u64, Stored> for ByWeight {
    fn weight(&self, _: &u64, stored: &Stored) -> u64 {
        u64::from(stored.weight)
    }
}

/// A lifecycle that drops what is evicted without the lock of its shard: that is code of the application, which may use the cache, and
/// whose panic would poison the lock.
#[derive(Clone)]
struct DropUnlocked;

/// The results that one insertion has evicted.
#[derive(Default)]
struct Evicted(Vec<Stored>);

impl Lifecycle<u64, Stored> for DropUnlocked {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, _: u64, stored: Stored) {
        evicted.0.push(stored);
    }
}

impl Drop for Evicted {
    fn drop(&mut self) {
        self.0.drain(..).for_each(drop_result);
    }
}

/// Drops a result. A panic of that is not the fault of the call that has taken its place.
fn drop_result(stored: Stored) {
    catch_hook(|| drop(stored));
}

impl Storage {
    pub(super) fn new(settings: &CacheSettings) -> Self {
        let body = settings.max_body_bytes.saturating_mul(BODIES_PER_SHARD);
        let shards = (settings.max_bytes / body.max(1)).clamp(1, MAX_SHARDS);
        // Rounded down, since the crate rounds up, which would be more memory than was allowed.
        let shards = 1 << shards.ilog2();
        // Tables are allocated for so many at once.
        let estimate = settings.max_entries.min(10_000) as usize;
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(estimate)
            .weight_capacity(u64::from(settings.max_bytes))
            .build()
            .expect("both capacities are set");
        let hasher = KeyHasher::default();
        Storage(Cache::with_options(options, ByWeight, hasher, DropUnlocked))
    }

    /// Returns a result.
    pub(super) fn get(&self, hash: u64) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.get(&hash).map(|stored| stored.value)
    }

    /// Keeps a result that counts for so many bytes.
    pub(super) fn insert<V: Any + Send + Sync>(&self, hash: u64, value: Arc<V>, weight: u32) {
        self.0.insert(hash, Stored { value, weight });
    }

    /// Removes a result, and returns whether there was one.
    pub(super) fn remove(&self, hash: u64) -> bool {
        let removed = self.0.remove(&hash);
        let is_removed = removed.is_some();
        removed
            .into_iter()
            .for_each(|(_, stored)| drop_result(stored));
        is_removed
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

/// Each result is dropped for itself: a panic of one must not keep the others.
impl Drop for Storage {
    fn drop(&mut self) {
        let mut results = self.0.drain();
        results.by_ref().for_each(|(_, stored)| drop_result(stored));
    }
}
