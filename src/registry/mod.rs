//! Lists the guards of the process with their state and stats: every circuit breaker, keyed set of breakers, bulkhead,
//! retry, fallback, time limit and [chaos](crate::chaos), and custom guards that are [registered](register).
//!
//! Use it for a health page or an operations console. Guards register themselves when they are built, as weak references.
//! Trackers and operations are not listed, because metrics have all that they count. With the feature `serde`, a
//! [`Snapshot`] serializes to JSON.
//!
//! ```
//! use tower_keep::{CircuitBreaker, registry};
//!
//! let breaker = CircuitBreaker::builder("payments").build()?;
//! let all = registry::snapshots();
//! let snapshot = all.iter().find(|guard| guard.name() == "payments").expect("built above");
//! assert_eq!((snapshot.kind(), snapshot.state()), ("circuit_breaker", "closed"));
//! assert!(snapshot.stat("calls").is_some());
//! # drop(breaker);
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```
//!
//! [`subscribe`] reports the transitions of all circuit breakers and chaoses of the process, for an alert or an audit log.
//!
//! A guard is removed from the list when the last of its handles, layers and services is dropped. If that happens while a
//! snapshot of this very guard is taken, the thread that takes it drops the guard afterwards. Names need not be unique: two
//! guards with the same name are two entries.

mod action;
mod guard_list;
mod inspect;
mod limit_change;
mod setting;
mod snapshot;
mod stat;
mod stats;
mod subscribers;
mod transition;

use std::sync::{Arc, Weak};

use tokio::sync::broadcast;

use self::guard_list::GuardList;
pub(crate) use self::subscribers::publish;
pub use self::{
    action::{GuardAction, UnknownGuardAction},
    inspect::Inspect,
    limit_change::LimitChange,
    setting::Setting,
    snapshot::Snapshot,
    stat::Stat,
    stats::Stats,
    transition::GuardTransition,
};
use crate::call::{ConfigError, catch_hook};

static GUARDS: GuardList = GuardList::new();

/// Returns snapshots of all guards, sorted by kind and name. A guard whose `Inspect` panics is left out.
pub fn snapshots() -> Vec<Snapshot> {
    // A copy: the list is unlocked before guards are inspected, because they take locks themselves.
    let guards = GUARDS.list();
    let inspect = |guard: &Weak<dyn Inspect>| {
        // Held for its own snapshot alone. If its last handle is dropped meanwhile, the guard is dropped here: inside the
        // hook, since that is the guard's code as well.
        let guard = guard.upgrade()?;
        Some(Snapshot::new(&*guard))
    };
    let mut all: Vec<_> = guards
        .iter()
        .filter_map(|guard| catch_hook(|| inspect(guard)).flatten())
        .collect();
    all.sort_by(|a, b| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
    all
}

/// Does an action on each guard of this kind and name, and returns how many did it: those that have the action. For an operator
/// who sees the guard in a console and has no handle of it.
///
/// ```
/// use tower_keep::{CircuitBreaker, registry::{self, GuardAction}};
///
/// let breaker = CircuitBreaker::builder("ledger").build()?;
/// let done = registry::act("circuit_breaker", "ledger", GuardAction::ForceOpen);
/// assert_eq!((done, breaker.is_rejecting()), (1, true));
/// assert_eq!(registry::act("circuit_breaker", "none of this name", GuardAction::Reset), 0);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
pub fn act(kind: &str, name: &str, action: GuardAction) -> usize {
    let act = |guard: &Weak<dyn Inspect>| {
        let guard = guard.upgrade()?;
        let is_meant = guard.kind() == kind && guard.name() == name;
        (is_meant && guard.actions().contains(&action)).then(|| guard.act(action))
    };
    let guards = GUARDS.list();
    let done = guards
        .iter()
        .filter_map(|guard| catch_hook(|| act(guard)).flatten());
    done.count()
}

