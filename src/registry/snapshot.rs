use super::{GuardAction, Inspect, Setting, Stat, Stats};

/// The state and stats of a guard at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Snapshot {
    kind: &'static str,
    name: String,
    state: &'static str,
    stats: Stats,
    #[cfg_attr(feature = "serde", serde(skip))]
    actions: &'static [GuardAction],
    #[cfg_attr(feature = "serde", serde(skip))]
    settings: Vec<Setting>,
}

impl Snapshot {
    /// Creates a snapshot of a guard, registered or not.
    ///
    /// ```
    /// use tower_keep::registry::{Inspect, Snapshot, Stats};
    ///
    /// struct Pool;
    /// impl Inspect for Pool {
    ///     fn kind(&self) -> &'static str { "pool" }
    ///     fn name(&self) -> &str { "orders-db" }
    ///     fn state(&self) -> &'static str { "open" }
    ///     fn stats(&self, _: &mut Stats) {}
    /// }
    /// assert_eq!(Snapshot::new(&Pool).state(), "open");
    /// ```
    pub fn new(guard: &dyn Inspect) -> Self {
        let mut stats = Stats::default();
        guard.stats(&mut stats);
        Snapshot {
            kind: guard.kind(),
            name: guard.name().to_owned(),
            state: guard.state(),
            stats,
            actions: guard.actions(),
            settings: guard.settings(),
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

    /// Returns what an operator can do to the guard by [`act`](super::act).
    pub fn actions(&self) -> &'static [GuardAction] {
        self.actions
    }

    /// Returns what an operator can change by [`set`](super::set).
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Returns the value of a stat.
    pub fn stat(&self, name: &str) -> Option<&Stat> {
        let found = self.stats.iter().find(|(each, _)| *each == name);
        found.map(|(_, stat)| stat)
    }
}
