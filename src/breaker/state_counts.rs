use std::{
    collections::HashMap,
    sync::{self, Arc, LazyLock, PoisonError, Weak},
};

use metrics::{Gauge, Unit};

use super::state::CircuitState;
use crate::{
    call::{Label, catch_hook},
    util::{
        shared_gauges::SharedGauges,
        sync::{Mutex, MutexGuard},
    },
};

/// Number of breakers in each state, by [`CircuitState::ALL`].
pub(super) type PerState = [u64; 5];

type NameMap = HashMap<Label, Weak<StateCounts>>;

/// The names of all breakers that are alive. Locked when a breaker or a keyed set is created, and when the last of a name
/// is dropped.
static NAMES: LazyLock<sync::Mutex<NameMap>> = LazyLock::new(sync::Mutex::default);

fn lock_names() -> sync::MutexGuard<'static, NameMap> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of breakers of one name in each state, in this process, for `tower_keep_breaker_state`: single ones, and
/// those of all keys of all keyed sets.
///
/// A gauge for each breaker would be one series for all of a name, and show the state of the one that changed last.
pub(super) struct StateCounts {
    name: Label,
    counts: Mutex<PerState>,
    gauges: SharedGauges<[Gauge; 5]>,
}

impl StateCounts {
    /// Returns the counts of that name, which live as long as they are held.
    pub(super) fn get_or_create(name: &Label) -> Arc<Self> {
        let mut names = lock_names();
        if let Some(counts) = names.get(name).and_then(Weak::upgrade) {
            return counts;
        }
        // Replaces counts that are about to be dropped, whose `Drop` leaves the new ones alone.
        let counts = Arc::new(StateCounts {
            name: name.clone(),
            counts: Mutex::default(),
            gauges: SharedGauges::new(),
        });
        names.insert(name.clone(), Arc::downgrade(&counts));
        counts
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, PerState> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the counts to a recorder that does not have them.
    pub(super) fn report(&self) {
        if !self.gauges.is_registered() {
            self.update(|_| ());
        }
    }

    /// Changes the counts, and reports them in the order of the changes.
    pub(super) fn update(&self, change: impl FnOnce(&mut PerState)) {
        let make = || state_gauges(&self.name);
        // Before the lock is taken: a thread that creates the gauges must not wait for one that waits for them.
        catch_hook(|| self.gauges.register(make));
        let mut counts = self.lock();
        change(&mut counts);
        // Reports to a recorder that has been replaced as well, so that it does not keep an old value forever.
        catch_hook(|| self.gauges.for_each(|gauges| set_gauges(gauges, &counts)));
    }
}

impl Drop for StateCounts {
    fn drop(&mut self) {
        let mut names = lock_names();
        // Another thread may have created new counts of the name since the last reference was dropped.
        if names
            .get(&self.name)
            .is_some_and(|counts| counts.strong_count() == 0)
        {
            names.remove(&self.name);
        }
    }
}

/// Creates a gauge for each state.
fn state_gauges(breaker: &Label) -> [Gauge; 5] {
    metrics::describe_counter!(
        "tower_keep_breaker_transitions_total",
        Unit::Count,
        "Changes of a circuit breaker's state."
    );
    metrics::describe_gauge!(
        "tower_keep_breaker_state",
        Unit::Count,
        "Circuit breakers of the name in the state, keys included."
    );
    CircuitState::ALL.map(|state| {
        let name = breaker.to_string();
        metrics::gauge!("tower_keep_breaker_state", "breaker" => name, "state" => state.as_str())
    })
}

fn set_gauges(gauges: &[Gauge; 5], counts: &PerState) {
    for (gauge, count) in gauges.iter().zip(counts) {
        gauge.set(*count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Reporter, *};

    fn counts(name: &Label) -> Option<PerState> {
        let counts = lock_names().get(name).and_then(Weak::upgrade)?;
        let locked = *counts.lock();
        Some(locked)
    }

    fn closed(name: &Label) -> Reporter {
        let reporter = Reporter::new(name);
        reporter.register(CircuitState::Closed);
        reporter
    }

    #[test]
    fn state_counts_of_a_name_are_dropped_with_its_last_breaker() {
        let name = Label::from("state counts");
        let [one, other] = [closed(&name), closed(&name)];
        assert_eq!(counts(&name), Some([2, 0, 0, 0, 0]));
        one.set_counted_state(CircuitState::Open);
        other.set_counted_state(CircuitState::Disabled);
        assert_eq!(counts(&name), Some([0, 1, 0, 0, 1]));
        drop(one);
        assert_eq!(counts(&name), Some([0, 0, 0, 0, 1]));
        drop(other);
        assert!(!lock_names().contains_key(&name));
    }

    #[test]
    fn state_counts_are_exact_while_threads_create_and_drop_breakers_of_one_name() {
        let name = Label::from("busy state counts");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        closed(&name).set_counted_state(CircuitState::Open);
                    }
                });
            }
        });
        assert!(!lock_names().contains_key(&name));
        let last = closed(&name);
        assert_eq!(counts(&name), Some([1, 0, 0, 0, 0]));
        drop(last);
    }
}
