//! `GET api/v1/routes`: how each route does.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{
    ApiResult,
    params::{HistoryRange, Params},
    rows::{self, MAX_ROWS, RowSource},
    state::ApiState,
};
use crate::{
    ops::{call_metrics::SOURCES, core::Core, series::Filter},
    protocol::Side,
};

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let range = Params::parse(&uri, &["range"])?.range()?;
    let routes = state.read(move |core| routes(core, range)).await?;
    Ok(Json(routes))
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::Client => "client",
    }
}

/// Returns the routes of a range, those with the most calls first.
pub(in crate::ops) fn routes(core: &Core, range: HistoryRange) -> Value {
    let mut rows = Vec::new();
    let (mut truncated, mut without_history) = (false, 0);
    for names in &SOURCES {
        let source = RowSource {
            metric: names.metric,
            by: &["service", names.method, names.route],
            // As the overview counts: by outcome, of which the error type says too much.
            failed: Filter::failed(names.side),
        };
        let found = rows::rows(&core.recorder, &source, range);
        truncated |= found.truncated;
        without_history += found.without_history;
        rows.extend(found.rows.into_iter().map(|row| (names, row)));
    }
    truncated |= rows.len() > MAX_ROWS;
    rows.sort_by(|(_, a), (_, b)| b.count.total_cmp(&a.count));
    rows.truncate(MAX_ROWS);
    let own = core.about.service.as_str();
    let rows = rows.into_iter().map(|(names, row)| {
        let service = json!(row.label("service").unwrap_or(own));
        let (method, route) = (row.label(names.method), row.label(names.route));
        let (method, route) = (json!(method), json!(route));
        let side = json!(side_name(names.side));
        row.with([
            ("service", service),
            ("side", side),
            ("method", method),
            ("route", route),
        ])
    });
    let rows: Vec<Value> = rows.collect();
    // Too many routes, or calls that the numbers lack: two things to say.
    json!({
        "range": range.as_str(), "routes": rows, "truncated": truncated, "without_history": without_history
    })
}
