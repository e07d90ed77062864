//! `GET api/v1/errors`: the error groups.

use std::time::SystemTime;

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{
    ApiResult, Problem, params::Params, path::PathParams, state::ApiState, status::is_news,
};
use crate::{
    errors::{ErrorGroup, ErrorSample, Fingerprint, GroupStatus},
    ops::{core::Core, redact::redacted, time::unix},
};

/// The groups in a frame of live push.
const PUSHED: usize = 100;

pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let params = Params::parse(&uri, &["status", "limit", "offset"])?;
    let status = params.choice(
        "status",
        &[
            ("all", None),
            ("open", Some(GroupStatus::Open)),
            ("resolved", Some(GroupStatus::Resolved)),
            ("ignored", Some(GroupStatus::Ignored)),
        ],
    )?;
    let limit = params.number("limit", 1..=1_000, 100)?;
    let offset = params.number("offset", 0..=1_000_000, 0)?;
    let mut groups = state.core.errors.groups();
    groups.retain(|group| status.is_none_or(|status| group.status() == status));
    Ok(Json(page(
        &state.core,
        groups,
        offset as usize,
        limit as usize,
        SystemTime::now(),
    )))
}

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let group = find(&state.core, &params)?;
    Ok(Json(object(&state.core, &group, SystemTime::now())))
}

/// Returns the group that the path is about.
pub(super) fn find(core: &Core, params: &PathParams) -> ApiResult<ErrorGroup> {
    let fingerprint = params.get("fingerprint").parse::<Fingerprint>().ok();
    let group = fingerprint.and_then(|fingerprint| core.errors.group(fingerprint));
    group.ok_or_else(|| Problem::not_found("there is no error group of this fingerprint"))
}

/// Returns the groups of a frame.
pub(in crate::ops) fn pushed(core: &Core, groups: Vec<ErrorGroup>, now: SystemTime) -> Value {
    page(core, groups, 0, PUSHED, now)
}

/// Returns a page of groups, those that were seen last first.
fn page(
    core: &Core,
    mut groups: Vec<ErrorGroup>,
    offset: usize,
    limit: usize,
    now: SystemTime,
) -> Value {
    groups.sort_by_key(|group| std::cmp::Reverse(group.last_seen()));
    let page = groups.iter().skip(offset).take(limit);
    let page: Vec<_> = page.map(|group| object(core, group, now)).collect();
    json!({"groups": page, "total": groups.len(), "truncated": offset + page.len() < groups.len()})
}

fn object(core: &Core, group: &ErrorGroup, now: SystemTime) -> Value {
    let message = redacted(group.message());
    json!({
        "fingerprint": group.fingerprint().to_string(), "kind": group.kind(), "message": message,
        "route": group.route(), "count": group.count(), "first_at": unix(group.first_seen()),
        "last_at": unix(group.last_seen()), "status": group.status().to_string(), "regressions": group.regressions(),
        "is_new": is_news(group, now), "is_overflow": group.is_overflow(), "first": sample(core, group.first()),
        "latest": sample(core, group.latest()),
        "grouping": {
            "kind": group.kind(), "route": group.route(), "message": message, "last_cause": group.cause().map(redacted),
            "location": group.location(), "text": redacted(&group.grouping_key().to_string())
        },
    })
}

fn sample(core: &Core, sample: &ErrorSample) -> Value {
    let record = sample.record();
    let causes: Vec<_> = record.causes().map(redacted).collect();
    json!({
        "at": unix(sample.timestamp()), "message": redacted(record.message()), "causes": causes,
        "outcome": record.outcome(), "service": record.service(), "location": record.location(),
        "request_id": record.request_id(), "correlation_id": record.correlation_id(), "trace_id": record.trace_id(),
        "trace_kept": core.keeps_trace(record.trace_id()),
    })
}
