use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    AlertSettings, NotDone, Rule,
    alert::Alert,
    changes::{Changes, Write},
    checked_rule::CheckedRule,
    engine::Engine,
    increases::Increases,
    restart::StoredAlerts,
    sample::RuleSamples,
    sampler::Sampler,
    silence::Silence,
};
use crate::{
    call::ConfigError,
    ops::{
        health::Health,
        journal::{Event, EventKind, Journal},
        notify::Notification,
        recorder::Recorder,
        store::{Collection, Store},
    },
};

/// The most alerts that are read from the store: those of all rules, each of which may have a thousand.
const MAX_STORED: usize = 10_000;
/// The kinds of events with which what is of now may have changed.
const AFFECTING: [EventKind; 2] = [EventKind::Guard, EventKind::Health];

/// The alerts of a process, as its driver and its API have them.
///
/// The lock is held for what the [`Engine`] decides, and neither while values are read nor while others are told.
#[derive(Debug)]
pub(in crate::ops) struct Alerts {
    engine: Mutex<Engine>,
    increases: Mutex<Increases>,
    /// The moment from which on time is counted. Neither a clock that is set nor a tick that is late moves what depends on time.
    began: Mutex<(Instant, SystemTime)>,
    /// The kinds of which there were events since the last evaluation for them, in the order of [`AFFECTING`].
    affected: [AtomicBool; AFFECTING.len()],
    has_rules: bool,
    is_restored: AtomicBool,
}

/// The parts of the process that rules are about.
pub(in crate::ops) struct RuleSubjects<'a> {
    pub(in crate::ops) recorder: &'a Recorder,
    pub(in crate::ops) health: &'a Health,
    /// The number of records that were dropped since the start, by what they were.
    pub(in crate::ops) dropped: Vec<(&'static str, u64)>,
}

impl Default for Alerts {
    /// Returns those of a process without rules.
    fn default() -> Self {
        Alerts::new("", &AlertSettings::default(), Vec::new()).expect("default settings are valid")
    }
}

impl Alerts {
    /// Creates the alerts of a service.
    pub(in crate::ops) fn new(
        service: &str,
        settings: &AlertSettings,
        rules: Vec<Rule>,
    ) -> Result<Self, ConfigError> {
        let rules = settings.checked_rules(rules)?;
        let now = SystemTime::now();
        Ok(Alerts {
            has_rules: !rules.is_empty(),
            engine: Mutex::new(Engine::new(service, settings, rules, now)),
            increases: Mutex::default(),
            began: Mutex::new((Instant::now(), now)),
            affected: Default::default(),
            is_restored: AtomicBool::new(false),
        })
    }

    /// Returns the time, in whole seconds since the start.
    pub(in crate::ops) fn now(&self, now: Instant) -> SystemTime {
        let (began, at) = *lock(&self.began);
        at + Duration::from_secs(now.saturating_duration_since(began).as_secs())
    }

