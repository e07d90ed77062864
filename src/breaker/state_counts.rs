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

use super::{sinks::state_gauges, state::CircuitState};
use crate::{
    call::{Label, catch_hook},
    util::{
        shared_gauges::SharedGauges,
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicUsize, Ordering},
        },
    },
};

/// Number of breakers in each state, by [`CircuitState::ALL`].
pub(super) type PerState = [u64; 5];

type NameMap = HashMap<Label, Weak<StateCounts>>;

/// The names of breakers that are alive, each with its counts. Locked when a breaker or a set is made, and when the last
/// of a name is dropped.
static NAMES: LazyLock<sync::Mutex<NameMap>> = LazyLock::new(sync::Mutex::default);

fn lock_names() -> sync::MutexGuard<'static, NameMap> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The breakers of one name.
pub(super) struct StateCounts {
    name: Label,
    counts: Mutex<PerState>,
    gauges: SharedGauges<[Gauge; 5]>,
}

impl StateCounts {
    /// Returns the one of that name, as long as anybody holds it.
    pub(super) fn get_or_create(name: &Label) -> Arc<Self> {
        let mut names = lock_names();
        if let Some(census) = names.get(name).and_then(Weak::upgrade) {
            return census;
        }
        let census = Arc::new(StateCounts {
            name: name.clone(),
            counts: Mutex::default(),
            gauges: SharedGauges::new(),
        });
        names.insert(name.clone(), Arc::downgrade(&census));
        census
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, PerState> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn report(&self) {
        if !self.gauges.is_registered() {
            self.update(|_| ());
        }
    }

    /// Changes the counts, and shows them in the order of the changes.
    pub(super) fn update(&self, change: impl FnOnce(&mut PerState)) {
        let make = || state_gauges(&self.name);
        // First, and without the lock: whoever makes the gauges must not wait for one who waits for them.
        catch_hook(|| self.gauges.register(make));
        let mut counts = self.lock();
        change(&mut counts);
        // A recorder that has been replaced meanwhile is told as well: what it shows must not stay for ever.
        catch_hook(|| self.gauges.for_each(|gauges| set_gauges(gauges, &counts)));
    }
}

impl Drop for StateCounts {
    fn drop(&mut self) {
        let mut names = lock_names();
        // The name may have a new one already.
        if names
            .get(&self.name)
            .is_some_and(|it| it.strong_count() == 0)
        {
            names.remove(&self.name);
        }
    }
}

fn set_gauges(gauges: &[Gauge; 5], counts: &PerState) {
    for (gauge, count) in gauges.iter().zip(counts) {
        gauge.set(*count as f64);
    }
}

/// One breaker in the counts of its name; dropping it takes it out.
pub(super) struct StateCountGuard {
    counts: Arc<StateCounts>,
    /// Changed under the lock of the counts.
    state: AtomicUsize,
}

impl StateCountGuard {
    pub(super) fn new(name: &Label, state: CircuitState) -> Self {
        let census = StateCounts::get_or_create(name);
        census.update(|counts| counts[state as usize] += 1);
        StateCountGuard {
            counts: census,
            state: AtomicUsize::new(state as usize),
        }
    }

    /// The breaker is in another state now.
    pub(super) fn transition(&self, to: CircuitState) {
        self.counts.update(|counts| {
            counts[self.state.swap(to as usize, Ordering::Relaxed)] -= 1;
            counts[to as usize] += 1;
        });
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn report(&self) {
        self.counts.report();
    }
}

impl Drop for StateCountGuard {
    fn drop(&mut self) {
        let state = self.state.load(Ordering::Relaxed);
        self.counts.update(|counts| counts[state] -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &Label) -> Option<PerState> {
        let census = lock_names().get(name).and_then(Weak::upgrade)?;
        let counts = *census.lock();
        Some(counts)
    }

    #[test]
    fn census_counts_the_breakers_of_a_name_by_state_and_forgets_the_name_with_the_last() {
        let name = Label::from("census");
        let one = StateCountGuard::new(&name, CircuitState::Closed);
        let other = StateCountGuard::new(&name, CircuitState::Closed);
        assert_eq!(counts(&name), Some([2, 0, 0, 0, 0]));
        one.transition(CircuitState::Open);
        other.transition(CircuitState::Disabled);
        assert_eq!(counts(&name), Some([0, 1, 0, 0, 1]));
        drop(one);
        assert_eq!(counts(&name), Some([0, 0, 0, 0, 1]));
        drop(other);
        assert!(!lock_names().contains_key(&name));
    }

    #[test]
    fn census_loses_nothing_while_threads_make_and_drop_breakers_of_one_name() {
        let name = Label::from("busy census");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let member = StateCountGuard::new(&name, CircuitState::Closed);
                        member.transition(CircuitState::Open);
                    }
                });
            }
        });
        assert!(!lock_names().contains_key(&name));
        let last = StateCountGuard::new(&name, CircuitState::Closed);
        assert_eq!(counts(&name), Some([1, 0, 0, 0, 0]));
        drop(last);
    }
}
