//! Counts the keys in each state, over all sets of breakers of one name: they are one series in metrics.

use std::{
    collections::BTreeMap,
    sync::{self, Arc, PoisonError, Weak},
};

use metrics::Gauge;

use super::super::outlets::state_gauges;
use crate::{
    call::{Name, quietly},
    observe::shown::Shown,
    sync::{Mutex, MutexGuard},
};

/// Number of keys in each state, by [`State::ALL`](super::super::State::ALL).
pub(super) type Census = [u64; 5];

/// The names of which there are sets.
static NAMES: sync::Mutex<BTreeMap<String, Weak<NameCensus>>> = sync::Mutex::new(BTreeMap::new());

fn names() -> sync::MutexGuard<'static, BTreeMap<String, Weak<NameCensus>>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The counts of one name, and the gauges that show them.
pub(super) struct NameCensus {
    pub(super) name: Name,
    counts: Mutex<Census>,
    gauges: Shown<[Gauge; 5]>,
}

impl NameCensus {
    /// The one of that name, as long as any set holds it.
    pub(super) fn of(name: &Name) -> Arc<Self> {
        let mut names = names();
        let found = names.get(name.as_str()).and_then(Weak::upgrade);
        found.unwrap_or_else(|| {
            let made = Arc::new(NameCensus {
                name: name.clone(),
                counts: Mutex::default(),
                gauges: Shown::new(),
            });
            names.insert(name.to_string(), Arc::downgrade(&made));
            made
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Census> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn show(&self) {
        if !self.gauges.has_met() {
            self.change(|_| ());
        }
    }

    /// Changes the counts, and shows them in the order of the changes to every recorder that has seen them: nothing would
    /// put an earlier one right later.
    pub(super) fn change(&self, change: impl FnOnce(&mut Census)) {
        // First, and without the lock: whoever makes the gauges must not wait for one who waits for them.
        quietly(|| self.gauges.meet(|| state_gauges(&self.name)));
        let mut counts = self.lock();
        change(&mut counts);
        quietly(|| self.gauges.each(|gauges| set(gauges, &counts)));
    }
}

impl Drop for NameCensus {
    fn drop(&mut self) {
        let mut names = names();
        // Another of that name may have been made since the last reference went.
        let found = names.get(self.name.as_str());
        if found.is_some_and(|found| found.strong_count() == 0) {
            names.remove(self.name.as_str());
        }
    }
}

fn set(gauges: &[Gauge; 5], counts: &Census) {
    for (gauge, keys) in gauges.iter().zip(counts) {
        gauge.set(*keys as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn census_of_a_name_is_shared_and_forgotten_with_its_last_set() {
        let name = Name::from("census of a name");
        let is_known = || names().contains_key(name.as_str());
        let (one, other) = (NameCensus::of(&name), NameCensus::of(&name));
        assert!(Arc::ptr_eq(&one, &other));
        drop(one);
        assert!(is_known());
        drop(other);
        assert!(!is_known());
    }
}