    /// Returns the engine, to read it.
    pub(in crate::ops) fn engine(&self) -> MutexGuard<'_, Engine> {
        lock(&self.engine)
    }

    /// Begins to count the time.
    pub(in crate::ops) fn start(&self, now: Instant) {
        let at = SystemTime::now();
        *lock(&self.began) = (now, at);
        self.engine().start(at);
    }

    /// Takes in what was stored before a restart, once there is a file that can be read. Blocks then.
    pub(in crate::ops) fn restore(&self, store: &Store, now: Instant) -> PendingChanges {
        let trouble = store.trouble();
        let can_read = trouble.is_some_and(|trouble| trouble.reason().is_none());
        if !can_read || self.is_restored.swap(true, Relaxed) {
            return PendingChanges::default();
        }
        let load = |collection| store.load(collection, MAX_STORED);
        let stored = StoredAlerts {
            alerts: load(Collection::Alerts),
            history: load(Collection::AlertHistory),
            silences: load(Collection::Silences),
            processes: load(Collection::Processes),
        };
        let at = self.now(now);
        self.engine().restore(at, &stored).into()
    }

    /// Evaluates the rules that are due.
    pub(in crate::ops) fn tick(&self, sources: &RuleSubjects<'_>, now: Instant) -> PendingChanges {
        let at = self.now(now);
        self.read_dropped(sources, at);
        let due = self.engine().due(at);
        self.evaluate(sources, at, due)
    }

    /// Evaluates all rules, whether they are due or not.
    pub(in crate::ops) fn evaluate_all(
        &self,
        sources: &RuleSubjects<'_>,
        now: Instant,
    ) -> PendingChanges {
        let at = self.now(now);
        self.read_dropped(sources, at);
        let all = self.engine().all();
        self.evaluate(sources, at, all)
    }

    fn read_dropped(&self, sources: &RuleSubjects<'_>, at: SystemTime) {
        if self.engine().asks_for_dropped() {
            lock(&self.increases).read(at, &sources.dropped);
        }
    }

    /// Takes in an event of the journal. Returns what is to be told, and whether rules about the present should be
    /// [evaluated](Self::evaluate_affected) soon.
    pub(in crate::ops) fn on_event(&self, event: &Event, now: Instant) -> (PendingChanges, bool) {
        if !self.has_rules || event.kind() == EventKind::Alert {
            return (PendingChanges::default(), false);
        }
        let at = self.now(now);
        let mut engine = self.engine();
        let told = engine.on_event(at, event).into();
        let place = AFFECTING.iter().position(|kind| *kind == event.kind());
        let affected = place.filter(|_| !engine.affected_by(event.kind()).is_empty());
        if let Some(place) = affected {
            self.affected[place].store(true, Relaxed);
        }
        (told, affected.is_some())
    }

    /// Evaluates the rules about what may have changed since the last call.
    pub(in crate::ops) fn evaluate_affected(
        &self,
        sources: &RuleSubjects<'_>,
        now: Instant,
    ) -> PendingChanges {
        let kinds = AFFECTING.into_iter().zip(&self.affected);
        let kinds: Vec<_> = kinds
            .filter(|(_, affected)| affected.swap(false, Relaxed))
            .map(|(kind, _)| kind)
            .collect();
        let due: Vec<_> = {
            let engine = self.engine();
            kinds
                .into_iter()
                .flat_map(|kind| engine.affected_by(kind))
                .collect()
        };
        match due.is_empty() {
            true => PendingChanges::default(),
            false => self.evaluate(sources, self.now(now), due),
        }
    }

    fn evaluate(
        &self,
        sources: &RuleSubjects<'_>,
        at: SystemTime,
        due: Vec<(usize, std::sync::Arc<CheckedRule>)>,
    ) -> PendingChanges {
        let increases = lock(&self.increases);
        let sampler = Sampler::new(
            at,
            sources.recorder,
            sources.health.snapshot(),
            sources.dropped.clone(),
            &increases,
        );
        let all: Vec<(usize, RuleSamples)> = due
            .into_iter()
            .map(|(place, rule)| (place, sampler.sample(&rule)))
            .collect();
        drop(increases);
        self.engine().observe(at, all).into()
    }

    /// Acknowledges an alert, and returns it as it was before.
    pub(in crate::ops) fn acknowledge(
        &self,
        now: Instant,
        fingerprint: &str,
        by: (Option<&str>, &str),
    ) -> Result<(Alert, PendingChanges), NotDone> {
        let at = self.now(now);
        let done = self.engine().acknowledge(at, fingerprint, by);
        done.map(|(alert, changes)| (alert, changes.into()))
    }

    /// Resolves an alert, and returns it as it was before.
    pub(in crate::ops) fn resolve(
        &self,
        now: Instant,
        fingerprint: &str,
        by: (Option<&str>, &str),
    ) -> Result<(Alert, PendingChanges), NotDone> {
        let at = self.now(now);
        let done = self.engine().resolve(at, fingerprint, by);
        done.map(|(alert, changes)| (alert, changes.into()))
    }

    /// Adds a silence, and returns its name.
    pub(in crate::ops) fn silence(
        &self,
        now: Instant,
        silence: Silence,
    ) -> Result<(String, PendingChanges), NotDone> {
        let at = self.now(now);
        let done = self.engine().silence(at, silence);
        done.map(|(id, changes)| (id, changes.into()))
    }

    /// Ends a silence, and returns it as it was before.
    pub(in crate::ops) fn end_silence(
        &self,
        now: Instant,
        id: &str,
    ) -> Result<(Silence, PendingChanges), NotDone> {
        let at = self.now(now);
        let done = self.engine().end_silence(at, id);
        done.map(|(silence, changes)| (silence, changes.into()))
    }
}

/// The changes that others are to be told, once no lock is held.
#[derive(Debug, Default)]
#[must_use]
pub(in crate::ops) struct PendingChanges {
    events: Vec<(SystemTime, Event)>,
    notifications: Vec<Notification>,
    writes: Vec<Write>,
}

impl PendingChanges {
    /// Records the events, stores what has changed, and returns the notifications.
    pub(in crate::ops) fn keep(self, journal: &Journal, store: &Store) -> Vec<Notification> {
        for write in self.writes {
            match write {
                Write::Put(collection, document) => store.put(collection, document),
                Write::Delete(collection, key) => store.delete(collection, &key),
            }
        }
        for (at, event) in self.events {
            journal.record_at(event, at);
        }
        self.notifications
    }
}

impl From<Changes> for PendingChanges {
    fn from(changes: Changes) -> Self {
        PendingChanges {
            events: changes.events,
            notifications: changes.notifications,
            writes: changes.writes,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
