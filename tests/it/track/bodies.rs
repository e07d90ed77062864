//! The sizes of request and response bodies.

use std::{convert::Infallible, io};

use axum::{body::Body, routing::post as on_post};
use http::{HeaderValue, Method, header::HOST};
use tokio_stream::StreamExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{
    CircuitBreaker, GuardLayer, breaker::KeyedBreaker, observe, track::RequestBodyLayer,
};

use super::{guarded, shop, track};
use crate::support::{
    both_versions, get, guards::Fuse, header, http1, local, logs::logs, meter::meter, serve, text,
};

#[tokio::test]
async fn body_sizes_are_measured_once_per_call() {
    let (meter, logs) = (meter(), logs());
    let track = track().body_sizes(true).build().unwrap();
    let app = shop()
        .route(
            "/half",
            on_post(async |body: Body| {
                let mut frames = body.into_data_stream();
                let first = frames.next().await.unwrap().unwrap();
                first.len().to_string()
            }),
        )
        .route("/deaf", on_post(async || "not a word"))
        .layer(RequestBodyLayer::new(Body::new))
        .layer(observe(track).server());
    let address = serve(app).await;

    let post = |path: &str, frames: &[&'static str]| {
        let frames = tokio_stream::iter(frames.to_vec()).map(Ok::<_, Infallible>);
        let mut request = get(address, path);
        *request.method_mut() = Method::POST;
        *request.body_mut() = Body::from_stream(frames);
        request
    };
    for (calls, (_, client)) in [1.0, 2.0].into_iter().zip(both_versions()) {
        let response = client
            .request(post("/echo", &["12345", "67890"]))
            .await
            .unwrap();
        assert_eq!(text(response).await, "1234567890");
        let of = [("http_route", "/echo")];
        for side in ["request", "response"] {
            let size = format!("http_server_{side}_body_size_bytes");
            let sum = meter.sum(&format!("{size}_sum"), &of);
            assert_eq!(sum, Some(10.0 * calls), "{side}");
            assert_eq!(meter.count(&size, &of), calls, "{side}");
        }
    }
    let lines = logs.calls();
    assert_eq!(
        (
            lines[0].get("request_bytes"),
            lines[0].get("response_bytes")
        ),
        ("10", "10")
    );
    logs.clear();

    // What nobody read was not received.
    let response = http1().request(post("/deaf", &["12345"])).await.unwrap();
    assert_eq!(text(response).await, "not a word");
    assert_eq!(logs.only_call().get("request_bytes"), "0");
}

#[tokio::test]
async fn body_sizes_are_measured_on_clients() {
    let meter = meter();
    let address = serve(shop()).await;
    let track = track().body_sizes(true).build().unwrap();
    for (_, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(observe(track.clone()).client())
            .layer(RequestBodyLayer::new(Body::new))
            .service(client);
        let mut request = get(address, "/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = "12345".into();
        let response = client.oneshot(request).await.unwrap();
        assert_eq!(text(response).await, "12345");
    }
    for side in ["request", "response"] {
        let size = format!("http_client_{side}_body_size_bytes_sum");
        assert_eq!(meter.sum(&size, &[]), Some(10.0), "{side}");
    }
}

#[tokio::test]
async fn body_size_of_head_response_is_zero() {
    let logs = logs();
    let address = serve(guarded(track())).await;
    for (_, client) in both_versions() {
        let mut request = get(address, "/orders/7");
        *request.method_mut() = Method::HEAD;
        let response = client.request(request).await.unwrap();
        assert_eq!(header(&response, "content-length"), Some("7"));
    }
    for line in logs.calls() {
        assert_eq!(
            (line.get("outcome"), line.get("response_bytes")),
            ("success", "0")
        );
    }
}

/// `circuit_open` was all that the line of a rejected call had: not by whom, nor why.
#[tokio::test]
async fn rejection_is_named_in_the_access_log() {
    let logs = logs();
    let breaker = CircuitBreaker::builder("peers").consecutive_failures(1);
    let hosts: KeyedBreaker<String> = KeyedBreaker::builder(breaker).build().unwrap();
    let refused = async { Err::<(), _>(io::Error::other("connection refused")) };
    assert!(hosts.get("a.example").call(refused).await.is_err());
    let guards = GuardLayer::server((track().build().unwrap(), hosts.keyed_by_authority()));
    let mut request = local("/");
    let authority = HeaderValue::from_static("a.example");
    request.headers_mut().insert(HOST, authority);
    shop().layer(guards).oneshot(request).await.unwrap();
    let line = logs.only_call();
    assert_eq!(line.get("error_type"), "circuit_open");
    let text = r#"rejected by "peers" for a.example: circuit_open (consecutive_failures; last error: connection refused)"#;
    assert!(line.get("error").starts_with(text), "{line:?}");
}

#[tokio::test]
async fn rejection_of_head_request_has_no_bytes() {
    let logs = logs();
    let guards = GuardLayer::server((track().build().unwrap(), Fuse::blown()));
    let mut request = local("/");
    *request.method_mut() = Method::HEAD;
    shop().layer(guards).oneshot(request).await.unwrap();
    let line = logs.only_call();
    assert_eq!(line.get("outcome"), "rejected");
    assert_eq!(line.get("response_bytes"), "0");
}
