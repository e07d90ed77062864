//! Counts the breakers of a name in each state, in this process, for `tower_keep_breaker_state`: single ones, and those of
//! all keys of all keyed sets.
//!
//! A gauge for each breaker, or for each set, would be one series for all of a name, and show the state of whichever
//! changed last.

use std::{
    collections::HashMap,
    sync::{self, Arc, LazyLock, PoisonError, Weak},
};

use metrics::Gauge;

use super::{outlets::state_gauges, state::State};
use crate::{
    call::{Name, quietly},
    util::{
        shown::Shown,
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicUsize, Ordering},
        },
    },
};

/// Number of breakers in each state, by [`State::ALL`].
pub(super) type Counts = [u64; 5];

type Names = HashMap<Name, Weak<Census>>;

/// The names of breakers that are alive, each with its counts. Locked when a breaker or a set is made, and when the last
/// of a name is dropped.
static NAMES: LazyLock<sync::Mutex<Names>> = LazyLock::new(sync::Mutex::default);

fn names() -> sync::MutexGuard<'static, Names> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The breakers of one name.
pub(super) struct Census {
    name: Name,
    counts: Mutex<Counts>,
    gauges: Shown<[Gauge; 5]>,
}

impl Census {
    /// Returns the one of that name, as long as anybody holds it.
    pub(super) fn of(name: &Name) -> Arc<Self> {
        let mut names = names();
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

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn show(&self) {
        if !self.gauges.has_met() {
            self.change(|_| ());
        }
    }

    /// Changes the counts, and shows them in the order of the changes.
    pub(super) fn change(&self, change: impl FnOnce(&mut Counts)) {
        let make = || state_gauges(&self.name);
        // First, and without the lock: whoever makes the gauges must not wait for one who waits for them.
        quietly(|| self.gauges.meet(make));
        let mut counts = self.lock();
        change(&mut counts);
        // A recorder that has been replaced meanwhile is told as well: what it shows must not stay for ever.
        quietly(|| self.gauges.each(|gauges| set(gauges, &counts)));
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        let mut names = names();
        // The name may have a new one already.
        if names
            .get(&self.name)
            .is_some_and(|it| it.strong_count() == 0)
        {
            names.remove(&self.name);
        }
    }
}

fn set(gauges: &[Gauge; 5], counts: &Counts) {
    for (gauge, count) in gauges.iter().zip(counts) {
        gauge.set(*count as f64);
    }
}

/// One breaker in the counts of its name; dropping it takes it out.
pub(super) struct Membership {
    census: Arc<Census>,
    /// Changed under the lock of the counts.
    state: AtomicUsize,
}

impl Membership {
    pub(super) fn new(name: &Name, state: State) -> Self {
        let census = Census::of(name);
        census.change(|counts| counts[state as usize] += 1);
        Membership {
            census,
            state: AtomicUsize::new(state as usize),
        }
    }

    /// The breaker is in another state now.
    pub(super) fn turned(&self, to: State) {
        self.census.change(|counts| {
            counts[self.state.swap(to as usize, Ordering::Relaxed)] -= 1;
            counts[to as usize] += 1;
        });
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn show(&self) {
        self.census.show();
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let state = self.state.load(Ordering::Relaxed);
        self.census.change(|counts| counts[state] -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &Name) -> Option<Counts> {
        let census = names().get(name).and_then(Weak::upgrade)?;
        let counts = *census.lock();
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
        assert!(!names().contains_key(&name));
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
        assert!(!names().contains_key(&name));
        let last = Membership::new(&name, State::Closed);
        assert_eq!(counts(&name), Some([1, 0, 0, 0, 0]));
        drop(last);
    }
}
