//! `GET api/v1/workflows`: what runs and what has ended, one of them with its steps, and statistics by name.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, Problem, params::Params, path::PathParams, state::ApiState};
use crate::ops::{
    core::Core,
    workflows::{LiveRun, Run, RunState, WorkflowId, Workflows, json},
};

/// The workflows in a frame of live push: those that run, then the latest that have ended.
const PUSHED: usize = 50;

/// The filters of a list.
struct WorkflowFilter {
    state: Option<RunState>,
    name: Option<String>,
    /// In lower case.
    text: Option<String>,
    since: Option<WorkflowId>,
    until: Option<WorkflowId>,
    before: Option<WorkflowId>,
    limit: usize,
}

pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let filter = WorkflowFilter::parse(&uri)?;
    let page = move |core: &Core| page(&core.workflows, &filter);
    Ok(Json(state.read(page).await?))
}

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let id = params.get("id").parse().ok();
    let found = id.and_then(|id| state.core.workflows.find(id));
    let not_found = || Problem::not_found("there is no workflow of this ID");
    let mut run = found.ok_or_else(not_found)?.look(Run::clone);
    if let Some(error) = &mut run.error {
        // Of a link that leads nowhere nobody has anything.
        let is_known = |fingerprint: &_| state.core.errors.group(*fingerprint).is_some();
        error.fingerprint = error.fingerprint.filter(is_known);
    }
    Ok(Json(json::detail(&run)))
}

pub(super) async fn statistics(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    Params::parse(&uri, &[])?;
    let statistics = |core: &Core| by_name(&core.workflows);
    Ok(Json(state.read(statistics).await?))
}

/// Returns the section of live push.
pub(in crate::ops) fn pushed(workflows: &Workflows) -> Value {
    let mut shown = workflows.latest_running(PUSHED);
    let rest = PUSHED - shown.len();
    shown.extend(workflows.latest_finished(rest));
    let rows: Vec<_> = shown.iter().map(|live| live.look(json::row)).collect();
    let mut counts = json!({});
    workflows.look(|board| {
        for state in RunState::ALL {
            counts[state.as_str()] = board.statistics().total(state).into();
        }
    });
    let running = workflows.look(|board| board.running());
    counts["running"] = running.into();
    json!({"workflows": rows, "counts": counts, "truncated": running > PUSHED})
}

impl WorkflowFilter {
    fn parse(uri: &Uri) -> ApiResult<Self> {
        let known = ["state", "name", "q", "since", "until", "before", "limit"];
        let params = Params::parse(uri, &known)?;
        let states = RunState::ALL.map(|state| (state.as_str(), Some(state)));
        let [a, b, c, d, e] = states;
        let text = |name| params.text(name).filter(|text| !text.is_empty());
        Ok(WorkflowFilter {
            state: params.choice("state", &[("all", None), a, b, c, d, e])?,
            name: text("name").map(str::to_owned),
            text: text("q").map(str::to_lowercase),
            since: time(&params, "since")?,
            until: time(&params, "until")?,
            before: text("before").map(cursor).transpose()?,
            limit: params.number("limit", 1..=500, 100)? as usize,
        })
    }

    /// Returns whether a run is between the bounds; its ID says when it began.
    fn is_between(&self, id: WorkflowId) -> bool {
        self.before.is_none_or(|before| id < before)
            && self.since.is_none_or(|since| id >= since)
            && self.until.is_none_or(|until| id < until)
    }

    fn fits(&self, run: &Run) -> bool {
        let name = self.name.as_deref();
        self.state.is_none_or(|state| run.state == state)
            && name.is_none_or(|name| run.name.as_str() == name)
            && self.text.as_deref().is_none_or(|text| run.contains(text))
    }
}

fn cursor(text: &str) -> ApiResult<WorkflowId> {
    text.parse().map_err(|_| {
        let detail = format!("before is {text:?}, must be the ID of a workflow");
        Problem::invalid("before", detail)
    })
}

fn time(params: &Params, name: &'static str) -> ApiResult<Option<WorkflowId>> {
    let Some(text) = params.text(name) else {
        return Ok(None);
    };
    let seconds = text.parse().ok();
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let at = since.and_then(|since| std::time::SystemTime::UNIX_EPOCH.checked_add(since));
    let at = at.ok_or_else(|| {
        let detail = format!("{name} is {text:?}, must be a time in seconds since 1970");
        Problem::invalid(name, detail)
    })?;
    Ok(Some(WorkflowId::first_at(at)))
}

/// Returns a page, the latest first.
fn page(workflows: &Workflows, filter: &WorkflowFilter) -> Value {
    let all = workflows.all().into_iter();
    let mut found = all
        .filter(|live| filter.is_between(live.id) && live.look(|run| filter.fits(run)))
        .peekable();
    let page: Vec<Arc<LiveRun>> = found.by_ref().take(filter.limit).collect();
    let has_more = found.peek().is_some();
    let next = page.last().filter(|_| has_more);
    let rows: Vec<_> = page.iter().map(|live| live.look(json::row)).collect();
    let (running, missed) = workflows.look(|board| (board.running(), board.missed()));
    json!({
        "workflows": rows, "next": next.map(|live| live.id.to_string()), "running": running, "missed": missed
    })
}

fn by_name(workflows: &Workflows) -> Value {
    let running = workflows.running();
    // A copy: histograms are asked without the lock.
    let mut names = workflows.look(|board| board.statistics().copy());
    let mut counts = std::collections::BTreeMap::new();
    for live in running {
        let name = live.look(|run| names.known(run.name.as_str()).to_owned());
        names.add(&name);
        *counts.entry(name).or_insert(0_u64) += 1;
    }
    let rows = names.names().map(|(name, each)| {
        let steps = each.failing_steps.iter();
        let mut steps: Vec<_> = steps.collect();
        steps.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let steps = steps.into_iter().map(|(step, count)| json!({"step": step, "count": count}));
        let quantile = |q| each.seconds.quantile(q);
        json!({
            "name": name, "running": counts.get(name).copied().unwrap_or(0), "done": each.done, "failed": each.failed,
            "cancelled": each.cancelled, "lost": each.lost, "p50_seconds": quantile(0.5), "p95_seconds": quantile(0.95),
            "p99_seconds": quantile(0.99), "failing_steps": steps.collect::<Vec<_>>()
        })
    });
    let rows: Vec<_> = rows.collect();
    json!({"workflows": rows})
}
