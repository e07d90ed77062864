/// An entry of a [`KeyMap`].
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The hash of the key; 0 if the entry is empty.
    hash: u64,
    state: u64,
}

/// A map from hashes to numbers, of 21 to 32 bytes for each.
///
/// That of the standard library does not say how large it is: entries that were removed leave marks, for which it grows.
/// Here entries are removed by [`rebuild`](Self::rebuild) only, many at once. Open addressing with linear probing; the hashes are
/// secret, so that nobody can choose some that collide.
#[derive(Debug, Default)]
pub(super) struct KeyMap {
    entries: Box<[Entry]>,
    len: usize,
}

impl KeyMap {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether another entry makes searches slow, and [`rebuild`](Self::rebuild) must come first.
    pub(super) fn is_full(&self) -> bool {
        self.len >= self.entries.len() / 4 * 3
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Returns the index at which to search for a hash. By the low bits: others have chosen the shard.
    #[inline]
    fn start(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * self.entries.len() as u64) >> 32) as usize
    }

    /// Returns the index of the entry of this hash, or of the empty one in which the search ends.
    #[inline]
    fn search(&self, hash: u64) -> Option<usize> {
        let len = self.entries.len();
        let mut at = self.start(hash);
        for _ in 0..len {
            let found = self.entries[at].hash;
            if found == hash || found == 0 {
                return Some(at);
            }
            at = if at + 1 == len { 0 } else { at + 1 };
        }
        None
    }

    /// Returns the number of a hash.
    #[inline]
    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut u64> {
        let hash = not_zero(hash);
        let at = self.search(hash)?;
        let entry = &mut self.entries[at];
        (entry.hash == hash).then_some(&mut entry.state)
    }

    pub(super) fn get(&self, hash: u64) -> Option<u64> {
        let hash = not_zero(hash);
        let entry = &self.entries[self.search(hash)?];
        (entry.hash == hash).then_some(entry.state)
    }

    /// Inserts a hash that is not there, into a map that is not full.
    pub(super) fn insert(&mut self, hash: u64, state: u64) {
        let hash = not_zero(hash);
        if let Some(at) = self.search(hash) {
            self.entries[at] = Entry { hash, state };
            self.len += 1;
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = u64> {
        let used = self.entries.iter().filter(|entry| entry.hash != 0);
        used.map(|entry| entry.state)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        let used = self.entries.iter_mut().filter(|entry| entry.hash != 0);
        used.map(|entry| &mut entry.state)
    }

    /// Keeps what the closure says, in as much memory as that needs.
    pub(super) fn rebuild(&mut self, is_kept: impl Fn(u64) -> bool) {
        let before = std::mem::take(self);
        let kept = || {
            let entries = before.entries.iter();
            entries.filter(|entry| entry.hash != 0 && is_kept(entry.state))
        };
        // Half full, and at least one entry is always empty: a search ends there.
        self.entries = vec![Entry::default(); (kept().count() * 2).max(8)].into();
        for entry in kept() {
            self.insert(entry.hash, entry.state);
        }
    }
}

#[inline]
fn not_zero(hash: u64) -> u64 {
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn key_map_holds_what_a_hash_map_holds(
            steps in prop::collection::vec((any::<bool>(), 0..40_u64, any::<u64>()), 1..200), spread: bool,
        ) {
            let (mut map, mut model) = (KeyMap::default(), HashMap::new());
            for (rebuild, key, state) in steps {
                // All at one place, or at places of their own; 0 and 1 are the same.
                let hash = if spread { key << 27 | 1 } else { (key << 32) | 1 };
                if map.is_full() || (rebuild && key < 4) {
                    map.rebuild(|state| state % 2 == 0);
                    model.retain(|_, state| *state % 2 == 0);
                    if map.is_full() {
                        map.rebuild(|_| true);
                    }
                }
                match map.get_mut(hash) {
                    Some(found) => *found = state,
                    None => map.insert(hash, state),
                }
                model.insert(hash, state);
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(model.iter().all(|(hash, state)| map.get(*hash) == Some(*state)));
                let (mut values, mut expected): (Vec<_>, Vec<_>) =
                    (map.values().collect(), model.values().copied().collect());
                values.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(values, expected);
            }
        }
    }

    #[test]
    fn key_map_needs_at_most_two_entries_for_each_key() {
        let mut map = KeyMap::default();
        assert_eq!(map.get(7), None);
        for key in 0..10_000_u64 {
            if map.is_full() {
                map.rebuild(|_| true);
            }
            map.insert(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), key);
            assert!(map.capacity() <= 8.max(2 * map.len()));
        }
        map.rebuild(|state| state < 3);
        assert_eq!((map.len(), map.capacity()), (3, 8));
    }
}
