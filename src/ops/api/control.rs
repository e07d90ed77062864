//! What operators change: guards for a time, and the status of error groups.

use std::time::Duration;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
};
use http::{HeaderMap, header};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ApiResult, Problem, state::ApiState};
use crate::{
    errors::Fingerprint,
    ops::{
        Identity, Role,
        guards::HoldAction,
        journal::{Event, EventKind, Severity},
        members::Members,
    },
    registry::GuardAction,
};

/// How long a guard is held where the operator says nothing: long enough to look, short enough to be forgotten.
const DEFAULT_HOLD: u64 = 600;
const MAX_HOLD: u64 = 24 * 3_600;
const MAX_REASON: usize = 500;
/// The longest body of a request.
const MAX_BODY: usize = 4 * 1_024;

/// `POST api/v1/guards/{kind}/{name}/control`
pub(super) async fn guard(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    require_operator(&state, &identity)?;
    let members = parse(&headers, &body, &["action", "seconds", "reason"])?;
    let reason = check_reason(members.required_text("reason")?)?;
    let word = members.required_text("action")?;
    let (action, hold) = guard_action(word, members.number("seconds")?)?;
    let by = (identity.name(), reason);
    let seq = state
        .core
        .act((&kind, &name), action, hold, by, Instant::now());
    let seq = seq.ok_or_else(|| {
        Problem::not_found(format!(
            "no guard of this kind and name has the action {word}"
        ))
    })?;
    super::live::push_change(&state.core);
    Ok(Json(json!({"seq": seq})))
}

fn guard_action(
    word: &str,
    seconds: Option<u64>,
) -> ApiResult<(GuardAction, Option<(HoldAction, Duration)>)> {
    let holds = HoldAction::ALL.into_iter();
    if let Some(hold) = holds.clone().find(|hold| hold.as_str() == word) {
        let seconds = seconds.unwrap_or(DEFAULT_HOLD);
        if !(1..=MAX_HOLD).contains(&seconds) {
            let detail = format!("seconds is {seconds}, must be 1 to {MAX_HOLD}");
            return Err(Problem::invalid("seconds", detail));
        }
        return Ok((hold.begin(), Some((hold, Duration::from_secs(seconds)))));
    }
    match word {
        "reset" | "release" => Ok((GuardAction::Reset, None)),
        other => {
            let shown: String = other.chars().take(64).collect();
            let detail = format!(
                "action is {shown:?}, must be one of hold_open, hold_closed, shadow, release, reset"
            );
            Err(Problem::invalid("action", detail))
        }
    }
}

/// `POST api/v1/errors/{fingerprint}`
pub(super) async fn error(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
    Path(fingerprint): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    require_operator(&state, &identity)?;
    let members = parse(&headers, &body, &["status", "reason"])?;
    let status = members.required_text("status")?;
    let reason = members.text("reason")?.map(check_reason).transpose()?;
    let fingerprint: Fingerprint = fingerprint
        .parse()
        .map_err(|_| Problem::not_found("there is no error group of this fingerprint"))?;
    let errors = &state.core.errors;
    let group = errors.group(fingerprint);
    let group =
        group.ok_or_else(|| Problem::not_found("there is no error group of this fingerprint"))?;
    match status {
        "resolved" => errors.resolve(fingerprint),
        "ignored" => errors.ignore(fingerprint),
        "open" => errors.reopen(fingerprint),
        other => {
            let shown: String = other.chars().take(64).collect();
            let detail = format!("status is {shown:?}, must be one of resolved, ignored, open");
            return Err(Problem::invalid("status", detail));
        }
    };
    let text = format!("error group is {status}: {}", group.message());
    let event = Event::new(EventKind::Control, Severity::Info, group.kind(), text)
        .with_who(identity.name())
        .with("fingerprint", fingerprint.to_string())
        .with("before", group.status().to_string())
        .with("after", status)
        .with("reason", reason);
    let seq = state.core.journal.record(event);
    super::live::push_change(&state.core);
    Ok(Json(json!({"seq": seq})))
}

/// Refuses who may not change anything.
fn require_operator(state: &ApiState, identity: &Identity) -> ApiResult<()> {
    if !state.core.allow_control {
        return Err(Problem::forbidden(
            "nothing can be changed here: see OpsBuilder::allow_control",
        ));
    }
    match identity.role() {
        Role::Operator => Ok(()),
        Role::Viewer => Err(Problem::forbidden("only operators can change something")),
    }
}

fn parse(headers: &HeaderMap, body: &Bytes, known: &[&str]) -> ApiResult<Members> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes());
    if !content_type.is_some_and(|value| value.starts_with(b"application/json")) {
        return Err(Problem::invalid(
            "content-type",
            "content-type must be application/json",
        ));
    }
    if body.len() > MAX_BODY {
        let detail = format!(
            "the body has {} bytes, at most {MAX_BODY} are allowed",
            body.len()
        );
        return Err(Problem::invalid("body", detail));
    }
    Ok(Members::parse(body, known)?)
}

fn check_reason(reason: &str) -> ApiResult<&str> {
    let reason = reason.trim();
    if (1..=MAX_REASON).contains(&reason.len()) {
        return Ok(reason);
    }
    let detail = format!(
        "reason has {} bytes, must have 1 to {MAX_REASON}",
        reason.len()
    );
    Err(Problem::invalid("reason", detail))
}
