//! Faults that callers ask for in a header.

use http::{HeaderName, Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError,
    chaos::{Chaos, ChaosLayer, FaultKind},
    testing::ScriptedBody,
};

use super::{SECOND, get, grpc, on};

const HEADER: HeaderName = HeaderName::from_static("x-chaos");

fn asking(mut request: Request<ScriptedBody>, faults: &'static str) -> Request<ScriptedBody> {
    let value = http::HeaderValue::from_static(faults);
    request.headers_mut().insert(HEADER, value);
    request
}

/// Responds with the header that it got, if any.
async fn echo(request: Request<ScriptedBody>) -> Result<Response<ScriptedBody>, BoxError> {
    let value = request
        .headers()
        .get(HEADER)
        .map(|value| value.as_bytes().to_vec());
    Ok(Response::new(
        ScriptedBody::new().data(value.unwrap_or_default()),
    ))
}

#[tokio::test(start_paused = true)]
async fn header_is_an_ordinary_one_unless_it_is_allowed_and_the_chaos_is_on() {
    let allowed = |chaos: &Chaos| ChaosLayer::client(chaos).request_header(HEADER);
    let off = Chaos::new("requested");
    for layer in [
        ChaosLayer::client(&on("requested", |chaos| chaos)),
        allowed(&off),
    ] {
        let response = layer
            .layer(service_fn(echo))
            .oneshot(asking(get("/"), "error"))
            .await;
        let body = response.expect("a response").into_body().collect().await;
        assert_eq!(body.expect("whole").to_bytes(), "error");
    }
    let chaos = on("requested", |chaos| chaos);
    let client = allowed(&chaos).layer(service_fn(echo));
    client
        .oneshot(asking(get("/"), "error"))
        .await
        .expect_err("asked for");
    assert_eq!(chaos.injected_count(FaultKind::Error), 1);
}

#[tokio::test(start_paused = true)]
async fn requested_faults_come_instead_of_those_by_rate() {
    let chaos = on("requested", |chaos| chaos.error_rate(1.0));
    let server = ChaosLayer::server(&chaos)
        .request_header(HEADER)
        .layer(service_fn(echo));
    let begun = Instant::now();
    let response = server.clone().oneshot(asking(get("/"), "latency=2s")).await;
    let response = response.expect("a response");
    assert_eq!(
        (begun.elapsed(), response.status().as_u16()),
        (2 * SECOND, 200)
    );
    let body = response
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert!(body.is_empty(), "the next hop does not see the header");
    let response = server.clone().oneshot(asking(get("/"), "status=418")).await;
    assert_eq!(response.expect("a response").status(), 418);
    let response = server.clone().oneshot(asking(grpc(), "grpc=8")).await;
    assert_eq!(response.expect("a response").headers()["grpc-status"], "8");
    assert_eq!(chaos.injected_count(FaultKind::Error), 0);
    let response = server.oneshot(asking(get("/"), "misspelled")).await;
    assert_eq!(response.expect("a response").status(), 500, "by rate");
}

#[tokio::test(start_paused = true)]
async fn requests_that_the_predicate_leaves_alone_cannot_ask() {
    let chaos = on("requested", |chaos| chaos);
    let layer = ChaosLayer::server(&chaos).request_header(HEADER);
    let layer = layer.only(|head| head.uri.path() != "/login");
    let server = layer.layer(service_fn(echo));
    let response = server.oneshot(asking(get("/login"), "error")).await;
    assert_eq!(response.expect("a response").status(), 200);
}
