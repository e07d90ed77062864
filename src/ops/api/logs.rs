//! `GET api/v1/logs`: the records of the log.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::Value;

#[cfg(not(feature = "ops-logs"))]
use super::Problem;
use super::{ApiResult, state::ApiState};

#[cfg(feature = "ops-logs")]
pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    use std::time::SystemTime;

    use serde_json::json;

    use super::params::Params;
    use crate::ops::logs::{LogPage, LogQuery, MAX_LIMIT};

    let mut known = LogQuery::PARAMS.to_vec();
    known.extend(["since", "until", "before", "after", "limit"]);
    let params = Params::parse(&uri, &known)?;
    let query = LogQuery::parse(|name| params.text(name))?.with_default_time(SystemTime::now());
    let cursor = |name| {
        let given = params
            .text(name)
            .map(|_| params.number(name, 0..=u64::MAX, 0));
        given.transpose()
    };
    let page = LogPage {
        before: cursor("before")?,
        after: cursor("after")?,
        limit: params.number("limit", 1..=MAX_LIMIT as u64, 100)? as usize,
    };
    let (found, (stored, dropped)) = state
        .read(move |core| (core.logs.search(&query, page), core.logs.figures()))
        .await?;
    let records: Vec<Value> = found
        .records
        .iter()
        .map(|record| record.to_json())
        .collect();
    Ok(Json(json!({
        "records": records, "before": found.before, "is_cut": found.is_cut, "stored": stored, "kept": found.kept,
        "dropped": dropped, "oldest_at": found.oldest.map(|at| at as f64 / 1e6),
        "source": if found.is_from_file { "file" } else { "memory" }
    })))
}

#[cfg(not(feature = "ops-logs"))]
pub(super) async fn get(State(_): State<ApiState>, _: Uri) -> ApiResult<Json<Value>> {
    let detail = "logs are not kept: the program was built without the feature ops-logs";
    Err(Problem::not_found(detail))
}
