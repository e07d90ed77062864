use std::{
    hash::{BuildHasher, Hash},
    sync::PoisonError,
};

use super::{
    capacity::KeyCapacity,
    shard::{KeyDecision, Shard},
};
use crate::{
    rate_limit::{
        bucket::Bucket,
        quota::{Denial, Grant, Quota},
        target::Reserved,
    },
    util::{
        padded::Padded,
        sync::{HashKeys, Mutex, MutexGuard},
    },
};

/// The most shards, so many that threads hardly ever meet.
const MAX_SHARDS: usize = 64;
/// The least keys for which there is a shard. A new key looks for room in its own shard only, which must be like the others.
const KEYS_PER_SHARD: usize = 256;

/// Returns the number of shards, a power of two.
fn shard_count(max_keys: usize) -> usize {
    if cfg!(all(test, tower_keep_loom)) {
        return 2;
    }
    let shards = (max_keys / KEYS_PER_SHARD).next_power_of_two();
    shards.min(MAX_SHARDS)
}

/// The buckets of all keys, by the hash of the key.
///
/// Keys themselves are not kept, so that each costs the same, whatever callers send, and none is a secret in memory. The
/// hash is keyed with a secret of the table: nobody can choose keys that share a bucket, and of a million keys two do with a
/// probability of 3 in 100 million.
#[derive(Debug)]
pub(super) struct KeyTable {
    hash_keys: HashKeys,
    shards: Box<[Padded<Mutex<Shard>>]>,
    capacity: KeyCapacity,
    /// The bucket that new keys share while there is no room for them.
    overflow: Padded<Bucket>,
}

impl KeyTable {
    pub(super) fn new(quota: Quota, max_keys: usize, idle_time: u64) -> Self {
        let shards = (0..shard_count(max_keys)).map(|_| Padded(Mutex::new(Shard::new(quota))));
        KeyTable {
            hash_keys: HashKeys::default(),
            shards: shards.collect(),
            capacity: KeyCapacity::new(max_keys, idle_time),
            overflow: Padded(Bucket::new(quota)),
        }
    }

    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hash_keys.hash_one(key)
    }

    #[inline]
    fn lock(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Not the low bits, by which the map of the shard finds a key.
        let shard = &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes cells of a key, or those that all share for which there is no room.
    #[inline]
    pub(super) fn take(
        &self,
        hash: u64,
        now: u64,
        cells: u32,
        max_wait: u64,
    ) -> (Result<Grant, Denial>, bool) {
        // A statement of its own, which unlocks the shard.
        let decision = self
            .lock(hash)
            .take(hash, now, cells, max_wait, &self.capacity);
        match decision {
            KeyDecision::Own(result) => (result, false),
            KeyDecision::NoRoom => (self.overflow.take(now, cells, max_wait), true),
        }
    }

    pub(super) fn put_back(&self, hash: u64, reserved: Reserved, cells: u32) {
        match reserved.is_overflow {
            true => drop(self.overflow.put_back(reserved.grant, cells)),
            false => self.lock(hash).put_back(hash, reserved.grant, cells),
        }
    }

    pub(super) fn empty(&self, hash: u64, now: u64, pause: u64) {
        self.lock(hash).empty(hash, now, pause);
    }

    /// Replaces the quota of all keys. One thread at a time may do so.
    pub(super) fn set_quota(&self, now: u64, quota: Quota) {
        self.overflow.set_quota(now, quota);
        self.for_each(|shard| shard.set_quota(now, quota));
    }

    /// Returns the state of the limit of a key, and its quota. For a key without a place, it is what such keys share if there is no
    /// place left, and else full.
    pub(super) fn read(&self, hash: u64) -> (u64, Quota) {
        // A statement of its own, which unlocks the shard.
        let (state, quota) = self.lock(hash).read(hash);
        match state {
            Some(state) => (state, quota),
            None if self.capacity.is_full() => self.overflow.read(),
            None => (0, quota),
        }
    }

    /// Removes all keys, so that all buckets are full.
    pub(super) fn clear(&self) {
        self.overflow.fill();
        self.for_each(|shard| shard.clear(&self.capacity));
    }

    /// Returns the sum of a number of each shard.
    pub(super) fn sum(&self, number: impl Fn(&Shard) -> u64) -> u64 {
        let mut sum = 0;
        self.for_each(|shard| sum += number(shard));
        sum
    }

    /// Returns how often the cells that all share were taken.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflow.admitted()
    }

    pub(super) fn max_keys(&self) -> usize {
        self.capacity.max()
    }

    /// Runs `f` with one shard after the other: no two are locked at once.
    fn for_each(&self, mut f: impl FnMut(&mut Shard)) {
        for shard in &self.shards {
            f(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
