//! Lists the guards of the process: the state and the figures of every breaker, keyed set of breakers, retry, fallback and
//! time limit of the process, and of guards of one's own that are [entered](register).
//!
//! Trackers and operations are not among them: what they count is in metrics. Guards enter themselves when they are built,
//! as weak references, so that a list for a health page or an operations console needs no wiring. With the feature `serde`,
//! a [`Snapshot`] is JSON:
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
//! A guard leaves the list when the last of its handles, layers and services is dropped. Names are not keys: two
//! guards of one name are two entries.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use crate::call::catch_hook;

/// Something that can be listed.
pub trait Inspect: Send + Sync {
    /// What it is, in lower case, words joined by `_`: `circuit_breaker`.
    fn kind(&self) -> &'static str;

    /// Its name.
    fn name(&self) -> &str;

    /// Its state in one word, as in metrics.
    fn state(&self) -> &'static str;

    /// Its figures.
    fn stats(&self, stats: &mut Stats);
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum Stat {
    /// A number of things.
    Count(u64),
    /// A fraction, or a time in seconds.
    Number(f64),
    /// A word.
    Text(String),
    /// Known to be unknown.
    Unknown,
}

/// The figures of a guard, in the order that they were added in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats(Vec<(&'static str, Stat)>);

impl Stats {
    /// Adds a number of things.
    pub fn count(&mut self, name: &'static str, count: impl Into<u64>) {
        self.0.push((name, Stat::Count(count.into())));
    }

    /// Adds a fraction or the like.
    pub fn number(&mut self, name: &'static str, number: f64) {
        self.0.push((name, Stat::Number(number)));
    }

    /// Adds a time, in seconds; the name should end in `_seconds`.
    pub fn seconds(&mut self, name: &'static str, time: impl Into<Option<Duration>>) {
        let stat = time
            .into()
            .map_or(Stat::Unknown, |time| Stat::Number(time.as_secs_f64()));
        self.0.push((name, stat));
    }

    /// Adds a word, if there is one.
    pub fn text(&mut self, name: &'static str, text: Option<impl fmt::Display>) {
        let stat = text.map_or(Stat::Unknown, |text| Stat::Text(text.to_string()));
        self.0.push((name, stat));
    }

    /// The figures by their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Stat)> {
        self.0.iter().map(|(name, stat)| (*name, stat))
    }
}

/// As an object, in the order that the figures were added in.
#[cfg(feature = "serde")]
impl serde::Serialize for Stats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// What a guard shows of itself at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Snapshot {
    kind: &'static str,
    name: String,
    state: &'static str,
    stats: Stats,
}

impl Snapshot {
    /// Asks a guard what it shows.
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

    /// What it is.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state in one word.
    pub fn state(&self) -> &'static str {
        self.state
    }

    /// All its figures.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// One of its figures.
    pub fn stat(&self, name: &str) -> Option<&Stat> {
        let found = self.stats.iter().find(|(each, _)| *each == name);
        found.map(|(_, stat)| stat)
    }
}

static GUARDS: GuardList = GuardList(Mutex::new(Vec::new()));

/// Every guard that is alive, by kind and name. One that panics when it is asked is left out.
pub fn snapshots() -> Vec<Snapshot> {
    // Guards are asked without the lock: they have locks of their own.
    let alive = GUARDS.live();
    let mut all: Vec<_> = alive
        .iter()
        .filter_map(|guard| catch_hook(|| Snapshot::new(&**guard)))
        .collect();
    all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    all
}

/// Enters a guard of one's own; it leaves the list when the last strong reference to it is dropped.
pub fn register<G: Inspect + 'static>(guard: &Arc<G>) {
    let weak: Weak<G> = Arc::downgrade(guard);
    GUARDS.register(weak);
}

struct GuardList(Mutex<Vec<Weak<dyn Inspect>>>);

impl GuardList {
    fn register(&self, guard: Weak<dyn Inspect>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The dead are swept whenever the list would grow, so that it is at most twice as long as it must be.
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
    fn guards_are_listed_by_name_while_they_live_and_a_broken_one_is_left_out() {
        let [b, a, broken] = ["b", "a", "broken"].map(|name| Arc::new(FakeGuard(name)));
        for bulb in [&b, &a, &broken] {
            register(bulb);
        }
        assert_eq!(fake_guard_names(), ["a", "b"]);
        drop(a);
        assert_eq!(fake_guard_names(), ["b"]);
    }

    #[test]
    fn the_dead_do_not_pile_up() {
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
    fn a_snapshot_is_an_object_of_plain_figures() {
        let json = serde_json::to_string(&Snapshot::new(&FakeGuard("b"))).expect("json");
        let figures =
            r#"{"switched":3,"load":0.5,"lit_seconds":1.5,"left_seconds":null,"colour":"red"}"#;
        assert_eq!(
            json,
            format!(r#"{{"kind":"bulb","name":"b","state":"on","stats":{figures}}}"#)
        );
    }
}
