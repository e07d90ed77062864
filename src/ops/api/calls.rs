//! `GET api/v1/calls`: calls in flight and slow ones.

use axum::{Json, extract::State};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, params::Params, state::ApiState};

pub(super) async fn get(State(_): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    Params::parse(&uri, &["slow"])?.number("slow", 0..=1, 0)?;
    Ok(Json(json!({"calls": [], "truncated": false})))
}