/// Changes a setting of each guard of this kind and name, and returns how many have it. `None` switches off what it is for. For
/// an operator who sees the guard in a console and has no handle of it.
///
/// It is as if all settings were applied with this one changed: what other threads apply at the same moment is lost, or wins.
///
/// ```
/// use tower_keep::{CircuitBreaker, registry};
///
/// let breaker = CircuitBreaker::builder("quotes by hand").build()?;
/// let set = |value| registry::set("circuit_breaker", "quotes by hand", "failure_rate", Some(value));
/// assert_eq!(set(0.2), Ok(1));
/// assert_eq!(breaker.settings().failure_rate, Some(0.2));
///
/// let error = set(20.0).unwrap_err().to_string();
/// assert_eq!(error, r#"circuit_breaker "quotes by hand": failure_rate is 20, must be 0.001 to 1, or off"#);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Errors
///
/// Returns the error of the first guard that cannot have this value. Guards that had it set before keep it.
pub fn set(
    kind: &str,
    name: &str,
    setting: &str,
    value: Option<f64>,
) -> Result<usize, ConfigError> {
    let set = |guard: &Weak<dyn Inspect>| {
        let guard = guard.upgrade()?;
        if guard.kind() != kind || guard.name() != name {
            return None;
        }
        let settings = guard.settings();
        let known = settings.iter().find(|known| known.name() == setting)?;
        let checked = known.check(&format!("{kind} {name:?}"), value);
        Some(checked.and_then(|()| guard.set(setting, value)))
    };
    let guards = GUARDS.list();
    let results = guards
        .iter()
        .filter_map(|guard| catch_hook(|| set(guard)).flatten());
    results.map(|result| result.map(|()| 1)).sum()
}

/// Registers a custom guard. It is removed when the last strong reference to it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use tower_keep::registry::{self, Inspect, Stats};
///
/// struct Pool;
/// impl Inspect for Pool {
///     fn kind(&self) -> &'static str { "pool" }
///     fn name(&self) -> &str { "orders-db" }
///     fn state(&self) -> &'static str { "open" }
///     fn stats(&self, stats: &mut Stats) { stats.count("connections", 5_u64); }
/// }
///
/// let pool = Arc::new(Pool);
/// registry::register(&pool);
/// assert!(registry::snapshots().iter().any(|guard| guard.name() == "orders-db"));
/// ```
pub fn register<G: Inspect + 'static>(guard: &Arc<G>) {
    let weak: Weak<G> = Arc::downgrade(guard);
    GUARDS.register(weak);
}

