//! `GET api/v1/calls`: calls in flight, the oldest first, or the latest slow ones.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, params::Params, state::ApiState};
use crate::{
    ops::{core::Core, time::unix},
    track::{CallSnapshot, CallTable},
};

pub(super) async fn get(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let params = Params::parse(&uri, &["slow", "limit"])?;
    let limit = params.number("limit", 1..=1_000, 200)? as usize;
    let is_slow = params.number("slow", 0..=1, 0)? == 1;
    let Some(table) = state.core.calls() else {
        return Ok(Json(json!({"calls": [], "truncated": false, "missed": 0})));
    };
    Ok(Json(match is_slow {
        true => slow_calls(&state.core, table, limit),
        false => in_flight(&state.core, table, limit),
    }))
}

fn in_flight(core: &Core, table: &CallTable, limit: usize) -> Value {
    let len = table.len();
    let calls = table.in_flight(limit);
    let calls: Vec<Value> = calls.iter().map(|call| row(core, call)).collect();
    // Where the table is full, there may be calls that are not in it.
    json!({"calls": calls, "truncated": len > limit || len >= table.capacity(), "missed": table.missed()})
}

fn slow_calls(core: &Core, table: &CallTable, limit: usize) -> Value {
    // One more, to see whether there is.
    let mut calls = table.slow(limit + 1);
    let is_truncated = calls.len() > limit;
    calls.truncate(limit);
    let calls: Vec<Value> = calls.iter().map(|call| row(core, call)).collect();
    json!({"calls": calls, "truncated": is_truncated, "missed": table.missed()})
}

fn row(core: &Core, call: &CallSnapshot) -> Value {
    let context = call.context.as_ref();
    let trace_id = context.map(|context| context.trace_id().to_string());
    json!({
        "id": call.id,
        "kind": call.kind.as_str(),
        "service": call.service.as_str(),
        "method": call.method,
        "route": call.route,
        "path": call.path,
        "started_at": unix(call.started_at),
        "seconds": call.elapsed.as_secs_f64(),
        "correlation_id": context.map(|context| context.correlation_id()),
        "trace_kept": core.keeps_trace(trace_id.as_deref()),
        "trace_id": trace_id,
        "status": call.status,
        "outcome": call.outcome.map(|outcome| outcome.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;

    #[test]
    fn empty_table_has_no_calls() {
        let table = CallTable::with_capacity(1).expect("in range");
        let core = Ops::builder("orders").build().expect("valid").into_core();
        let expected = json!({"calls": [], "truncated": false, "missed": 0});
        assert_eq!(in_flight(&core, &table, 1), expected);
        assert_eq!(slow_calls(&core, &table, 1), expected);
    }
}
