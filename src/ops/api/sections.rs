//! The sections of an update, serialized once for all viewers.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use serde_json::Value;

use super::{errors, guards, health, journal, overview, params::HistoryRange, routes, status};
use crate::{
    ops::{
        core::Core,
        push::{Channel, Channels, Update, UpdateKind},
        time::unix,
    },
    registry,
};

/// Routes are computed once per so many updates: their figures are those of five minutes.
const ROUTES_EVERY: u64 = 5;
/// The most events in one frame.
const MAX_EVENTS: usize = 100;

/// The sections that are compared with those of the update before.
#[derive(Debug)]
pub(in crate::ops) struct Sections {
    seq_of_routes: u64,
    routes: Arc<str>,
    guards: Arc<str>,
    health: Arc<str>,
    errors: Arc<str>,
}

/// Makes an update. `shown` is the number of the last event that viewers have.
pub(in crate::ops) fn update(
    core: &Core,
    kind: UpdateKind,
    seq: u64,
    at: SystemTime,
    before: Option<&Sections>,
    shown: u64,
) -> (Sections, Update) {
    let snapshots = registry::snapshots();
    let groups = core.errors.groups();
    let snapshot = core.health.snapshot();
    let status = status::shared_members(core, &snapshots, &groups, &snapshot, at);
    let is_routes_due = |before: &&Sections| seq < before.seq_of_routes + ROUTES_EVERY;
    let (seq_of_routes, routes) = match before.filter(is_routes_due) {
        Some(before) => (before.seq_of_routes, before.routes.clone()),
        None => (seq, json(&routes::routes(core, HistoryRange::FiveMinutes))),
    };
    let sections = Sections {
        seq_of_routes,
        routes,
        guards: json(&guards::guards(core, &snapshots, at)),
        health: json(&health::health(&snapshot)),
        errors: json(&errors::pushed(groups, at)),
    };
    let mut events = match kind {
        UpdateKind::Change => core.journal.after(shown, usize::MAX, |_| true),
        UpdateKind::Tick => Vec::new(),
    };
    // Of more than a person can read, the latest. The others are in the journal.
    events.drain(..events.len().saturating_sub(MAX_EVENTS));
    let newest_event = events.last().map(|event| event.seq());
    let events: Vec<Value> = events.iter().map(|event| event.to_json()).collect();
    let mut changed = sections.changed_since(before);
    if !events.is_empty() {
        changed.insert(Channel::Journal);
    }
    let update = Update {
        kind,
        seq,
        at: unix(at),
        status: json(&Value::Object(status)),
        point: (kind == UpdateKind::Tick).then(|| json(&overview::point(core, at))),
        routes: sections.routes.clone(),
        guards: sections.guards.clone(),
        health: sections.health.clone(),
        errors: sections.errors.clone(),
        events: (!events.is_empty()).then(|| json(&Value::Array(events))),
        newest_event,
        changed,
        first: OnceLock::new(),
    };
    (sections, update)
}

impl Sections {
    fn changed_since(&self, before: Option<&Sections>) -> Channels {
        let Some(before) = before else {
            return Channels::ALL;
        };
        let mut changed = Channels::NONE;
        for (channel, is_same) in [
            (Channel::Metrics, self.routes == before.routes),
            (Channel::Guards, self.guards == before.guards),
            (Channel::Health, self.health == before.health),
            (Channel::Errors, self.errors == before.errors),
        ] {
            if !is_same {
                changed.insert(channel);
            }
        }
        changed
    }
}

/// Returns the history for a first frame.
pub(in crate::ops) fn overview(core: &Core, now: SystemTime) -> Arc<str> {
    json(&overview::overview(core, HistoryRange::FiveMinutes, now))
}

/// Returns the latest events for a first frame.
pub(in crate::ops) fn journal(core: &Core) -> Arc<str> {
    json(&journal::latest(&core.journal))
}

fn json(value: &Value) -> Arc<str> {
    value.to_string().into()
}
