use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use metrics::Key;

/// The parts of the table, each with a lock of its own.
const PARTS: usize = 16;

/// Handles by the key that the application uses, so that most registrations take one read lock and allocate nothing.
///
/// A series may be here under several keys, whose labels are in another order.
#[derive(Debug)]
pub(super) struct SeriesLookup<H> {
    parts: [RwLock<Part<H>>; PARTS],
    len: AtomicUsize,
    max: usize,
}

/// All keys with the same hash, most often one.
type Part<H> = HashMap<u64, Vec<(Key, H)>, BuildHasherDefault<Identity>>;

impl<H: Clone> SeriesLookup<H> {
    pub(super) fn new(max: usize) -> Self {
        SeriesLookup {
            parts: std::array::from_fn(|_| RwLock::default()),
            len: AtomicUsize::new(0),
            max,
        }
    }

    fn part(&self, hash: u64) -> &RwLock<Part<H>> {
        // The map takes the lowest bits and the highest seven.
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    pub(super) fn get(&self, key: &Key) -> Option<H> {
        let hash = key.get_hash();
        let part = self
            .part(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let (_, handle) = part.get(&hash)?.iter().find(|(other, _)| other == key)?;
        Some(handle.clone())
    }

    /// Adds a handle unless the table is full, or the key is there.
    pub(super) fn add(&self, key: &Key, handle: &H) {
        let hash = key.get_hash();
        let mut part = self
            .part(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Threads that are here at once may exceed the bound by one each.
        if self.len.load(Ordering::Relaxed) >= self.max {
            return;
        }
        let same_hash = part.entry(hash).or_default();
        if !same_hash.iter().any(|(other, _)| other == key) {
            same_hash.push((key.clone(), handle.clone()));
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

/// A hasher of keys that are hashes.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        // No key comes here; any other would still be told apart.
        bytes
            .iter()
            .for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup_finds_what_was_added_up_to_its_bound() {
        let lookup = SeriesLookup::new(2);
        let keys: Vec<_> = ["a", "b", "c"].map(Key::from_name).into();
        for (handle, key) in keys.iter().enumerate() {
            lookup.add(key, &handle);
            lookup.add(key, &9);
        }
        let found: Vec<_> = keys.iter().map(|key| lookup.get(key)).collect();
        assert_eq!(found, [Some(0), Some(1), None]);
        assert_eq!(lookup.len(), 2);
    }
}
