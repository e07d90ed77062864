//! The sections of an update, serialized once for all viewers.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use serde_json::Value;

use super::{
    alerts, errors, guards, health, journal, overview, params::HistoryRange, routes, status,
    workflows,
};
use crate::{
    ops::{
        core::Core,
        journal::EventKind,
        push::{Channels, PushChannel, Update, UpdateKind},
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
    workflows: Arc<str>,
    traces: Option<Arc<str>>,
    alerts: Arc<str>,
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
    let guards = registry::snapshots();
    let groups = core.errors.groups();
    let health = core.health.snapshot();
    let status = status::shared_members(core, &guards, &groups, &health, at);
    let (seq_of_routes, routes) = routes_of(core, seq, before);
    let sections = Sections {
        seq_of_routes,
        routes,
        guards: json(&guards::guards(core, &guards, at)),
        health: json(&health::health(&health)),
        errors: json(&errors::pushed(core, groups, at)),
        workflows: json(&workflows::pushed(&core.workflows)),
        traces: traces(core),
        alerts: json(&alerts::pushed(core)),
    };
    let mut events = match kind {
        UpdateKind::Change => core.journal.after(shown, usize::MAX, |_| true),
        UpdateKind::Tick => Vec::new(),
    };
    let mut changed = sections.changed_since(before);
    // Where a tick has come before it, the sections are the same, and not every viewer has got them.
    for channel in events.iter().flat_map(|event| told_by(event.kind())) {
        changed.insert(*channel);
    }
    // Of more than a person can read, the latest. The others are in the journal.
    events.drain(..events.len().saturating_sub(MAX_EVENTS));
    let newest_event = events.last().map(|event| event.seq());
    let events: Vec<Value> = events.iter().map(|event| event.to_json()).collect();
    if !events.is_empty() {
        changed.insert(PushChannel::Journal);
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
        workflows: sections.workflows.clone(),
        traces: sections.traces.clone(),
        alerts: sections.alerts.clone(),
        events: (!events.is_empty()).then(|| json(&Value::Array(events))),
        newest_event,
        #[cfg(feature = "ops-logs")]
        logs: None,
        changed,
        first: OnceLock::new(),
    };
    (sections, update)
}

/// Returns the section of routes, and the number of the update for which it was computed.
fn routes_of(core: &Core, seq: u64, before: Option<&Sections>) -> (u64, Arc<str>) {
    match before.filter(|before| seq < before.seq_of_routes + ROUTES_EVERY) {
        Some(before) => (before.seq_of_routes, before.routes.clone()),
        None => (seq, json(&routes::routes(core, HistoryRange::FiveMinutes))),
    }
}

impl Sections {
    fn changed_since(&self, before: Option<&Sections>) -> Channels {
        let Some(before) = before else {
            return Channels::ALL;
        };
        let mut changed = Channels::NONE;
        for (channel, is_same) in [
            (PushChannel::Metrics, self.routes == before.routes),
            (PushChannel::Guards, self.guards == before.guards),
            (PushChannel::Health, self.health == before.health),
            (PushChannel::Errors, self.errors == before.errors),
            (PushChannel::Workflows, self.workflows == before.workflows),
            (PushChannel::Traces, self.traces == before.traces),
            (PushChannel::Alerts, self.alerts == before.alerts),
        ] {
            if !is_same {
                changed.insert(channel);
            }
        }
        changed
    }
}

/// Returns the sections that an event of the journal is about.
const fn told_by(kind: EventKind) -> &'static [PushChannel] {
    match kind {
        EventKind::Guard => &[PushChannel::Guards],
        EventKind::Health => &[PushChannel::Health],
        EventKind::Error => &[PushChannel::Errors],
        EventKind::Alert => &[PushChannel::Alerts],
        // Of a guard, of a group of errors, or of an alert.
        EventKind::Control => &[
            PushChannel::Guards,
            PushChannel::Errors,
            PushChannel::Alerts,
        ],
        _ => &[],
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

#[cfg(feature = "ops-logs")]
fn traces(core: &Core) -> Option<Arc<str>> {
    Some(json(&super::traces::pushed(core)))
}

#[cfg(not(feature = "ops-logs"))]
fn traces(_: &Core) -> Option<Arc<str>> {
    None
}

fn json(value: &Value) -> Arc<str> {
    value.to_string().into()
}