/// Subscribes to all later transitions of all circuit breakers of the process, keys included, of each [throttle](crate::throttle) and
/// [prioritizer](crate::priority), to the ejections of each balancer, to the switching of each [chaos](crate::chaos), and to the [reports](crate::adaptive#reports) of
/// limits that adapt themselves. Those of one breaker come in order. A receiver that lags by more than 64 gets `Lagged`.
///
/// A caller that subscribes first and then reads [`snapshots`] misses no state. Without a subscriber, transitions cost nothing here.
///
/// ```
/// use tower_keep::{CircuitBreaker, registry};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// let mut transitions = registry::subscribe();
/// CircuitBreaker::builder("payments").build()?.force_open();
///
/// let transition = transitions.recv().await?;
/// assert_eq!((transition.kind, transition.name.as_str()), ("circuit_breaker", "payments"));
/// assert_eq!((transition.from, transition.to), ("closed", "forced_open"));
/// assert_eq!(transition.reason, "forced_open");
/// # Ok(()) }
/// ```
pub fn subscribe() -> broadcast::Receiver<GuardTransition> {
    subscribers::subscribe()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, MutexGuard, PoisonError},
        time::Duration,
    };

    use super::*;

    /// Waits until no other test lists guards, which would keep them alive meanwhile.
    fn list_alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    struct FakeGuard(&'static str);

    impl Inspect for FakeGuard {
        fn kind(&self) -> &'static str {
            "bulb"
        }
        fn name(&self) -> &str {
            self.0
        }
        fn state(&self) -> &'static str {
            if self.0 == "broken" {
                panic!("broken")
            } else {
                "on"
            }
        }
        fn stats(&self, stats: &mut Stats) {
            stats.count("switched", 3_u64);
            stats.number("load", 0.5);
            stats.seconds("lit_seconds", Duration::from_millis(1500));
            stats.seconds("left_seconds", None);
            stats.text("color", Some("red"));
        }
    }

    fn fake_guard_names() -> Vec<String> {
        let all = snapshots();
        let bulbs = all.iter().filter(|guard| guard.kind() == "bulb");
        bulbs.map(|guard| guard.name().to_owned()).collect()
    }

    #[test]
    fn snapshots_list_live_guards_by_name_without_panicking_ones() {
        let _alone = list_alone();
        let [b, a, broken] = ["b", "a", "broken"].map(|name| Arc::new(FakeGuard(name)));
        for bulb in [&b, &a, &broken] {
            register(bulb);
        }
        assert_eq!(fake_guard_names(), ["a", "b"]);
        drop(a);
        assert_eq!(fake_guard_names(), ["b"]);
    }

    /// A guard that holds another one until it is inspected.
    struct LastHolder(Mutex<Option<Arc<FakeGuard>>>);

    impl Inspect for LastHolder {
        fn kind(&self) -> &'static str {
            "holder"
        }
        fn name(&self) -> &str {
            "holder"
        }
        fn state(&self) -> &'static str {
            let held = self.0.lock().expect("not poisoned").take();
            let weak = held.as_ref().map(Arc::downgrade);
            drop(held);
            match weak.is_some_and(|weak| weak.strong_count() > 0) {
                true => "kept alive",
                false => "dropped",
            }
        }
        fn stats(&self, _: &mut Stats) {}
    }

    /// The list held every guard until all were inspected: the gauges of one that was dropped meanwhile went down late,
    /// and its switch was released late.
    #[test]
    fn snapshots_keep_no_guard_alive_while_they_inspect_another() {
        let _alone = list_alone();
        let held = Arc::new(FakeGuard("held"));
        // On both sides of the holder, whichever way the list is read.
        register(&held);
        let holder = Arc::new(LastHolder(Mutex::new(None)));
        register(&holder);
        register(&held);
        *holder.0.lock().expect("not poisoned") = Some(held);
        let all = snapshots();
        let state = all.iter().find(|guard| guard.kind() == "holder");
        assert_eq!(state.expect("registered").state(), "dropped");
        let names = fake_guard_names();
        assert!(!names.iter().any(|name| name == "held"), "{names:?}");
    }

    /// The panic went to whoever read the list.
    #[test]
    fn snapshots_survive_the_drop_of_a_guard_that_panics() {
        struct PanicsOnDrop(Mutex<Option<Arc<PanicsOnDrop>>>);
        impl Inspect for PanicsOnDrop {
            fn kind(&self) -> &'static str {
                "panics on drop"
            }
            fn name(&self) -> &str {
                "last"
            }
            fn state(&self) -> &'static str {
                // The program drops its handle now; the list has the last one.
                drop(self.0.lock().expect("not poisoned").take());
                "on"
            }
            fn stats(&self, _: &mut Stats) {}
        }
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("a drop"));
            }
        }

        let _alone = list_alone();
        let guard = Arc::new(PanicsOnDrop(Mutex::new(None)));
        register(&guard);
        let slot = Arc::downgrade(&guard);
        *slot
            .upgrade()
            .expect("held")
            .0
            .lock()
            .expect("not poisoned") = Some(guard);
        let panics = crate::hook_panics();
        snapshots();
        assert!(slot.upgrade().is_none());
        assert!(crate::hook_panics() > panics, "counted");
    }

    #[test]
    fn registry_removes_dropped_guards() {
        let live = |guards: &GuardList| {
            let all = guards.list();
            all.iter().filter_map(Weak::upgrade).count()
        };
        let guards = GuardList::new();
        let alive = Arc::new(FakeGuard("alive"));
        for _ in 0..10_000 {
            let weak: Weak<FakeGuard> = Arc::downgrade(&Arc::new(FakeGuard("dead")));
            guards.register(weak);
            let weak: Weak<FakeGuard> = Arc::downgrade(&alive);
            if live(&guards) == 0 {
                guards.register(weak);
            }
        }
        assert_eq!(live(&guards), 1);
        assert!(guards.capacity() <= 64);
    }

    #[test]
    fn guard_list_keeps_live_guards_when_it_grows() {
        let guards = GuardList::new();
        let alive = Arc::new(FakeGuard("alive"));
        let register = |count| {
            for _ in 0..count {
                let weak: Weak<FakeGuard> = Arc::downgrade(&alive);
                guards.register(weak);
            }
            (guards.list().len(), guards.capacity())
        };
        assert_eq!(register(16), (16, 16));
        assert_eq!(register(1), (17, 32));
    }

    #[test]
    fn snapshot_has_stats_by_name_and_actions() {
        let snapshot = Snapshot::new(&FakeGuard("b"));
        assert_eq!(snapshot.stats().iter().count(), 5);
        assert_eq!(snapshot.stat("load"), Some(&Stat::Number(0.5)));
        assert_eq!(snapshot.stat("none"), None);
        assert!(snapshot.actions().is_empty());
        let _alone = list_alone();
        let breaker = crate::CircuitBreaker::new("with-actions");
        let all = snapshots();
        let found = all.iter().find(|guard| guard.name() == "with-actions");
        let actions = found.expect("registered").actions();
        assert!(actions.contains(&GuardAction::ForceOpen));
        drop(breaker);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn snapshot_serializes_to_flat_object() {
        let json = serde_json::to_string(&Snapshot::new(&FakeGuard("b"))).expect("json");
        let figures =
            r#"{"switched":3,"load":0.5,"lit_seconds":1.5,"left_seconds":null,"color":"red"}"#;
        assert_eq!(
            json,
            format!(r#"{{"kind":"bulb","name":"b","state":"on","stats":{figures}}}"#)
        );
    }
}
