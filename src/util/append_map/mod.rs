//! Append-only collections of bounded size that are read without a lock.

mod interner;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::sync::{Arc, PoisonError};

pub(crate) use interner::{Interner, OVERFLOW_LABEL};

use crate::util::sync::{
    Mutex, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Initial number of slots. Two in loom tests, so that they cover growth.
const INITIAL_SLOTS: usize = if cfg!(all(test, tower_keep_loom)) {
    2
} else {
    8
};

/// A value with its hash, which determines its slot.
#[derive(Debug)]
struct Hashed<E> {
    hash: u64,
    value: E,
}

/// At most half full, so that probes are short and terminate.
type SlotArray<E> = Box<[OnceLock<Arc<Hashed<E>>>]>;

/// A set of at most `max` entries that are found by their hash and never removed.
///
/// Starts with a few slots. When half of them are full, all entries are copied to an array of twice the size. Threads
/// that still probe the old array find the entries that were added before.
#[derive(Debug)]
pub(crate) struct AppendMap<E> {
    /// Each twice as large as the one before, allocated when needed.
    slot_arrays: Box<[OnceLock<SlotArray<E>>]>,
    /// Index of the largest array in use.
    newest: AtomicUsize,
    len: AtomicUsize,
    max: usize,
    /// Held while an entry is added.
    writer: Mutex<()>,
}

impl<E> AppendMap<E> {
    /// Returns an empty set for at most `max` entries.
    pub(crate) fn new(max: usize) -> Self {
        // Twice as many slots as entries, so that the largest array is at most half full as well.
        let max_slots = (max.max(1) * 2).next_power_of_two().max(INITIAL_SLOTS);
        let arrays = (max_slots / INITIAL_SLOTS).trailing_zeros() as usize + 1;
        AppendMap {
            slot_arrays: std::iter::repeat_with(OnceLock::new).take(arrays).collect(),
            newest: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            max,
            writer: Mutex::new(()),
        }
    }

    /// Returns how many entries can still be added.
    pub(crate) fn remaining_capacity(&self) -> usize {
        self.max - self.len.load(Ordering::Acquire)
    }

    /// Returns the entry with this hash that matches.
    #[inline]
    pub(crate) fn find(&self, hash: u64, matches: impl Fn(&E) -> bool) -> Option<&E> {
        // Pairs with the store in `slots_for`: an array that is found here has all earlier entries.
        let newest = self.newest.load(Ordering::Acquire);
        let slots = self.slot_arrays.get(newest)?.get()?;
        probe(slots, hash, matches).ok()
    }

    /// Returns the entry with this hash that matches, or adds the one that `make` returns for the current length.
    ///
    /// Returns `None` if the set is full or `make` returns `None`. `on_added` runs when all threads can see the new entry,
    /// before another thread can add one.
    #[cold]
    pub(crate) fn find_or_insert(
        &self,
        hash: u64,
        matches: impl Fn(&E) -> bool,
        make: impl FnOnce(usize) -> Option<E>,
        on_added: impl FnOnce(),
    ) -> Option<&E> {
        // Pairs with the release store below: a thread that sees the full length sees all entries.
        if self.len.load(Ordering::Acquire) == self.max {
            return self.find(hash, matches);
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added it before this one got the lock.
        if let Some(found) = self.find(hash, &matches) {
            return Some(found);
        }
        // Only whoever holds `writer` changes it.
        let len = self.len.load(Ordering::Relaxed);
        if len == self.max {
            return None;
        }
        let value = make(len)?;
        let entry = insert_into(self.slots_for(len + 1)?, Arc::new(Hashed { hash, value }));
        self.len.store(len + 1, Ordering::Release);
        on_added();
        Some(&entry.value)
    }

    /// Returns the array that is at most half full with this many entries. The caller holds `writer`.
    fn slots_for(&self, entries: usize) -> Option<&SlotArray<E>> {
        let newest = self.newest.load(Ordering::Relaxed);
        let slots = self
            .slot_arrays
            .get(newest)?
            .get_or_init(|| empty_slots(INITIAL_SLOTS));
        if entries * 2 <= slots.len() {
            return Some(slots);
        }
        let larger = self
            .slot_arrays
            .get(newest + 1)?
            .get_or_init(|| grow(slots));
        // Only now, when the larger array has all entries, may readers switch to it.
        self.newest.store(newest + 1, Ordering::Release);
        Some(larger)
    }
}

fn empty_slots<E>(slots: usize) -> SlotArray<E> {
    std::iter::repeat_with(OnceLock::new).take(slots).collect()
}

/// Probes from the slot of the hash: returns the entry that matches, or the first empty slot.
#[inline]
fn probe<E>(
    slots: &[OnceLock<Arc<Hashed<E>>>],
    hash: u64,
    matches: impl Fn(&E) -> bool,
) -> Result<&E, &OnceLock<Arc<Hashed<E>>>> {
    // The number of slots is a power of two.
    let mask = slots.len() - 1;
    let mut at = hash as usize & mask;
    // Ends, since half of the slots are empty.
    loop {
        let slot = &slots[at];
        match slot.get() {
            None => return Err(slot),
            Some(entry) if entry.hash == hash && matches(&entry.value) => return Ok(&entry.value),
            Some(_) => at = (at + 1) & mask,
        }
    }
}

/// Stores an entry in the first empty slot of its probe sequence. The caller holds `writer`, so the slot stays empty
/// until then.
fn insert_into<E>(slots: &[OnceLock<Arc<Hashed<E>>>], entry: Arc<Hashed<E>>) -> &Hashed<E> {
    match probe(slots, entry.hash, |_| false) {
        Err(slot) => slot.get_or_init(|| entry),
        Ok(_) => unreachable!("no entry matches"),
    }
}

fn grow<E>(old: &SlotArray<E>) -> SlotArray<E> {
    let new = empty_slots(old.len() * 2);
    for entry in old.iter().filter_map(OnceLock::get) {
        // The entry itself is shared: a thread that still reads the old array has the same one.
        insert_into(&new, entry.clone());
    }
    new
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn append_map_grows_with_its_entries() {
        let map = AppendMap::new(1_000);
        let slots = |map: &AppendMap<u64>| {
            let sizes = map.slot_arrays.iter().filter_map(OnceLock::get);
            sizes.map(|slots| slots.len()).last()
        };
        assert_eq!(slots(&map), None);
        for (entries, expected) in [(4, 8), (5, 16), (8, 16), (9, 32), (1_000, 2_048)] {
            for n in 0..entries {
                map.find_or_insert(n, |it| *it == n, |_| Some(n), || ());
            }
            assert_eq!(slots(&map), Some(expected), "{entries} entries");
            assert_eq!(map.remaining_capacity() as u64, 1_000 - entries);
        }
        assert!((0..1_000).all(|n| map.find(n, |it| *it == n) == Some(&n)));
        let none = map.find_or_insert(1_000, |it| *it == 1_000, |_| Some(1_000), || ());
        assert_eq!(none, None);
    }

    proptest! {
        #[test]
        fn append_map_is_a_bounded_set(
            max in 0..20_usize, keys in prop::collection::vec(0..30_u64, 0..100), same_hash: bool,
        ) {
            let map = AppendMap::new(max);
            let mut set = HashSet::new();
            for key in keys {
                let len = set.len();
                if len < max {
                    set.insert(key);
                }
                let hash = if same_hash { 7 } else { key };
                let found = map.find_or_insert(hash, |it| *it == key, |added| {
                    assert_eq!(added, len);
                    Some(key)
                }, || ());
                prop_assert_eq!(found, set.get(&key));
                prop_assert_eq!(map.find(hash, |it| *it == key), set.get(&key));
            }
        }
    }
}
