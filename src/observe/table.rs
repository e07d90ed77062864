//! Bounded tables that are read without a lock: entries are only ever added.

#[cfg(all(test, tower_keep_loom))]
mod models;

use std::{hash::BuildHasher, mem};

use crate::sync::{
    HashKeys, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Whoever comes first decides what is in a slot for ever: an entry, or that there was no room for one. Those who ask
/// for the same key meet at the same slot, so that all of them are told the same.
///
/// Boxed, so that what is empty is small.
type Slot<T> = OnceLock<Option<Box<T>>>;

/// How many entries there may be, and are.
#[derive(Debug)]
struct Room {
    limit: usize,
    used: AtomicUsize,
}

impl Room {
    fn new(limit: usize) -> Self {
        let used = AtomicUsize::new(0);
        Room { limit, used }
    }

    /// Makes an entry if there is a place for it. One that panics leaves its place to others.
    fn fill<T>(&self, make: impl FnOnce() -> T) -> Option<T> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let next = |used| (used < self.limit).then_some(used + 1);
        let order = Ordering::Relaxed;
        self.used.fetch_update(order, order, next).ok()?;
        let place = Place(&self.used);
        let made = make();
        mem::forget(place);
        Some(made)
    }
}

/// A map from a number to something made from it. Holds at most `limit` entries, for ever.
#[derive(Debug)]
pub(crate) struct Table<V> {
    slots: Box<[Slot<(u64, V)>]>,
    room: Room,
}

impl<V> Table<V> {
    pub(crate) fn new(limit: usize) -> Self {
        // Half empty at the most, so that a probe is short.
        let slots = (limit.max(1) * 2).next_power_of_two();
        Table {
            slots: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            room: Room::new(limit),
        }
    }

    /// The entry of a key, made if there is room for it.
    #[inline]
    pub(crate) fn get_or_insert(&self, key: u64, make: impl Fn() -> V) -> Option<&V> {
        let mask = self.slots.len() - 1;
        let mut at = spread(key) as usize & mask;
        loop {
            let slot = &self.slots[at];
            let entry = match slot.get() {
                Some(entry) => entry,
                None => self.insert(slot, key, &make),
            };
            let entry = entry.as_deref()?;
            if entry.0 == key {
                return Some(&entry.1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Another thread may be faster, for this key or another; the caller looks.
    #[cold]
    fn insert<'a>(
        &self,
        slot: &'a Slot<(u64, V)>,
        key: u64,
        make: &impl Fn() -> V,
    ) -> &'a Option<Box<(u64, V)>> {
        slot.get_or_init(|| self.room.fill(|| Box::new((key, make()))))
    }
}

/// Fibonacci hashing: the high bits depend on all of the key.
#[inline]
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

/// Gives each text a small number, and the number's text back. Holds at most `limit` texts, for ever.
#[derive(Debug)]
pub(crate) struct Interner {
    hasher: HashKeys,
    slots: Box<[Slot<str>]>,
    room: Room,
}

/// Stands for every text that found no room.
pub(crate) const OVERFLOW: &str = "_OTHER";

impl Interner {
    /// `limit` is at most 16,384.
    pub(crate) fn new(limit: usize) -> Self {
        let slots = (limit.clamp(1, 1 << 14) * 2).next_power_of_two();
        Interner {
            hasher: HashKeys::default(),
            slots: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            room: Room::new(limit),
        }
    }

    /// The number of a text, from 1; 0 where there was no room.
    pub(crate) fn number(&self, text: &str) -> u16 {
        self.find(text, true).unwrap_or(0)
    }

    /// The number of a text that has been seen before.
    pub(crate) fn known(&self, text: &str) -> Option<u16> {
        self.find(text, false)
    }

    fn find(&self, text: &str, add: bool) -> Option<u16> {
        let mask = self.slots.len() - 1;
        let mut at = self.hasher.hash_one(text) as usize & mask;
        loop {
            let slot = &self.slots[at];
            let entry = match slot.get() {
                Some(entry) => entry,
                None if add => self.insert(slot, text),
                None => return None,
            };
            if entry.as_deref()? == text {
                return Some(at as u16 + 1);
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn insert<'a>(&self, slot: &'a Slot<str>, text: &str) -> &'a Option<Box<str>> {
        slot.get_or_init(|| self.room.fill(|| text.into()))
    }

    /// The text of a number that this interner has given.
    pub(crate) fn text(&self, number: u16) -> &str {
        let at = usize::from(number).checked_sub(1);
        at.and_then(|at| self.slots.get(at)?.get()?.as_deref())
            .unwrap_or(OVERFLOW)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_interner_says_other_and_keeps_what_it_has() {
        let interner = Interner::new(3);
        let numbers: Vec<u16> = ["a", "b", "c"].map(|text| interner.number(text)).into();
        assert!(numbers.iter().all(|&number| number > 0));
        assert_eq!(interner.number("d"), 0);
        assert_eq!(interner.text(0), OVERFLOW);
        assert_eq!(interner.number("b"), numbers[1]);
        assert_eq!(interner.text(numbers[1]), "b");
        assert_eq!(interner.known("e"), None);
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_finds_the_old() {
        let table = Table::new(2);
        for key in [7, 7, 9] {
            assert_eq!(table.get_or_insert(key, || key * 2), Some(&(key * 2)));
        }
        assert_eq!(table.get_or_insert(11, || 0), None);
        assert_eq!(table.get_or_insert(9, || 0), Some(&18));
    }

    #[test]
    fn what_panics_while_it_is_made_takes_no_place() {
        let table = Table::new(1);
        for _ in 0..3 {
            let make = || -> u8 { panic!("scripted") };
            crate::call::quietly(|| table.get_or_insert(7, make).copied());
        }
        assert_eq!(table.get_or_insert(7, || 1), Some(&1));
    }

    #[test]
    fn threads_that_add_at_once_agree() {
        let interner = Interner::new(100);
        let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let number = || texts.iter().map(|text| interner.number(text)).collect();
        let (a, b): (Vec<u16>, Vec<u16>) = std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(number), scope.spawn(number));
            (a.join().expect("a"), b.join().expect("b"))
        });
        assert_eq!(a, b);
        assert_eq!(interner.room.used.load(Ordering::Relaxed), 50);
    }

    proptest! {
        #[test]
        fn it_is_a_map_that_takes_no_more_than_its_limit(
            limit in 0..9_usize, keys in prop::collection::vec(0..12_u64, 0..60),
        ) {
            let (table, interner) = (Table::new(limit), Interner::new(limit));
            let mut map = HashMap::new();
            for (value, key) in keys.into_iter().enumerate() {
                if map.len() < limit {
                    map.entry(key).or_insert(value);
                }
                prop_assert_eq!(table.get_or_insert(key, || value), map.get(&key));
                let text = key.to_string();
                let number = interner.number(&text);
                prop_assert_eq!(number > 0, map.contains_key(&key));
                prop_assert_eq!(interner.known(&text).unwrap_or(0), number);
                prop_assert_eq!(interner.text(number), if number > 0 { &text } else { OVERFLOW });
            }
        }
    }
}
