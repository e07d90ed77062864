//! Sets that only grow, up to a limit, and are read without a lock.

mod interner;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::sync::{Arc, PoisonError};

pub(crate) use interner::{Interner, OVERFLOW_LABEL};

use crate::util::sync::{
    Mutex, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Number of slots at first. Two in models, so that they see it grow.
const INITIAL_SLOTS: usize = if cfg!(all(test, tower_keep_loom)) {
    2
} else {
    8
};

/// Holds a value with its hash, which says where it lies.
#[derive(Debug)]
struct Hashed<E> {
    hash: u64,
    value: E,
}

/// Half empty at the least, so that a probe is short and comes to an end.
type SlotArray<E> = Box<[OnceLock<Arc<Hashed<E>>>]>;

/// A set of entries that are found by their hash. They stay where they are for ever.
///
/// It begins with a few slots. When they are half full, all entries are put into twice as many, and whoever looks in the
/// old ones meanwhile finds what was there.
#[derive(Debug)]
pub(crate) struct AppendMap<E> {
    /// Each twice as large as the one before; made when it is needed.
    slot_arrays: Box<[OnceLock<SlotArray<E>>]>,
    /// Index of the largest of them so far.
    newest: AtomicUsize,
    len: AtomicUsize,
    max: usize,
    /// Whose turn it is to add.
    writer: Mutex<()>,
}

impl<E> AppendMap<E> {
    pub(crate) fn new(limit: usize) -> Self {
        let most = (limit.max(1) * 2).next_power_of_two().max(INITIAL_SLOTS);
        let sizes = (most / INITIAL_SLOTS).trailing_zeros() as usize + 1;
        AppendMap {
            slot_arrays: std::iter::repeat_with(OnceLock::new).take(sizes).collect(),
            newest: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            max: limit,
            writer: Mutex::new(()),
        }
    }

    /// Finds the entry of that hash for which `is` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(&E) -> bool) -> Option<&E> {
        let newest = self.newest.load(Ordering::Acquire);
        let slots = self.slot_arrays.get(newest)?.get()?;
        probe(slots, hash, is).ok()
    }

    /// Finds that entry, or makes it, unless there is no room or `make` makes none. `make` is told how many there are;
    /// `then` runs when all can see it, before anybody else has a turn.
    #[cold]
    pub(crate) fn find_or_insert(
        &self,
        hash: u64,
        is: impl Fn(&E) -> bool,
        make: impl FnOnce(usize) -> Option<E>,
        then: impl FnOnce(),
    ) -> Option<&E> {
        // Whoever sees that it is full sees all that is in it.
        if self.len.load(Ordering::Acquire) == self.max {
            return self.find(hash, is);
        }
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some(found) = self.find(hash, &is) {
            return Some(found);
        }
        let used = self.len.load(Ordering::Relaxed);
        if used == self.max {
            return None;
        }
        let value = make(used)?;
        let entry = insert_into(self.slots_for(used + 1)?, Arc::new(Hashed { hash, value }));
        self.len.store(used + 1, Ordering::Release);
        then();
        Some(&entry.value)
    }

    /// Returns slots of which that many entries fill half at the most. The caller has its turn.
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
        self.newest.store(newest + 1, Ordering::Release);
        Some(larger)
    }
}

fn empty_slots<E>(slots: usize) -> SlotArray<E> {
    std::iter::repeat_with(OnceLock::new).take(slots).collect()
}

/// Goes from the slot that the hash says to the first that is empty: finds the entry for which `is` holds, or that slot.
#[inline]
fn probe<E>(
    slots: &[OnceLock<Arc<Hashed<E>>>],
    hash: u64,
    is: impl Fn(&E) -> bool,
) -> Result<&E, &OnceLock<Arc<Hashed<E>>>> {
    let mask = slots.len() - 1;
    let mut at = hash as usize & mask;
    loop {
        let slot = &slots[at];
        match slot.get() {
            None => return Err(slot),
            Some(entry) if entry.hash == hash && is(&entry.value) => return Ok(&entry.value),
            Some(_) => at = (at + 1) & mask,
        }
    }
}

/// Puts an entry into the first empty slot on its way. Whoever does has its turn, so that nobody else does meanwhile.
fn insert_into<E>(slots: &[OnceLock<Arc<Hashed<E>>>], entry: Arc<Hashed<E>>) -> &Hashed<E> {
    match probe(slots, entry.hash, |_| false) {
        Err(slot) => slot.get_or_init(|| entry),
        Ok(_) => unreachable!("no entry is the one"),
    }
}

fn grow<E>(old: &SlotArray<E>) -> SlotArray<E> {
    let new = empty_slots(old.len() * 2);
    for entry in old.iter().filter_map(OnceLock::get) {
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
    fn table_grows_with_what_is_in_it() {
        let table = AppendMap::new(1_000);
        let slots = |table: &AppendMap<u64>| {
            let sizes = table.slot_arrays.iter().filter_map(OnceLock::get);
            sizes.map(|slots| slots.len()).last()
        };
        assert_eq!(slots(&table), None);
        for (entries, expected) in [(4, 8), (5, 16), (8, 16), (9, 32), (1_000, 2_048)] {
            for n in 0..entries {
                table.find_or_insert(n, |it| *it == n, |_| Some(n), || ());
            }
            assert_eq!(slots(&table), Some(expected), "{entries} entries");
        }
        assert!((0..1_000).all(|n| table.find(n, |it| *it == n) == Some(&n)));
        let none = table.find_or_insert(1_000, |it| *it == 1_000, |_| Some(1_000), || ());
        assert_eq!(none, None);
    }

    proptest! {
        #[test]
        fn table_is_a_set_that_takes_no_more_than_its_limit(
            limit in 0..20_usize, keys in prop::collection::vec(0..30_u64, 0..100), same_hash: bool,
        ) {
            let table = AppendMap::new(limit);
            let mut set = HashSet::new();
            for key in keys {
                let used = set.len();
                if used < limit {
                    set.insert(key);
                }
                let hash = if same_hash { 7 } else { key };
                let found = table.find_or_insert(hash, |it| *it == key, |there| {
                    assert_eq!(there, used);
                    Some(key)
                }, || ());
                prop_assert_eq!(found, set.get(&key));
                prop_assert_eq!(table.find(hash, |it| *it == key), set.get(&key));
            }
        }
    }
}
