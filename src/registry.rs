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
//! let shown = all.iter().find(|guard| guard.name() == "payments").expect("built above");
//! assert_eq!((shown.kind(), shown.state()), ("circuit_breaker", "closed"));
//! assert!(shown.stat("calls").is_some());
//! # drop(breaker);
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```
//!
//! A guard is removed from the list when the last of its handles, layers and services is dropped. Names need not be unique:
//! two guards with the same name are two entries.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use crate::call::catch_hook;

/// A guard that can be listed.
///
/// Implement it for a custom guard, and [`register`] it.
pub trait Inspect: Send + Sync {
    /// Returns the kind of guard in snake case, such as `circuit_breaker`.
    fn kind(&self) -> &'static str;

    /// Returns the name.
    fn name(&self) -> &str;

    /// Returns the state in one word, as in metrics.
    fn state(&self) -> &'static str;

    /// Adds the stats of the guard.
    fn stats(&self, stats: &mut Stats);
}

/// A value of [`Stats`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum Stat {
    /// A count.
    Count(u64),
    /// A fraction, or a time in seconds.
    Number(f64),
    /// A text.
    Text(String),
    /// An unknown value; `null` in JSON.
    Unknown,
}

/// The stats of a guard, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats(Vec<(&'static str, Stat)>);

impl Stats {
    /// Adds a count.
    pub fn count(&mut self, name: &'static str, count: impl Into<u64>) {
        self.0.push((name, Stat::Count(count.into())));
    }

    /// Adds a number, such as a fraction.
    pub fn number(&mut self, name: &'static str, number: f64) {
        self.0.push((name, Stat::Number(number)));
    }

    /// Adds a time in seconds, or an unknown value for `None`. The name should end in `_seconds`.
    pub fn seconds(&mut self, name: &'static str, time: impl Into<Option<Duration>>) {
        let stat = time
            .into()
            .map_or(Stat::Unknown, |time| Stat::Number(time.as_secs_f64()));
        self.0.push((name, stat));
    }

    /// Adds a text, or an unknown value for `None`.
    pub fn text(&mut self, name: &'static str, text: Option<impl fmt::Display>) {
        let stat = text.map_or(Stat::Unknown, |text| Stat::Text(text.to_string()));
        self.0.push((name, stat));
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Stat)> {
        self.0.iter().map(|(name, stat)| (*name, stat))
    }
}

/// Serializes the stats as an object, in the order in which they were added.
#[cfg(feature = "serde")]
impl serde::Serialize for Stats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The state and stats of a guard at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Snapshot {
    kind: &'static str,
    name: String,
    state: &'static str,
    stats: Stats,
}

impl Snapshot {
    /// Creates a snapshot of a guard.
    pub fn new(guard: &dyn Inspect) -> Self {
        let mut stats = Stats::default();
        guard.stats(&mut stats);
        Snapshot {
            kind: guard.kind(),
            name: guard.name().to_owned(),
            state: guard.state(),
            stats,
        }
    }

    /// Returns the kind of guard.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state in one word.
    pub fn state(&self) -> &'static str {
        self.state
    }

    /// Returns the stats.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the value of a stat.
    pub fn stat(&self, name: &str) -> Option<&Stat> {
        let found = self.stats.iter().find(|(each, _)| *each == name);
        found.map(|(_, stat)| stat)
    }
}

static GUARDS: GuardList = GuardList(Mutex::new(Vec::new()));

/// Returns snapshots of all guards, sorted by kind and name. A guard whose `Inspect` panics is left out.
pub fn snapshots() -> Vec<Snapshot> {
    // The list is unlocked before guards are inspected, because they take locks themselves.
    let alive = GUARDS.live();
    let mut all: Vec<_> = alive
        .iter()
        .filter_map(|guard| catch_hook(|| Snapshot::new(&**guard)))
        .collect();
    all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
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

struct GuardList(Mutex<Vec<Weak<dyn Inspect>>>);

impl GuardList {
    fn register(&self, guard: Weak<dyn Inspect>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped guards are removed whenever the list would grow, so that it is at most twice as long as needed.
        if all.len() == all.capacity() {
            all.retain(|guard| guard.strong_count() > 0);
            let room = all.len().max(16);
            all.reserve_exact(room);
        }
        all.push(guard);
    }

    fn live(&self) -> Vec<Arc<dyn Inspect>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
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
            stats.text("colour", Some("red"));
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
        let guards = GuardList(Mutex::new(Vec::new()));
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
        assert!(guards.0.lock().expect("no panic").capacity() <= 64);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn snapshot_serializes_to_flat_object() {
        let json = serde_json::to_string(&Snapshot::new(&FakeGuard("b"))).expect("json");
        let figures =
            r#"{"switched":3,"load":0.5,"lit_seconds":1.5,"left_seconds":null,"colour":"red"}"#;
        assert_eq!(
            json,
            format!(r#"{{"kind":"bulb","name":"b","state":"on","stats":{figures}}}"#)
        );
    }
}
