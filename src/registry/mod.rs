//! Lists the guards of the process with their state and stats: every circuit breaker, keyed set of breakers, retry,
//! fallback and time limit, and custom guards that are [registered](register).
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
//! A guard is removed from the list when the last of its handles, layers and services is dropped. Names need not be unique:
//! two guards with the same name are two entries.

mod guard_list;
mod inspect;
mod snapshot;
mod stat;
mod stats;

use std::sync::{Arc, Weak};

use self::guard_list::GuardList;
pub use self::{inspect::Inspect, snapshot::Snapshot, stat::Stat, stats::Stats};
use crate::call::catch_hook;

static GUARDS: GuardList = GuardList::new();

/// Returns snapshots of all guards, sorted by kind and name. A guard whose `Inspect` panics is left out.
pub fn snapshots() -> Vec<Snapshot> {
    // The list is unlocked before guards are inspected, because they take locks themselves.
    let guards = GUARDS.live();
    let mut all: Vec<_> = guards
        .iter()
        .filter_map(|guard| catch_hook(|| Snapshot::new(&**guard)))
        .collect();
    all.sort_by(|a, b| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
    all
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
        let [b, a, broken] = ["b", "a", "broken"].map(|name| Arc::new(FakeGuard(name)));
        for bulb in [&b, &a, &broken] {
            register(bulb);
        }
        assert_eq!(fake_guard_names(), ["a", "b"]);
        drop(a);
        assert_eq!(fake_guard_names(), ["b"]);
    }

    #[test]
    fn registry_removes_dropped_guards() {
        let guards = GuardList::new();
        let alive = Arc::new(FakeGuard("alive"));
        for _ in 0..10_000 {
            let weak: Weak<FakeGuard> = Arc::downgrade(&Arc::new(FakeGuard("dead")));
            guards.register(weak);
            let weak: Weak<FakeGuard> = Arc::downgrade(&alive);
            if guards.live().is_empty() {
                guards.register(weak);
            }
        }
        assert_eq!(guards.live().len(), 1);
        assert!(guards.capacity() <= 64);
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
