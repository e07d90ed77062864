//! `GET api/v1/guards`: the guards of the process, their states and their transitions.

use std::time::SystemTime;

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::{ApiResult, Problem, path::PathParams, state::ApiState};
use crate::{
    ops::{
        core::Core,
        guards::{HoldAction, SeenTransition, state_text},
        redact::redacted,
        time::unix,
    },
    registry::{self, GuardAction, Snapshot, Stat},
};

/// The most guards in one answer.
const MAX_GUARDS: usize = 2_000;
/// The transitions of each guard in a list, and in its detail.
const LISTED: usize = 5;
const DETAILED: usize = 64;

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    Json(guards(
        &state.core,
        &registry::snapshots(),
        SystemTime::now(),
    ))
}

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let (kind, name) = (params.get("kind"), params.get("name"));
    let all = registry::snapshots();
    let found = all
        .iter()
        .find(|guard| guard.kind() == kind && guard.name() == name);
    let guard =
        found.ok_or_else(|| Problem::not_found("there is no guard of this kind and name"))?;
    Ok(Json(object(
        &state.core,
        guard,
        SystemTime::now(),
        DETAILED,
    )))
}

/// Returns all guards.
pub(in crate::ops) fn guards(core: &Core, guards: &[Snapshot], now: SystemTime) -> Value {
    let shown = guards.iter().take(MAX_GUARDS);
    let shown: Vec<_> = shown
        .map(|guard| object(core, guard, now, LISTED))
        .collect();
    json!({"guards": shown, "truncated": guards.len() > MAX_GUARDS})
}

fn object(core: &Core, guard: &Snapshot, now: SystemTime, transitions: usize) -> Value {
    let history = core.guards();
    let (kind, name, state) = (guard.kind(), guard.name(), guard.state());
    let started = core.about.started_at;
    let strip = history.strip(kind, name, state, started, now);
    let seen = history.transitions(kind, name).take(transitions);
    let seen: Vec<_> = seen.map(transition).collect();
    let since = history.since(kind, name).map(unix);
    drop(history);
    let holds = core.holds();
    let hold = holds.get(kind, name);
    let held_until = hold.map(|hold| unix(hold.until_at));
    let held = hold.map(|hold| hold.action.as_str());
    drop(holds);
    json!({
        "kind": kind, "name": name, "state": state, "stats": stats(guard), "since": since,
        "controls": controls(guard.actions()), "held_until": held_until, "held": held,
        "settings": settings(guard), "strip": strip, "transitions": seen,
    })
}

fn stats(guard: &Snapshot) -> Map<String, Value> {
    let stats = guard.stats().iter().map(|(name, stat)| {
        let value = match stat {
            Stat::Count(count) => json!(count),
            Stat::Number(number) => json!(number),
            Stat::Text(text) => json!(redacted(text)),
            Stat::Unknown => Value::Null,
        };
        (name.to_owned(), value)
    });
    stats.collect()
}

fn settings(guard: &Snapshot) -> Vec<Value> {
    let settings = guard.settings().iter().map(|setting| {
        json!({
            "name": setting.name(), "value": setting.value(), "min": setting.min(), "max": setting.max(),
            "whole": setting.is_whole(), "can_be_off": setting.can_be_off(),
        })
    });
    settings.collect()
}

fn transition(seen: &SeenTransition) -> Value {
    let from = state_text(seen.from, seen.limits.map(|limits| limits.from));
    let to = state_text(seen.to, seen.limits.map(|limits| limits.to));
    json!({
        "at": unix(seen.at), "key": seen.key, "from": from, "to": to, "reason": seen.reason,
        "last_error": seen.last_error
    })
}

/// Returns the words by which an operator controls a guard with these actions.
fn controls(actions: &[GuardAction]) -> Vec<&'static str> {
    let has = |action| actions.contains(&action);
    let words = [
        ("reset", has(GuardAction::Reset)),
        ("hold_open", has(GuardAction::ForceOpen)),
        (
            "hold_closed",
            has(GuardAction::Disable) && !has(GuardAction::Enable),
        ),
        (
            "shadow",
            has(GuardAction::ShadowOn) && has(GuardAction::ShadowOff),
        ),
        ("hold_on", has(GuardAction::Enable)),
        (
            "hold_off",
            has(GuardAction::Enable) && has(GuardAction::Disable),
        ),
        (
            "release",
            HoldAction::ALL.iter().any(|hold| has(hold.begin())),
        ),
    ];
    let words = words.into_iter().filter(|(_, is_there)| *is_there);
    words.map(|(word, _)| word).collect()
}
