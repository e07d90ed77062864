//! `GET api/v1/operations`: how each operation does, lane by lane.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, params::Params, state::ApiState};
use crate::ops::series::{Aggregation, Filter, Query};

const DURATION: &str = "operation_duration_seconds";
const MAX_OPERATIONS: usize = 500;

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let range = Params::parse(&uri, &["range"])?.range()?;
    let whole = range.range();
    let recorder = &state.core.recorder;
    let query = |name: &'static str, aggregation, filter: Option<Filter>| {
        let query = Query::new(name)
            .by(["operation", "kind"])
            .range(whole)
            .step(whole);
        let query = filter.into_iter().fold(query, Query::filter);
        recorder
            .query(&query.aggregate(aggregation).limit(MAX_OPERATIONS))
            .unwrap_or_default()
    };
    let counts = query(DURATION, Aggregation::Count, None);
    let succeeded = query(
        DURATION,
        Aggregation::Count,
        Some(Filter::is("outcome", "success")),
    );
    let quantiles = [0.5, 0.95, 0.99].map(|q| query(DURATION, Aggregation::Quantile(q), None));
    let average = query(DURATION, Aggregation::Avg, None);
    let in_flight = query("operations_in_flight", Aggregation::Sum, None);
    let rows = counts.series.iter().map(|line| {
        let of = |result: &crate::ops::series::QueryResult| {
            let found = result.series.iter().find(|other| other.labels == line.labels);
            found.and_then(|line| line.points.last()?.1)
        };
        let text = |name: &str| {
            let found = line.labels.iter().find(|(each, _)| each == name);
            found.map(|(_, value)| value.as_str())
        };
        let count = of(&counts).unwrap_or(0.0);
        json!({
            "operation": text("operation"), "kind": text("kind"),
            "calls_per_second": count / whole.as_secs_f64(),
            "done": count, "succeeded": of(&succeeded).unwrap_or(0.0), "in_flight": of(&in_flight),
            "average_seconds": of(&average),
            "p50_seconds": of(&quantiles[0]), "p95_seconds": of(&quantiles[1]), "p99_seconds": of(&quantiles[2]),
        })
    });
    let rows: Vec<Value> = rows.collect();
    Ok(Json(
        json!({"range": range.as_str(), "operations": rows, "truncated": counts.truncated}),
    ))
}
