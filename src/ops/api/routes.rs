//! `GET api/v1/routes`: how each route does.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{
    ApiResult,
    params::{HistoryRange, Params},
    state::ApiState,
};
use crate::ops::{
    recorder::Recorder,
    series::{Aggregation, Query, QueryResult},
};

/// The most routes in one answer.
const MAX_ROUTES: usize = 500;
/// The points of a trend.
const TREND: u32 = 30;

/// A histogram of durations, and the labels that tell its routes apart.
struct Source {
    metric: &'static str,
    side: &'static str,
    method: &'static str,
    route: &'static str,
}

const SOURCES: [Source; 5] = [
    Source {
        metric: "http_server_request_duration_seconds",
        side: "server",
        method: "http_request_method",
        route: "http_route",
    },
    Source {
        metric: "rpc_server_call_duration_seconds",
        side: "server",
        method: "rpc_system_name",
        route: "rpc_method",
    },
    Source {
        metric: "http_request_duration_seconds",
        side: "server",
        method: "method",
        route: "route",
    },
    Source {
        metric: "http_client_request_duration_seconds",
        side: "client",
        method: "http_request_method",
        route: "server_address",
    },
    Source {
        metric: "rpc_client_call_duration_seconds",
        side: "client",
        method: "rpc_system_name",
        route: "rpc_method",
    },
];

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let range = Params::parse(&uri, &["range"])?.range()?;
    Ok(Json(routes(&state.core.recorder, range)))
}

/// Returns the routes of a range.
pub(in crate::ops) fn routes(recorder: &Recorder, range: HistoryRange) -> Value {
    let mut routes = Vec::new();
    let mut truncated = false;
    for source in &SOURCES {
        let (rows, is_truncated) = rows(recorder, source, range);
        truncated |= is_truncated;
        routes.extend(rows);
    }
    truncated |= routes.len() > MAX_ROUTES;
    routes.truncate(MAX_ROUTES);
    json!({"range": range.as_str(), "routes": routes, "truncated": truncated})
}

/// The labels of a row: service, method and route.
type RowLabels = Vec<(String, String)>;

fn rows(recorder: &Recorder, source: &Source, range: HistoryRange) -> (Vec<Value>, bool) {
    let by = ["service", source.method, source.route];
    let whole = range.range();
    let query = |aggregation, step| {
        let query = Query::new(source.metric).by(by).range(whole).step(step);
        let query = query.aggregate(aggregation).limit(MAX_ROUTES);
        // Fails for a metric that nothing was recorded in.
        recorder.query(&query).unwrap_or_default()
    };
    let counts = query(Aggregation::Count, whole);
    if counts.series.is_empty() {
        return (Vec::new(), false);
    }
    let quantiles = [0.5, 0.95, 0.99].map(|q| query(Aggregation::Quantile(q), whole));
    let trend = query(Aggregation::Rate, whole / TREND);
    let failed = failed(recorder, source, range);
    let seconds = whole.as_secs_f64();
    let row = |labels: &RowLabels, count: f64| {
        let text = |name: &str| {
            let found = labels.iter().find(|(each, _)| each == name);
            found
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        };
        let failed: f64 = last(&failed, labels).unwrap_or(0.0);
        let [p50, p95, p99] = [0, 1, 2].map(|at| last(&quantiles[at], labels));
        json!({
            "service": text("service"), "side": source.side, "method": text(source.method), "route": text(source.route),
            "calls_per_second": count / seconds,
            "error_ratio": (count > 0.0).then(|| failed / count),
            "p50_seconds": p50, "p95_seconds": p95, "p99_seconds": p99,
            "trend": points(&trend, labels),
        })
    };
    let rows = counts.series.iter().filter_map(|line| {
        let count = line.points.last()?.1.filter(|count| *count > 0.0)?;
        Some(row(&line.labels, count))
    });
    (rows.collect(), counts.truncated)
}

/// Returns how many calls have failed: those with an error type.
fn failed(recorder: &Recorder, source: &Source, range: HistoryRange) -> QueryResult {
    let query = Query::new(source.metric)
        .by(["service", source.method, source.route])
        .filter(crate::ops::series::Filter::is_not("error_type", ""))
        .range(range.range())
        .step(range.range())
        .aggregate(Aggregation::Count)
        .limit(MAX_ROUTES);
    recorder.query(&query).unwrap_or_default()
}

fn last(result: &QueryResult, labels: &RowLabels) -> Option<f64> {
    points(result, labels)?.last().copied().flatten()
}

fn points(result: &QueryResult, labels: &RowLabels) -> Option<Vec<Option<f64>>> {
    let line = result.series.iter().find(|line| line.labels == *labels)?;
    Some(line.points.iter().map(|(_, number)| *number).collect())
}
