//! `GET api/v1/journal`: what happened.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, Problem, params::Params, state::ApiState};
use crate::ops::journal::{Event, EventKind, EventPage, Journal, PageStart};

/// The events in the first frame of live push.
const PUSHED: usize = 100;

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let params = Params::parse(&uri, &["after", "before", "limit", "kind"])?;
    if params.text("after").is_some() && params.text("before").is_some() {
        let detail = "before is given with after, must be one of them";
        return Err(Problem::invalid("before", detail));
    }
    let from = match params.text("after") {
        Some(_) => PageStart::After(params.number("after", 0..=u64::MAX, 0)?),
        None => PageStart::Before(params.number("before", 0..=u64::MAX, u64::MAX)?),
    };
    let asked = EventPage {
        from,
        limit: params.number("limit", 1..=1_000, 200)? as usize,
        kind: params.text("kind").map(kind).transpose()?,
    };
    let journal = &state.core.journal;
    let events = match asked.in_memory(journal) {
        (events, true) => events,
        (_, false) => {
            let read = state.read(move |core| asked.with_file(&core.journal, &core.store));
            read.await?
        }
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
    let (dropped, oldest) = (journal.dropped(), journal.oldest_kept());
    json!({"events": events, "dropped": dropped, "oldest": oldest, "last": journal.last()})
}
