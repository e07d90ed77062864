use std::{hash::BuildHasher, sync::Arc};

use super::AppendMap;
use crate::util::sync::HashKeys;

/// Stands for every text that found no room.
pub(crate) const OVERFLOW_LABEL: &str = "_OTHER";

/// A text and its number.
#[derive(Clone, Debug)]
struct InternedText {
    text: Arc<str>,
    id: u16,
}

/// Gives each text a small number, and the number's text back. Holds at most `limit` texts, for ever.
#[derive(Debug)]
pub(crate) struct Interner {
    hasher: HashKeys,
    by_text: AppendMap<InternedText>,
    by_id: AppendMap<InternedText>,
}

impl Interner {
    /// `limit` is at most 32,767: there are numbers for no more, and one that no text has.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(usize::from(u16::MAX >> 1));
        Interner {
            hasher: HashKeys::default(),
            by_text: AppendMap::new(limit),
            by_id: AppendMap::new(limit),
        }
    }

    /// The number of a text, from 1; 0 where there was no room.
    pub(crate) fn intern(&self, text: &str) -> u16 {
        let hash = self.hasher.hash_one(text);
        let is = |it: &InternedText| *it.text == *text;
        let found = self.by_text.find(hash, is);
        let found = found.or_else(|| {
            let make = |used| self.insert(text, used as u16 + 1);
            self.by_text.find_or_insert(hash, is, make, || ())
        });
        found.map_or(0, |it| it.id)
    }

    /// First by its number, so that whoever has one finds its text.
    fn insert(&self, text: &str, number: u16) -> Option<InternedText> {
        let text = InternedText {
            text: text.into(),
            id: number,
        };
        let make = |_| Some(text.clone());
        self.by_id
            .find_or_insert(number.into(), |_| false, make, || ())?;
        Some(text)
    }

    /// The number of a text that has been seen before.
    pub(crate) fn lookup(&self, text: &str) -> Option<u16> {
        let hash = self.hasher.hash_one(text);
        let found = self.by_text.find(hash, |it| *it.text == *text);
        found.map(|it| it.id)
    }

    /// The text of a number that this interner has given.
    pub(crate) fn resolve(&self, number: u16) -> &str {
        let found = self.by_id.find(number.into(), |it| it.id == number);
        found.map_or(OVERFLOW_LABEL, |it| &it.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_interner_says_other_and_keeps_what_it_has() {
        let interner = Interner::new(3);
        let numbers: Vec<u16> = ["a", "b", "c"].map(|text| interner.intern(text)).into();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(interner.intern("d"), 0);
        assert_eq!(interner.resolve(0), OVERFLOW_LABEL);
        assert_eq!(interner.intern("b"), numbers[1]);
        assert_eq!(interner.resolve(numbers[1]), "b");
        assert_eq!(interner.lookup("e"), None);
    }

    #[test]
    fn threads_that_add_at_once_agree() {
        let interner = Interner::new(100);
        let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let number = || texts.iter().map(|text| interner.intern(text)).collect();
        let (a, b): (Vec<u16>, Vec<u16>) = std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(number), scope.spawn(number));
            (a.join().expect("a"), b.join().expect("b"))
        });
        assert_eq!(a, b);
        let mut sorted = a;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(1..=50));
    }

    proptest! {
        #[test]
        fn interner_is_a_map_that_takes_no_more_than_its_limit(
            limit in 0..9_usize, texts in prop::collection::vec(0..12_u8, 0..60),
        ) {
            let interner = Interner::new(limit);
            let mut map = HashMap::new();
            for text in texts {
                let text = text.to_string();
                if map.len() < limit {
                    let next = map.len() as u16 + 1;
                    map.entry(text.clone()).or_insert(next);
                }
                let number = interner.intern(&text);
                prop_assert_eq!(number, map.get(&text).copied().unwrap_or(0));
                prop_assert_eq!(interner.lookup(&text).unwrap_or(0), number);
                prop_assert_eq!(interner.resolve(number), if number > 0 { &text } else { OVERFLOW_LABEL });
            }
        }
    }
}
