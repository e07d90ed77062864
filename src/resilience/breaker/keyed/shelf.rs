//! A bounded map of breakers. Pure, but for asking them how they are.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

use super::super::{CircuitBreaker, state::State};
use crate::sync::HashKeys;

#[derive(Debug)]
pub(super) struct Shelf<K> {
    kept: HashMap<K, Kept, HashKeys>,
    most: usize,
    /// Counts the uses, so that no two are at the same time.
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    breaker: CircuitBreaker,
    used: u64,
}

/// What would be lost with a breaker: the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// Closed, and nobody has a call in flight or a handle: a few counts.
    Idle,
    /// Closed, but in use.
    Closed,
    /// Somebody is kept away from what fails, or has been told to.
    Open,
}

impl Kept {
    fn loss(&self) -> Loss {
        match self.breaker.shared.state() {
            // The shelf's own reference is the only one.
            State::Closed if Arc::strong_count(&self.breaker.shared) == 1 => Loss::Idle,
            State::Closed => Loss::Closed,
            _ => Loss::Open,
        }
    }
}

impl<K: Hash + Eq> Shelf<K> {
    pub(super) fn new(most: usize) -> Self {
        Shelf {
            kept: HashMap::default(),
            most,
            uses: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The breaker of a key; finding it is a use.
    pub(super) fn find<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
    {
        let kept = self.kept.get_mut(key)?;
        self.uses += 1;
        kept.used = self.uses;
        Some(kept.breaker.clone())
    }

    /// The breaker of a key, without using it.
    pub(super) fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
    {
        Some(self.kept.get(key)?.breaker.clone())
    }

    /// Puts a new breaker there; what had to make room for it comes back.
    pub(super) fn put(&mut self, key: K, breaker: CircuitBreaker) -> Vec<CircuitBreaker> {
        let gone = if self.kept.len() < self.most {
            Vec::new()
        } else {
            self.make_room()
        };
        self.uses += 1;
        let used = self.uses;
        self.kept.insert(key, Kept { breaker, used });
        gone
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
    {
        Some(self.kept.remove(key)?.breaker)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &CircuitBreaker)> {
        self.kept.iter().map(|(key, kept)| (key, &kept.breaker))
    }

    /// Of those whose loss is least, the least recently used. A look at all of them is paid for by several idle
    /// ones at once, so that a flood of new keys does not make each of them cost one.
    fn make_room(&mut self) -> Vec<CircuitBreaker> {
        let mut ranks: Vec<_> = self.kept.values().map(|k| (k.loss(), k.used)).collect();
        let least = ranks.iter().map(|rank| rank.0).min().unwrap_or(Loss::Idle);
        ranks.retain(|rank| rank.0 == least);
        let several = if least == Loss::Idle {
            self.most / 16
        } else {
            1
        };
        let last = several.clamp(1, ranks.len()) - 1;
        ranks.select_nth_unstable(last);
        ranks.truncate(last + 1);
        let mut going: Vec<u64> = ranks.iter().map(|rank| rank.1).collect();
        going.sort_unstable();
        let mut gone = Vec::with_capacity(going.len());
        self.kept.retain(|_, kept| {
            let stays = going.binary_search(&kept.used).is_err();
            if !stays {
                gone.push(kept.breaker.clone());
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Outcome;

    fn closed() -> CircuitBreaker {
        let builder = CircuitBreaker::builder("b").consecutive_failures(1);
        builder.build().expect("sound")
    }

    fn open() -> CircuitBreaker {
        let breaker = closed();
        breaker
            .try_acquire()
            .expect("closed")
            .settle(Outcome::Failure);
        breaker
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Use(u8),
        Put { key: u8, open: bool, held: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..12_u8).prop_map(Step::Use),
            (0..12_u8, any::<bool>(), any::<bool>()).prop_map(|(key, open, held)| Step::Put {
                key,
                open,
                held
            }),
        ]
    }

    proptest! {
        /// Against a list that is searched for the one whose loss is least and whose use is longest ago.
        #[test]
        fn it_loses_what_a_list_would_lose(steps in prop::collection::vec(step(), 1..60)) {
            const MOST: usize = 5;
            let mut shelf = Shelf::new(MOST);
            let mut handles = Vec::new();
            // Oldest use first: the key, and what would be lost with it.
            let mut list: Vec<(u8, Loss)> = Vec::new();
            for step in steps {
                match step {
                    Step::Use(key) => {
                        let at = list.iter().position(|kept| kept.0 == key);
                        prop_assert_eq!(shelf.find(&key).is_some(), at.is_some());
                        if let Some(at) = at {
                            let kept = list.remove(at);
                            list.push(kept);
                        }
                    }
                    Step::Put { key, .. } if list.iter().any(|kept| kept.0 == key) => {}
                    Step::Put { key, open: is_open, held } => {
                        let breaker = if is_open { open() } else { closed() };
                        if held {
                            handles.push(breaker.clone());
                        }
                        if list.len() == MOST {
                            let least = list.iter().map(|kept| kept.1).min().expect("full");
                            let at = list.iter().position(|kept| kept.1 == least);
                            list.remove(at.expect("the least"));
                        }
                        list.push((key, match (is_open, held) {
                            (true, _) => Loss::Open,
                            (false, true) => Loss::Closed,
                            (false, false) => Loss::Idle,
                        }));
                        shelf.put(key, breaker);
                    }
                }
                let mut kept: Vec<u8> = shelf.iter().map(|kept| *kept.0).collect();
                let mut expected: Vec<u8> = list.iter().map(|kept| kept.0).collect();
                kept.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(kept, expected);
            }
        }
    }
}
