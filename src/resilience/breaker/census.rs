//! Counts the breakers of a name in each state, in this process, for `tower_keep_breaker_state`.
//!
//! A gauge for each breaker would be one series for all of a name, and show the state of whichever changed last.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use metrics::Gauge;

use super::{outlets::state_gauges, state::State};
use crate::{
    call::{Name, quietly},
    observe::shown::Shown,
};

/// The names of breakers that are alive, each with its counts. Locked when a breaker is made, and when the last of a
/// name is dropped.
static NAMES: LazyLock<Mutex<HashMap<Name, Weak<Census>>>> = LazyLock::new(Mutex::default);

/// The breakers of one name.
struct Census {
    name: Name,
    /// By [`State::ALL`].
    counts: Mutex<[u64; 5]>,
    gauges: Shown<[Gauge; 5]>,
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Census {
    fn of(name: &Name) -> Arc<Self> {
        let mut names = unpoisoned(&NAMES);
        if let Some(census) = names.get(name).and_then(Weak::upgrade) {
            return census;
        }
        let census = Arc::new(Census {
            name: name.clone(),
            counts: Mutex::default(),
            gauges: Shown::new(),
        });
        names.insert(name.clone(), Arc::downgrade(&census));
        census
    }

    /// Changes the counts, and shows them in the order of the changes.
    fn count(&self, change: impl FnOnce(&mut [u64; 5])) {
        let make = || state_gauges(&self.name);
        // First, and without the lock: whoever makes the gauges must not wait for one who waits for them.
        quietly(|| self.gauges.meet(make));
        let mut counts = unpoisoned(&self.counts);
        change(&mut counts);
        // A recorder that has been replaced meanwhile is told as well: what it shows must not stay for ever.
        quietly(|| self.gauges.each(|gauges| set(gauges, &counts)));
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        let mut names = unpoisoned(&NAMES);
        // The name may have a new one already.
        if names
            .get(&self.name)
            .is_some_and(|it| it.strong_count() == 0)
        {
            names.remove(&self.name);
        }
    }
}

fn set(gauges: &[Gauge; 5], counts: &[u64; 5]) {
    for (gauge, count) in gauges.iter().zip(counts) {
        gauge.set(*count as f64);
    }
}

/// One breaker in the counts of its name; dropping it takes it out.
pub(super) struct Membership {
    census: Arc<Census>,
    /// Always locked before the counts.
    state: Mutex<State>,
}

impl Membership {
    pub(super) fn new(name: &Name, state: State) -> Self {
        let census = Census::of(name);
        census.count(|counts| counts[state as usize] += 1);
        Membership {
            census,
            state: Mutex::new(state),
        }
    }

    /// The breaker is in another state now.
    pub(super) fn turned(&self, to: State) {
        let mut state = unpoisoned(&self.state);
        let from = std::mem::replace(&mut *state, to);
        self.census.count(|counts| {
            counts[from as usize] -= 1;
            counts[to as usize] += 1;
        });
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn show(&self) {
        self.census.count(|_| ());
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let state = *unpoisoned(&self.state);
        self.census.count(|counts| counts[state as usize] -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &Name) -> Option<[u64; 5]> {
        let census = unpoisoned(&NAMES).get(name).and_then(Weak::upgrade)?;
        let counts = *unpoisoned(&census.counts);
        Some(counts)
    }

    #[test]
    fn census_counts_the_breakers_of_a_name_by_state_and_forgets_the_name_with_the_last() {
        let name = Name::from("census");
        let one = Membership::new(&name, State::Closed);
        let other = Membership::new(&name, State::Closed);
        assert_eq!(counts(&name), Some([2, 0, 0, 0, 0]));
        one.turned(State::Open);
        other.turned(State::Disabled);
        assert_eq!(counts(&name), Some([0, 1, 0, 0, 1]));
        drop(one);
        assert_eq!(counts(&name), Some([0, 0, 0, 0, 1]));
        drop(other);
        assert!(!unpoisoned(&NAMES).contains_key(&name));
    }

    #[test]
    fn census_loses_nothing_while_threads_make_and_drop_breakers_of_one_name() {
        let name = Name::from("busy census");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let member = Membership::new(&name, State::Closed);
                        member.turned(State::Open);
                    }
                });
            }
        });
        assert!(!unpoisoned(&NAMES).contains_key(&name));
        let last = Membership::new(&name, State::Closed);
        assert_eq!(counts(&name), Some([1, 0, 0, 0, 0]));
        drop(last);
    }
}
