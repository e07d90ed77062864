//! `GET metrics`: for Prometheus.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};

use super::{ApiResult, state::ApiState};
use crate::ops::{alerts::add_alerts, core::Core, recorder::Format};

pub(super) async fn get(State(state): State<ApiState>, headers: HeaderMap) -> ApiResult<Response> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let format = Format::negotiate(accept);
    let text = state.read(move |core| render(core, format)).await?;
    let mut response = text.into_response();
    let content_type = HeaderValue::from_static(format.content_type());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

fn render(core: &Core, format: Format) -> String {
    let mut text = core.recorder.render(format);
    add_alerts(&mut text, &core.alerts.engine());
    text
}
