//! `GET api/v1/journal`: what happened.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, Problem, params::Params, state::ApiState};
use crate::ops::journal::{Event, EventKind, Journal};

/// The events in the first frame of live push.
const PUSHED: usize = 100;

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let params = Params::parse(&uri, &["after", "limit", "kind"])?;
    let limit = params.number("limit", 1..=1_000, 200)? as usize;
    let kind = params.text("kind").map(kind).transpose()?;
    let journal = &state.core.journal;
    let is_wanted = |event: &Event| kind.is_none_or(|kind| event.kind() == kind);
    let events = match params.text("after") {
        Some(_) => journal.after(params.number("after", 0..=u64::MAX, 0)?, limit, is_wanted),
        None => journal.latest(limit, is_wanted),
    };
    Ok(Json(page(journal, &events)))
}

fn kind(text: &str) -> ApiResult<EventKind> {
    EventKind::parse(text).ok_or_else(|| {
        let all = EventKind::ALL.map(EventKind::as_str).join(", ");
        Problem::invalid("kind", format!("kind is {text:?}, must be one of {all}"))
    })
}

/// Returns the latest events, for a first frame.
pub(in crate::ops) fn latest(journal: &Journal) -> Value {
    page(journal, &journal.latest(PUSHED, |_| true))
}

fn page(journal: &Journal, events: &[std::sync::Arc<Event>]) -> Value {
    let events: Vec<Value> = events.iter().map(|event| event.to_json()).collect();
    let dropped = journal.dropped();
    json!({"events": events, "dropped": dropped, "oldest": journal.oldest(), "last": journal.last()})
}
