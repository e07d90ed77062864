use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use super::sync::HashKeys;

/// A bounded map that evicts the least recently used of its unprotected entries.
///
/// The caller ranks the entries when one has to go. An entry without a rank is unprotected. Of the others, at most three
/// quarters of the capacity are protected: the highest ranks first, and of each rank the most recently used. Without that
/// limit, a caller that fills the map with ranked entries would leave no room for those that come and go.
#[derive(Debug)]
pub(crate) struct RankedLru<K, V> {
    entries: HashMap<K, Entry<V>, HashKeys>,
    capacity: usize,
    /// Counts the uses, so that no two entries were used at the same time.
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    last_used: u64,
}

impl<K: Hash + Eq, V> RankedLru<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        RankedLru {
            entries: HashMap::default(),
            capacity,
            uses: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the value of a key, which is a use of it.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        entry.last_used = self.uses;
        Some(&entry.value)
    }

    /// Returns the value of a key, without using it.
    pub(crate) fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        Some(&self.entries.get(key)?.value)
    }

    /// Inserts the value of a new key. Returns the values that were evicted for it.
    pub(crate) fn insert<R: Ord>(
        &mut self,
        key: K,
        value: V,
        rank: impl FnMut(&V) -> Option<R>,
    ) -> Vec<V> {
        let evicted = if self.entries.len() < self.capacity {
            Vec::new()
        } else {
            self.evict(rank)
        };
        self.uses += 1;
        let last_used = self.uses;
        self.entries.insert(key, Entry { value, last_used });
        evicted
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        Some(self.entries.remove(key)?.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// Evicts several entries at once. Ranking all of them is expensive, and must not be done for each of many new keys.
    fn evict<R: Ord>(&mut self, rank: impl FnMut(&V) -> Option<R>) -> Vec<V> {
        let mut victims = self.unprotected(rank);
        truncate_to_least(&mut victims, (self.capacity / 16).max(1));
        // For the binary search. No two entries have the same `last_used`, so it tells them apart.
        victims.sort_unstable();
        let evicted = self
            .entries
            .extract_if(|_, entry| victims.binary_search(&entry.last_used).is_ok());
        evicted.map(|(_, entry)| entry.value).collect()
    }

    /// Returns when the unprotected entries were last used.
    fn unprotected<R: Ord>(&self, mut rank: impl FnMut(&V) -> Option<R>) -> Vec<u64> {
        let entries = self.entries.values();
        let mut ranks: Vec<_> = entries
            .map(|entry| (rank(&entry.value), entry.last_used))
            .collect();
        // `None` is less than any rank: the unprotected come first, of each rank those unused for longest.
        let unranked = ranks.iter().filter(|(rank, _)| rank.is_none()).count();
        truncate_to_least(&mut ranks, unranked.max(self.capacity.div_ceil(4)));
        ranks.into_iter().map(|(_, last_used)| last_used).collect()
    }
}

/// Removes all but this number of the least elements. Does not sort.
fn truncate_to_least<T: Ord>(all: &mut Vec<T>, number: usize) {
    if number < all.len() {
        all.select_nth_unstable(number);
        all.truncate(number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rank = Option<u8>;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Get(u8),
        Insert(u8, Rank),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ranks = &[None, Some(1), Some(2), Some(3)][..];
        prop_oneof![
            (0..12_u8).prop_map(Step::Get),
            (0..12_u8, prop::sample::select(ranks)).prop_map(|(key, rank)| Step::Insert(key, rank)),
        ]
    }

    proptest! {
        /// Against a list in which the protected are marked one by one, and the first that is not marked goes.
        #[test]
        fn evict_matches_reference_list(
            capacity in 1..9_usize, steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut map = RankedLru::new(capacity);
            // Oldest use first.
            let mut list: Vec<(u8, Rank)> = Vec::new();
            for step in steps {
                match step {
                    Step::Get(key) => {
                        let at = list.iter().position(|entry| entry.0 == key);
                        prop_assert_eq!(map.get(&key).is_some(), at.is_some());
                        if let Some(at) = at {
                            let entry = list.remove(at);
                            list.push(entry);
                        }
                    }
                    Step::Insert(key, _) if list.iter().any(|entry| entry.0 == key) => {}
                    Step::Insert(key, rank) => {
                        if list.len() == capacity {
                            list.remove(first_unprotected(&list));
                        }
                        list.push((key, rank));
                        map.insert(key, rank, |rank| *rank);
                    }
                }
                let mut keys: Vec<u8> = map.iter().map(|entry| *entry.0).collect();
                let mut expected: Vec<u8> = list.iter().map(|entry| entry.0).collect();
                keys.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(keys, expected);
            }
        }
    }

    fn first_unprotected(list: &[(u8, Rank)]) -> usize {
        let mut protected = vec![false; list.len()];
        let mut places = list.len() * 3 / 4;
        for rank in [3, 2, 1] {
            for at in (0..list.len()).rev() {
                if list[at].1 == Some(rank) && places > 0 {
                    protected[at] = true;
                    places -= 1;
                }
            }
        }
        let first = protected.iter().position(|protected| !protected);
        first.expect("a quarter is unprotected")
    }

    /// Each new key ranked all of them: 46 ms with 100,000.
    #[test]
    fn evict_ranks_all_entries_once_for_many_new_keys() {
        const CAPACITY: u32 = 1_600;
        for rank in [None, Some(1), Some(3)] {
            let mut map = RankedLru::new(CAPACITY as usize);
            let mut ranked = 0;
            for key in 0..2 * CAPACITY {
                map.insert(key, rank, |rank| {
                    ranked += 1;
                    *rank
                });
            }
            assert_eq!(ranked, 16 * CAPACITY, "{rank:?}");
        }
    }
}
