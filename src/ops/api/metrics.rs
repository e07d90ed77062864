//! `GET api/v1/metrics`: families, one of them, and queries.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Map, Value, json};

use super::{ApiResult, Problem, params::Params, path::PathParams, state::ApiState};
use crate::ops::{
    core::Core,
    recorder::{ExposedValue, FamilyInfo},
    series::{Query, QueryError, QueryResult},
};

/// The examples in the detail of a histogram.
const MAX_EXAMPLES: usize = 50;
/// The lines of the detail of a metric.
const DETAIL_LINES: usize = 200;

pub(super) async fn families(State(state): State<ApiState>) -> Json<Value> {
    let families = state.core.recorder.families();
    let families: Vec<_> = families.iter().map(family).collect();
    Json(json!({"families": families}))
}

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let name = params.get("name");
    let families = state.core.recorder.families();
    let found = families.iter().find(|family| family.name == name);
    let found = found.ok_or_else(|| Problem::not_found("there is no metric of this name"))?;
    let query = Query::new(name).by(["*"]).limit(DETAIL_LINES);
    let mut detail = family(found);
    let (query, last) = ask(&state, query).await?;
    detail["last_5m"] = result(&query, last);
    detail["examples"] = examples(&state.core, name);
    Ok(Json(detail))
}

/// Returns the examples of a histogram: those whose traces are kept first, and of these the largest values.
fn examples(core: &Core, name: &str) -> Value {
    let families = core.recorder.exposed();
    let series = families.iter().filter(|family| family.name() == name);
    let mut found = Vec::new();
    for series in series.flat_map(|family| family.series()) {
        let ExposedValue::Histogram(histogram) = &series.value else {
            continue;
        };
        for example in &histogram.exemplars {
            let trace_id = example.trace_id.to_string();
            let is_kept = core.keeps_trace(Some(&trace_id));
            let labels = series.labels.iter();
            let labels: Map<_, _> = labels
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect();
            let object = json!({
                "labels": labels, "value": example.value, "at": example.at, "trace_id": trace_id, "trace_kept": is_kept
            });
            found.push((is_kept, example.value, object));
        }
    }
    found.sort_by(|(a_kept, a, _), (b_kept, b, _)| b_kept.cmp(a_kept).then(b.total_cmp(a)));
    found.truncate(MAX_EXAMPLES);
    found.into_iter().map(|(_, _, object)| object).collect()
}

pub(super) async fn query(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let known = [
        "name", "filter", "by", "range", "step", "end", "agg", "limit",
    ];
    let params = Params::parse(&uri, &known)?;
    let query = Query::parse(params.pairs()).map_err(problem)?;
    let (query, found) = ask(&state, query).await?;
    Ok(Json(result(&query, found)))
}

async fn ask(state: &ApiState, query: Query) -> ApiResult<(Query, QueryResult)> {
    let read = state.read(move |core| core.query(&query).map(|found| (query, found)));
    read.await?.map_err(problem)
}

fn problem(error: QueryError) -> Problem {
    Problem::invalid(error.field(), error.to_string())
}

fn family(family: &FamilyInfo) -> Value {
    json!({
        "name": family.name, "kind": family.kind.as_str(), "unit": family.unit,
        "help": family.help, "series": family.series
    })
}

fn result(query: &Query, result: QueryResult) -> Value {
    let series = result.series.into_iter().map(|line| {
        let labels = line
            .labels
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)));
        json!({"labels": labels.collect::<serde_json::Map<_, _>>(), "points": line.points})
    });
    let agg = query
        .aggregation()
        .map(|aggregation| aggregation.to_string());
    json!({
        "name": query.name(), "agg": agg, "step": result.step, "series": series.collect::<Vec<_>>(),
        "truncated": result.truncated
    })
}
