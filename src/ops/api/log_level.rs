//! `GET` and `POST api/v1/log-level`: the filter of the log, which operators change for a time.

use std::time::{Duration, SystemTime};

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ApiResult, Problem, control::check_seconds, operator::Operator, path::Body, state::ApiState,
};
use crate::ops::{
    log_level::{self, TemporaryFilter},
    time::unix,
};

/// The longest directives, in bytes.
const MAX_DIRECTIVES: usize = 1_000;

pub(super) async fn get(State(state): State<ApiState>) -> ApiResult<Json<Value>> {
    let filter = state.core.log_filter();
    let filter = filter.as_ref().ok_or_else(missing)?;
    Ok(Json(to_json(filter, Instant::now(), SystemTime::now())))
}

pub(super) async fn post(
    State(state): State<ApiState>,
    Operator(by): Operator,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["filter", "seconds", "reason"])?;
    let reason = members.reason()?;
    let directives = check_directives(members.required_text("filter")?)?;
    let time = Duration::from_secs(check_seconds(members.number("seconds")?)?);
    let by = (by.name(), reason);
    let core = &state.core;
    let set = log_level::set(core, directives, time, by, Instant::now());
    let seq = set
        .ok_or_else(missing)?
        .map_err(|error| Problem::invalid("filter", error.to_string()))?;
    Ok(Json(json!({"seq": seq})))
}

fn check_directives(directives: &str) -> ApiResult<&str> {
    let directives = directives.trim();
    if (1..=MAX_DIRECTIVES).contains(&directives.len()) {
        return Ok(directives);
    }
    let len = directives.len();
    let detail = format!("filter has {len} bytes, must have 1 to {MAX_DIRECTIVES}");
    Err(Problem::invalid("filter", detail))
}

fn to_json(filter: &TemporaryFilter, now: Instant, at: SystemTime) -> Value {
    let until = filter.until().map(|until| {
        let left = until.saturating_duration_since(now);
        unix(at + left)
    });
    json!({"filter": filter.directives(), "until": until})
}

fn missing() -> Problem {
    Problem::not_found("the log filter cannot be changed here: see OpsBuilder::log_filter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::BoxError;

    #[test]
    fn log_level_shows_filter_and_the_end_of_its_change() {
        let (now, at) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let set = |_: &str| -> Result<(), BoxError> { Ok(()) };
        let mut filter = TemporaryFilter::new((|| "info".to_owned(), set));
        let expected = json!({"filter": "info", "until": null});
        assert_eq!(to_json(&filter, now, at), expected);
        let minute = Duration::from_secs(60);
        filter.set("debug", minute, now).expect("valid");
        let shown = to_json(&filter, now + minute / 2, at);
        assert_eq!(shown["until"], 30.0);
        assert_eq!(to_json(&filter, now + 2 * minute, at)["until"], 0.0);
    }

    #[test]
    fn log_level_directives_are_bounded() {
        assert_eq!(check_directives(" info "), Ok("info"));
        let longest = "x".repeat(1_000);
        assert_eq!(check_directives(&longest), Ok(&*longest));
        for (text, len) in [("  ".to_owned(), 0), ("x".repeat(1_001), 1_001)] {
            let error = check_directives(&text).expect_err("out of range").to_json();
            let detail = format!("filter has {len} bytes, must have 1 to 1000");
            assert_eq!(
                (&error["detail"], &error["field"]),
                (&json!(detail), &json!("filter"))
            );
        }
    }
}
