use std::{hash::BuildHasher, sync::Arc};

use super::AppendMap;
use crate::util::sync::HashKeys;

/// The label value of all texts that did not fit.
pub(crate) const OVERFLOW_LABEL: &str = "_OTHER";

/// A text and its ID.
#[derive(Clone, Debug)]
struct InternedText {
    text: Arc<str>,
    id: u16,
}

/// A bidirectional map of at most `max` texts to small IDs. Texts are never removed.
#[derive(Debug)]
pub(crate) struct Interner {
    /// Random, and differs from process to process.
    seed: u64,
    by_text: AppendMap<InternedText>,
    by_id: AppendMap<InternedText>,
}

impl Interner {
    /// Returns an empty interner for at most `max` texts; at most 32,767, so that label keys can pack their IDs.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.min(usize::from(u16::MAX >> 1));
        Interner {
            seed: HashKeys::default().hash_one(max),
            by_text: AppendMap::new(max),
            by_id: AppendMap::new(max),
        }
    }

    /// Returns the ID of a text, which starts at 1. Adds the text if necessary; returns 0 if the interner is full.
    pub(crate) fn intern(&self, text: &str) -> u16 {
        let hash = hash_text(self.seed, text);
        let matches = |it: &InternedText| *it.text == *text;
        let found = self.by_text.find(hash, matches);
        let found = found.or_else(|| {
            // The cast keeps the number, since `new` limits it; 0 is the overflow.
            let make = |used| self.insert(text, used as u16 + 1);
            self.by_text.find_or_insert(hash, matches, make, || ())
        });
        found.map_or(0, |it| it.id)
    }

    /// Adds a text to `by_id`. This comes before `by_text`, so that a thread that has an ID can resolve it.
    fn insert(&self, text: &str, id: u16) -> Option<InternedText> {
        let text = InternedText {
            text: text.into(),
            id,
        };
        let make = |_| Some(text.clone());
        self.by_id
            // The ID is new, so nothing matches.
            .find_or_insert(id.into(), |_| false, make, || ())?;
        Some(text)
    }

    /// Returns the ID of a text that has been interned before.
    pub(crate) fn lookup(&self, text: &str) -> Option<u16> {
        let hash = hash_text(self.seed, text);
        let found = self.by_text.find(hash, |it| *it.text == *text);
        found.map(|it| it.id)
    }

    /// Returns the text of an ID, or [`OVERFLOW_LABEL`] for 0.
    pub(crate) fn resolve(&self, id: u16) -> &str {
        let found = self.by_id.find(id.into(), |it| it.id == id);
        found.map_or(OVERFLOW_LABEL, |it| &it.text)
    }
}

/// Returns a hash of all bytes of a text, eight at a time.
///
/// Weaker than the standard library's against texts that are made to collide, which strangers cannot use: the application
/// chooses most texts, their number is bounded, and what is only looked up adds nothing.
#[inline]
fn hash_text(seed: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let hash = words.fold(seed ^ text.len() as u64, mix);
    let last = rest
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(hash, last)
}

/// Adds a word to a hash: both halves of a product, since its low bits alone do not depend on the high bits of the word.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ (product as u64).rotate_left(5)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn interner_returns_overflow_label_when_full() {
        let interner = Interner::new(3);
        let ids: Vec<u16> = ["a", "b", "c"].map(|text| interner.intern(text)).into();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(interner.intern("d"), 0);
        assert_eq!(interner.resolve(0), OVERFLOW_LABEL);
        assert_eq!(interner.intern("b"), ids[1]);
        assert_eq!(interner.resolve(ids[1]), "b");
        assert_eq!(interner.lookup("e"), None);
    }

    #[test]
    fn interner_gives_racing_threads_the_same_ids() {
        let interner = Interner::new(100);
        let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let id = || texts.iter().map(|text| interner.intern(text)).collect();
        let (a, b): (Vec<u16>, Vec<u16>) = std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(id), scope.spawn(id));
            (a.join().expect("a"), b.join().expect("b"))
        });
        assert_eq!(a, b);
        let mut sorted = a;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(1..=50));
    }

    #[test]
    fn text_hash_depends_on_seed_length_order_and_every_byte() {
        let text = "/orders/{order}/items/{id}";
        let mut texts = vec![text.to_owned(), "/items/{id}/orders/{order}".to_owned()];
        texts.extend((0..text.len()).map(|len| text[..len].to_owned()));
        texts.extend((1..9).map(|len| "\0".repeat(len)));
        for at in 0..text.len() {
            let mut changed = text.to_owned();
            changed.replace_range(at..=at, "_");
            texts.push(changed);
        }
        let hashes = texts.iter().map(|text| hash_text(7, text));
        let hashes: HashSet<u64> = hashes.chain([hash_text(8, text)]).collect();
        assert_eq!(hashes.len(), texts.len() + 1);
        // Slots are chosen by the lowest bits.
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 7).collect();
        assert_eq!(low.len(), 8);
    }

    proptest! {
        #[test]
        fn interner_is_a_bounded_map(
            max in 0..9_usize, texts in prop::collection::vec(0..12_u8, 0..60),
        ) {
            let interner = Interner::new(max);
            let mut map = HashMap::new();
            for text in texts {
                let text = text.to_string();
                if map.len() < max {
                    let next = map.len() as u16 + 1;
                    map.entry(text.clone()).or_insert(next);
                }
                let id = interner.intern(&text);
                prop_assert_eq!(id, map.get(&text).copied().unwrap_or(0));
                prop_assert_eq!(interner.lookup(&text).unwrap_or(0), id);
                prop_assert_eq!(interner.resolve(id), if id > 0 { &text } else { OVERFLOW_LABEL });
            }
        }
    }
}
