//! A console as a test asks it.

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_keep::ops::{Access, Ops};

pub const VIEWER: &str = "a token of 32 bytes for viewers..";
pub const OPERATOR: &str = "a token of 32 bytes for operators";

pub fn access() -> Access {
    let access = Access::builder()
        .viewer_token(VIEWER)
        .operator_token(OPERATOR);
    access.build().expect("valid settings")
}

/// Returns a console with the defaults, and switches the table of calls on.
pub fn console() -> Router {
    crate::cost::measure_without_table();
    let ops = Ops::builder("test").build().expect("valid settings");
    ops.spawn();
    ops.console(access())
}

pub async fn get(console: &Router, path: &str) -> (StatusCode, Value) {
    send(
        console,
        VIEWER,
        Request::get(path).body(Body::empty()).expect("a request"),
    )
    .await
}

pub async fn send(
    console: &Router,
    token: &str,
    mut request: Request<Body>,
) -> (StatusCode, Value) {
    let token = format!("Bearer {token}").parse().expect("a header");
    request.headers_mut().insert(header::AUTHORIZATION, token);
    let response = console.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    let json = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    (status, json)
}

/// Returns the rows of a service.
pub async fn rows(console: &Router, query: &str, service: &str) -> Vec<Value> {
    let (status, page) = get(console, &format!("/api/v1/calls?limit=1000&{query}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let calls = page["calls"].as_array().expect("a list");
    let of_service = calls.iter().filter(|call| call["service"] == service);
    of_service.cloned().collect()
}
