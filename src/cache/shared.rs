use std::{
    any::{Any, TypeId},
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    CacheSettings, CacheStats,
    live_times::LiveTimes,
    metrics::{CacheEvent, CacheMetrics},
    misses::{Miss, Misses},
    storage::Storage,
    storage_lanes::StorageLanes,
};
use crate::{
    call::{ConfigError, Label, catch_hook},
    util::{
        padded::Padded,
        sync::{
            HashKeys,
            atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        },
    },
};

/// The state of a [`Cache`](super::Cache), which all of its clones and layers share.
///
/// Results are found by the hash of their key, with a secret, so that nobody can choose keys that collide. The key itself is compared
/// after that: of two keys with one hash, the later one is kept.
pub(super) struct CacheShared {
    metrics: CacheMetrics,
    hash_keys: HashKeys,
    is_disabled: AtomicBool,
    /// The settings that look-ups need. Changed under the lock of all.
    times: LiveTimes,
    /// The store, for look-ups. Replaced under the lock of the settings.
    lanes: StorageLanes,
    misses: Arc<Misses>,
    // Calls that find no result write to both: not on the lines that those read which find one.
    /// The bytes of bodies that are being recorded.
    recorded: Padded<AtomicUsize>,
    locked: Padded<Mutex<Locked>>,
}

struct Locked {
    settings: CacheSettings,
    /// Replaced where its bounds change. Used without this lock, since it has locks of its own. Changes take it from here, so that none
    /// goes to a store that is being replaced while another thread sees the next one.
    storage: Arc<Storage>,
}

impl Locked {
    /// Replaces the store by an empty one. Returns the one of before, whose results are to be dropped without the lock.
    fn replace_storage(&mut self, settings: &CacheSettings, lanes: &StorageLanes) -> Arc<Storage> {
        let storage = Arc::new(Storage::new(settings));
        lanes.replace(&storage);
        std::mem::replace(&mut self.storage, storage)
    }
}

impl CacheShared {
    pub(super) fn new(name: Label, settings: CacheSettings) -> Self {
        let storage = Arc::new(Storage::new(&settings));
        CacheShared {
            metrics: CacheMetrics::new(name),
            hash_keys: HashKeys::default(),
            is_disabled: AtomicBool::new(false),
            times: LiveTimes::new(&settings),
            lanes: StorageLanes::new(&storage),
            misses: Arc::default(),
            recorded: Padded(AtomicUsize::new(0)),
            locked: Padded(Mutex::new(Locked { settings, storage })),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    pub(super) fn count(&self, event: CacheEvent) {
        self.metrics.count(event);
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Relaxed)
    }

    pub(super) fn times(&self) -> &LiveTimes {
        &self.times
    }

    /// Returns the hash of a key, among those of entries of the type `V`.
    pub(super) fn hash<V: 'static>(&self, key: &impl Hash) -> u64 {
        self.hash_keys.hash_one((TypeId::of::<V>(), key))
    }

    pub(super) fn get<V: Any + Send + Sync>(&self, hash: u64) -> Option<Arc<V>> {
        match self.is_disabled() {
            true => None,
            false => self.lanes.get(hash),
        }
    }

    /// Counts in a call whose result is to be kept.
    pub(super) fn begin(&self, hash: u64) -> Miss {
        self.misses.begin(hash)
    }

    /// Keeps the result of a call, of so many bytes, unless something was removed since the call began.
    pub(super) fn insert<V: Any + Send + Sync>(&self, miss: &Miss, entry: V, bytes: usize) {
        if self.is_disabled() || miss.is_outdated() {
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let locked = self.lock();
        let (storage, min_weight) = (locked.storage.clone(), locked.settings.min_weight());
        drop(locked);
        storage.insert(miss.hash, Arc::new(entry), bytes.max(min_weight));
        // A removal that came meanwhile may have been before the insertion.
        match miss.is_outdated() {
            true => drop(storage.remove(miss.hash)),
            false => self.count(CacheEvent::Stored),
        }
    }

    /// Removes an entry, and keeps none of the calls in flight that may still return it.
    pub(super) fn remove(&self, hash: u64) -> bool {
        // In this order, for `insert`.
        self.misses.outdate(hash);
        self.storage().remove(hash)
    }

    pub(super) fn clear(&self) {
        self.misses.outdate_all();
        let mut locked = self.lock();
        let settings = locked.settings.clone();
        let before = locked.replace_storage(&settings, &self.lanes);
        drop(locked);
        drop(before);
    }

    /// Adds bytes of a body to those that are being recorded. Returns whether there is room for them; if not, none are added.
    pub(super) fn reserve(&self, bytes: usize, max_bytes: usize) -> bool {
        let before = self.recorded.fetch_add(bytes, Relaxed);
        let has_room = before.saturating_add(bytes) <= max_bytes;
        if !has_room {
            self.release(bytes);
        }
        has_room
    }

    /// Takes back what was reserved.
    pub(super) fn release(&self, bytes: usize) {
        self.recorded.fetch_sub(bytes, Relaxed);
    }

    /// Keeps and gives nothing until [`reset`](Self::reset).
    pub(super) fn disable(&self) {
        self.is_disabled.store(true, Relaxed);
    }

    /// Removes all entries, and keeps some again.
    pub(super) fn reset(&self) {
        self.clear();
        self.is_disabled.store(false, Relaxed);
    }

    pub(super) fn stats(&self) -> CacheStats {
        let count = |event| self.metrics.get(event);
        let storage = self.storage();
        CacheStats {
            entries: storage.len(),
            bytes: storage.bytes(),
            hits: count(CacheEvent::Hit),
            stale: count(CacheEvent::Stale),
            misses: count(CacheEvent::Miss),
            stored: count(CacheEvent::Stored),
            bypassed: count(CacheEvent::Bypassed),
        }
    }

    pub(super) fn settings(&self) -> CacheSettings {
        self.lock().settings.clone()
    }

    /// Applies settings. Logs what has changed.
    pub(super) fn apply(&self, to: &CacheSettings) -> Result<(), ConfigError> {
        to.check(self.name().as_str())?;
        let mut locked = self.lock();
        let changes = locked.settings.changes(to);
        let has_bounds_of = |other: &CacheSettings| {
            other.min_weight() == to.min_weight() && other.max_bytes == to.max_bytes
        };
        // Entries have the weight of the bounds with which they were kept.
        let before = match has_bounds_of(&locked.settings) {
            true => None,
            false => Some(locked.replace_storage(to, &self.lanes)),
        };
        locked.settings = to.clone();
        self.times.set(to);
        drop(locked);
        drop(before);
        if changes.is_empty() {
            return Ok(());
        }
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::cache",
                cache = self.name().as_str(),
                changes = &*changes.text(),
                "cache settings applied"
            );
        });
        Ok(())
    }

    fn storage(&self) -> Arc<Storage> {
        self.lock().storage.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
