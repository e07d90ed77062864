use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    api::sections::{self, Sections},
    guards::{GuardHistory, HoldAction, Holds},
    health::Health,
    journal::{Event, EventKind, Journal, Severity},
    push::{Hub, Update, UpdateKind},
    recorder::Recorder,
};
use crate::{
    call::Label,
    errors::ErrorTracker,
    registry::{self, GuardAction},
};

/// Who the service is, as the console shows it.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) service: Label,
    pub(super) version: Option<Label>,
    pub(super) instance: Option<Label>,
    pub(super) environment: Option<Label>,
    pub(super) started_at: SystemTime,
}

/// Everything that the operations side knows, shared by the driver, the API and all viewers.
pub(super) struct Core {
    pub(super) about: About,
    pub(super) recorder: Recorder,
    pub(super) health: Health,
    pub(super) errors: ErrorTracker,
    pub(super) journal: Journal,
    pub(super) hub: Arc<Hub>,
    /// True if operators may change something.
    pub(super) allow_control: bool,
    guards: Mutex<GuardHistory>,
    holds: Mutex<Holds>,
    /// What the update before had, and the number of the last event that it has shown.
    last_update: Mutex<(Option<Arc<Sections>>, u64)>,
    seq: AtomicU64,
    /// True once the driver runs.
    is_running: AtomicBool,
}

impl Core {
    pub(super) fn new(
        about: About,
        recorder: Recorder,
        health: Health,
        errors: ErrorTracker,
        journal: Journal,
        hub: Hub,
        allow_control: bool,
    ) -> Self {
        Core {
            about,
            recorder,
            health,
            errors,
            journal,
            hub: Arc::new(hub),
            allow_control,
            guards: Mutex::default(),
            holds: Mutex::default(),
            last_update: Mutex::default(),
            seq: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
        }
    }

    /// Returns true for the first caller, who runs the driver.
    pub(super) fn claim_driver(&self) -> bool {
        !self.is_running.swap(true, Ordering::Relaxed)
    }

    pub(super) fn guards(&self) -> MutexGuard<'_, GuardHistory> {
        lock(&self.guards)
    }

    pub(super) fn holds(&self) -> MutexGuard<'_, Holds> {
        lock(&self.holds)
    }

    /// Does what is due each second.
    pub(super) fn tick(&self, at: SystemTime, now: Instant) {
        let second = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.recorder.tick(second.as_secs());
        self.end_holds(now);
        match self.hub.has_viewers() {
            true => self.send_update(UpdateKind::Tick, at),
            false => self.hub.clear(),
        }
    }

    /// Ends the holds whose time is over.
    fn end_holds(&self, now: Instant) {
        let ended = self.holds().take_ended(now);
        for hold in ended {
            registry::act(&hold.kind, &hold.name, hold.action.end());
            let text = format!("{} has ended: its time is over", hold.action.as_str());
            let event = Event::new(EventKind::Control, Severity::Info, &hold.name, text);
            self.journal.record(event.with("kind", &*hold.kind));
        }
    }

    /// Sends viewers what is new.
    pub(super) fn send_update(&self, kind: UpdateKind, at: SystemTime) {
        let update = self.update(kind, at);
        self.hub.send(Arc::new(update));
    }

    /// Returns the present for a viewer who has just come: the latest update, or a new one.
    pub(super) fn present(&self, at: SystemTime) -> Arc<Update> {
        self.hub
            .latest()
            .unwrap_or_else(|| Arc::new(self.update(UpdateKind::Tick, at)))
    }

    fn update(&self, kind: UpdateKind, at: SystemTime) -> Update {
        let mut last = lock(&self.last_update);
        let (before, shown) = (last.0.take(), last.1);
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let (sections, update) = sections::update(self, kind, seq, at, before.as_deref(), shown);
        *last = (Some(Arc::new(sections)), self.journal.last());
        update
    }

    /// Acts on a guard for an operator, and records it. Returns the number of the event, or `None` if no guard has the action.
    pub(super) fn act(
        &self,
        (kind, name): (&str, &str),
        action: GuardAction,
        hold: Option<(HoldAction, Duration)>,
        (who, reason): (Option<&str>, &str),
        now: Instant,
    ) -> Option<u64> {
        let before = guard_state(kind, name);
        // Before the action: what the guard was told before ends with it.
        self.holds().remove(kind, name);
        if registry::act(kind, name, action) == 0 {
            return None;
        }
        if let Some((action, time)) = hold {
            self.holds().insert(kind, name, action, time, now);
        }
        let word = hold.map_or(action.as_str(), |(action, _)| action.as_str());
        let text = match hold {
            Some((_, time)) => format!("{word} for {} s: {reason}", time.as_secs()),
            None => format!("{word}: {reason}"),
        };
        let event = Event::new(EventKind::Control, Severity::Warning, name, text)
            .with_who(who)
            .with("kind", kind)
            .with("action", word)
            .with("before", before)
            .with("after", guard_state(kind, name))
            .with("seconds", hold.map(|(_, time)| time.as_secs()))
            .with("reason", reason);
        Some(self.journal.record(event))
    }
}

fn guard_state(kind: &str, name: &str) -> Option<&'static str> {
    let all = registry::snapshots();
    let found = all
        .iter()
        .find(|guard| guard.kind() == kind && guard.name() == name);
    found.map(|guard| guard.state())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
