//! `GET api/v1/silences`: what is not told, until when, and why.

use std::time::{Duration, SystemTime};

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ApiResult, Problem,
    operator::Operator,
    path::{Body, PathParams},
    state::ApiState,
};
use crate::ops::{
    alerting,
    alerts::{MAX_AHEAD, MAX_MATCHERS, MAX_SILENCE, Matcher, NotDone, Silence},
    members::Members,
    time::unix,
};

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let now = state.core.alerts.now(Instant::now());
    let engine = state.core.alerts.engine();
    let silences = engine.silences().iter().rev();
    let silences: Vec<_> = silences.map(|silence| object(silence, now)).collect();
    Json(json!({"silences": silences}))
}

fn object(silence: &Silence, now: SystemTime) -> Value {
    let state = match silence.is_active(now) {
        true => "active",
        false if now < silence.starts_at => "pending",
        false => "over",
    };
    let matchers = silence.matchers.iter().map(|matcher| matcher.text.as_str());
    json!({
        "id": silence.id, "state": state, "matchers": matchers.collect::<Vec<_>>(), "starts_at": unix(silence.starts_at),
        "ends_at": unix(silence.ends_at), "by": silence.by, "reason": silence.comment,
    })
}

/// Answers `POST api/v1/silences`.
pub(super) async fn create(
    State(state): State<ApiState>,
    Operator(by): Operator,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["matchers", "starts_at", "seconds", "reason"])?;
    let reason = members.reason()?;
    let matchers = matchers(&members)?;
    let now = state.core.alerts.now(Instant::now());
    let starts_at = starts_at(&members, now)?;
    let max = MAX_SILENCE.as_secs();
    let seconds = members.number("seconds")?.unwrap_or(0);
    if !(1..=max).contains(&seconds) {
        let detail = format!("seconds is {seconds}, must be 1 to {max}");
        return Err(Problem::invalid("seconds", detail));
    }
    let silence = Silence {
        id: String::new(),
        matchers,
        starts_at,
        ends_at: starts_at + Duration::from_secs(seconds),
        by: by.name().map(str::to_owned),
        comment: reason.to_owned(),
    };
    let (id, seq) = alerting::silence(&state.core, silence).map_err(not_done)?;
    Ok(Json(json!({"id": id, "seq": seq})))
}

fn matchers(members: &Members) -> ApiResult<Vec<Matcher>> {
    let texts = members.texts("matchers")?;
    if !(1..=MAX_MATCHERS).contains(&texts.len()) {
        let detail = format!(
            "matchers has {}, must have 1 to {MAX_MATCHERS}",
            texts.len()
        );
        return Err(Problem::invalid("matchers", detail));
    }
    let matcher = |text: &str| {
        Matcher::parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            let detail = format!(
                "matchers has {shown:?}, must have texts like alertname=errors, severity!=critical or route=POST /*"
            );
            Problem::invalid("matchers", detail)
        })
    };
    texts.into_iter().map(matcher).collect()
}

/// Returns when a silence begins: now, unless the caller says so.
fn starts_at(members: &Members, now: SystemTime) -> ApiResult<SystemTime> {
    let Some(second) = members.number("starts_at")? else {
        return Ok(now);
    };
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(second));
    let at = at.filter(|at| *at <= now + MAX_AHEAD);
    let at = at.ok_or_else(|| {
        let detail =
            format!("starts_at is {second}, must be a Unix time in whole seconds within a year");
        Problem::invalid("starts_at", detail)
    })?;
    // What is past cannot be silenced.
    Ok(at.max(now))
}

/// Answers `POST api/v1/silences/{id}/end`.
pub(super) async fn end(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["reason"])?;
    let by = (by.name(), members.reason()?);
    let seq = alerting::end_silence(&state.core, params.get("id"), by);
    Ok(Json(json!({"seq": seq.map_err(not_done)?})))
}

fn not_done(error: NotDone) -> Problem {
    match error {
        NotDone::Unknown => Problem::not_found("there is no silence of this name"),
        NotDone::TooMany => {
            Problem::new(StatusCode::CONFLICT, "there are too many silences already")
        }
        NotDone::IsOver | NotDone::NotActive => {
            Problem::new(StatusCode::CONFLICT, "the silence is over")
        }
    }
}
