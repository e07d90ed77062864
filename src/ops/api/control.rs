//! Changes by operators: guards for a time, and the status of error groups.

use std::time::Duration;

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ApiResult, Problem, errors,
    operator::Operator,
    path::{Body, PathParams},
    state::ApiState,
};
use crate::ops::{
    control::{self, Control, NotControlled, NotSet},
    guards::HoldAction,
    journal::{Event, EventKind, Severity},
    redact::redacted,
};

/// The seconds for which a guard is held where the operator says nothing: long enough to look, short enough to be forgotten.
const DEFAULT_HOLD: u64 = 600;
const MAX_HOLD: u64 = 24 * 3_600;

/// Answers `POST api/v1/guards/{kind}/{name}/control`.
pub(super) async fn guard(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["action", "seconds", "reason"])?;
    let reason = members.reason()?;
    let word = members.required_text("action")?;
    let control = parse_control(word, members.number("seconds")?)?;
    let guard = (params.get("kind"), params.get("name"));
    let by = (by.name(), reason);
    let seq = control::control(&state.core, guard, control, by, Instant::now());
    let seq = seq.map_err(|error| match error {
        NotControlled::NoGuard => no_guard(guard),
        NotControlled::NoAction => not_on(guard, "action", word),
        NotControlled::NotHeld => conflict("nothing is held that could be released"),
        NotControlled::TooManyHolds => conflict("too many guards are held already"),
    })?;
    Ok(Json(json!({"seq": seq})))
}

/// Answers `POST api/v1/guards/{kind}/{name}/settings`.
pub(super) async fn setting(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["setting", "value", "reason"])?;
    let reason = members.reason()?;
    let setting = members.required_text("setting")?;
    let value = members.required_number_or_null("value")?;
    let guard = (params.get("kind"), params.get("name"));
    let by = (by.name(), reason);
    let seq = control::set(&state.core, guard, (setting, value), by);
    let seq = seq.map_err(|error| match error {
        NotSet::NoGuard => no_guard(guard),
        NotSet::NoSetting => not_on(guard, "setting", setting),
        NotSet::Invalid(error) => Problem::invalid("value", error.to_string()),
    })?;
    Ok(Json(json!({"seq": seq})))
}

fn no_guard((kind, name): (&str, &str)) -> Problem {
    let (kind, name) = (shown(kind), shown(name));
    Problem::not_found(format!("there is no {kind} {name:?}"))
}

/// Returns the problem of a guard that lacks an action or a setting.
fn not_on((kind, name): (&str, &str), what: &str, wanted: &str) -> Problem {
    let (kind, name, wanted) = (shown(kind), shown(name), shown(wanted));
    Problem::not_found(format!("{kind} {name:?} has no {what} {wanted}"))
}

/// Returns the beginning of what was sent.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn conflict(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail)
}

fn parse_control(word: &str, seconds: Option<u64>) -> ApiResult<Control> {
    let mut holds = HoldAction::ALL.into_iter();
    if let Some(hold) = holds.find(|hold| hold.as_str() == word) {
        let seconds = check_seconds(seconds)?;
        return Ok(Control::Hold(hold, Duration::from_secs(seconds)));
    }
    match word {
        "reset" => Ok(Control::Reset),
        "release" => Ok(Control::Release),
        other => {
            let shown = shown(other);
            let detail = format!(
                "action is {shown:?}, must be one of hold_open, hold_closed, shadow, hold_on, hold_off, release, reset"
            );
            Err(Problem::invalid("action", detail))
        }
    }
}

/// Answers `POST api/v1/errors/{fingerprint}`.
pub(super) async fn error(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["status", "reason"])?;
    let status = members.required_text("status")?;
    let reason = members.optional_reason()?;
    let group = errors::find(&state.core, &params)?;
    let fingerprint = group.fingerprint();
    let errors = &state.core.errors;
    match status {
        "resolved" => errors.resolve(fingerprint),
        "ignored" => errors.ignore(fingerprint),
        "open" => errors.reopen(fingerprint),
        other => {
            let shown = shown(other);
            let detail = format!("status is {shown:?}, must be one of resolved, ignored, open");
            return Err(Problem::invalid("status", detail));
        }
    };
    let text = format!("error group is {status}: {}", redacted(group.message()));
    let event = Event::new(EventKind::Control, Severity::Info, group.kind(), text)
        .with_who(by.name())
        .with("fingerprint", fingerprint.to_string())
        .with("before", group.status().to_string())
        .with("after", status)
        .with("reason", reason);
    let seq = state.core.audit(event);
    Ok(Json(json!({"seq": seq})))
}

/// Returns for how long something is changed.
pub(super) fn check_seconds(seconds: Option<u64>) -> ApiResult<u64> {
    let seconds = seconds.unwrap_or(DEFAULT_HOLD);
    if (1..=MAX_HOLD).contains(&seconds) {
        return Ok(seconds);
    }
    let detail = format!("seconds is {seconds}, must be 1 to {MAX_HOLD}");
    Err(Problem::invalid("seconds", detail))
}
