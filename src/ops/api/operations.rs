//! `GET api/v1/operations`: how each operation does, lane by lane.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{
    ApiResult,
    params::{HistoryRange, Params},
    rows::{self, RowSource},
    state::ApiState,
    status::FAILED,
};
use crate::ops::{core::Core, series::Filter};

const DURATION: &str = "operation_duration_seconds";
const IN_FLIGHT: &str = "operations_in_flight";

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let range = Params::parse(&uri, &["range"])?.range()?;
    let read = state.read(move |core| operations(core, range));
    Ok(Json(read.await?))
}

fn operations(core: &Core, range: HistoryRange) -> Value {
    let source = RowSource {
        metric: DURATION,
        by: &["operation", "kind"],
        failed: Filter::one_of("outcome", FAILED),
    };
    let found = rows::rows(&core.recorder, &source, range);
    let rows = found.rows.into_iter().map(|row| {
        let (operation, kind) = (row.label("operation"), row.label("kind"));
        let labels = [
            ("operation", operation.unwrap_or_default()),
            ("kind", kind.unwrap_or_default()),
        ];
        let in_flight = core.recorder.value(IN_FLIGHT, &labels);
        let in_flight = json!(in_flight.map(|value| value.number()));
        let (operation, kind) = (json!(operation), json!(kind));
        let service = json!(core.about.service.as_str());
        row.with([
            ("service", service),
            ("operation", operation),
            ("kind", kind),
            ("in_flight", in_flight),
        ])
    });
    let rows: Vec<Value> = rows.collect();
    json!({
        "range": range.as_str(), "operations": rows, "truncated": found.truncated,
        "without_history": found.without_history
    })
}
