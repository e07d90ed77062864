//! IDs in responses.

use axum::{Router, routing::get as on_get};
use http::StatusCode;
use tower_keep::{
    GuardLayer,
    context::{Correlate, Traceparent},
    observe,
};

use super::{TRACE_ID, TRACEPARENT, telling, with, word};
use crate::support::{both_versions, get, guards::Fuse, header, http1, serve, text};

#[tokio::test]
async fn response_echoes_request_and_correlation_id() {
    let address = telling(Correlate::builder()).await;
    for (_, client) in both_versions() {
        // None came: one is made for both, and said once.
        let response = client.request(get(address, "/")).await.unwrap();
        let request_id = header(&response, "x-request-id").unwrap().to_owned();
        assert_eq!(header(&response, "x-correlation-id"), None);
        assert_eq!(header(&response, "traceparent"), None);
        assert_eq!(word(&text(response).await, "request"), Some(&*request_id));
        // Good ones stay what they are.
        let ids = [("x-request-id", "hop-2"), ("x-correlation-id", "journey")];
        let response = client.request(with(get(address, "/"), ids)).await.unwrap();
        assert_eq!(header(&response, "x-request-id"), Some("hop-2"));
        assert_eq!(header(&response, "x-correlation-id"), Some("journey"));
        // One of them is enough.
        let ids = [("x-request-id", "hop-3")];
        let response = client.request(with(get(address, "/"), ids)).await.unwrap();
        assert_eq!(header(&response, "x-request-id"), Some("hop-3"));
        assert_eq!(header(&response, "x-correlation-id"), None);
        assert_eq!(word(&text(response).await, "correlation"), Some("hop-3"));
        let ids = [("x-correlation-id", "journey")];
        let response = client.request(with(get(address, "/"), ids)).await.unwrap();
        assert_ne!(header(&response, "x-request-id"), Some("journey"));
    }
}

#[tokio::test]
async fn response_echoes_ids_on_rejection_and_panic() {
    let app = Router::new()
        .route("/panics", on_get(async || -> () { panic!("no") }))
        .route("/fails", on_get(async || StatusCode::BAD_GATEWAY))
        .route(
            "/rejected",
            on_get(async || ()).layer(GuardLayer::server(Fuse::blown())),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        for (path, status) in [
            ("/panics", 500),
            ("/fails", 502),
            ("/rejected", 503),
            ("/x", 404),
        ] {
            let request = with(get(address, path), [("x-correlation-id", "mine")]);
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(
                header(&response, "x-correlation-id"),
                Some("mine"),
                "{path}"
            );
            assert!(response.headers().contains_key("x-request-id"), "{path}");
        }
    }
}

#[tokio::test]
async fn response_ids_override_those_of_handler() {
    let app = Router::new()
        .route(
            "/",
            on_get(async || ([("x-request-id", "forged"), ("x-other", "kept")], "")),
        )
        .layer(observe("shop").server());
    let request = with(get(serve(app).await, "/"), [("x-request-id", "mine")]);
    let response = http1().request(request).await.unwrap();
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids, ["mine"]);
    assert_eq!(header(&response, "x-other"), Some("kept"));
}

#[tokio::test]
async fn response_echo_is_configurable() {
    let asks = |head: &tower_keep::context::RequestHead<'_>| head.headers.contains_key("x-debug");
    let address = telling(Correlate::builder().echo(false).respond_traceparent(asks)).await;
    let response = http1().request(get(address, "/")).await.unwrap();
    assert_eq!(response.headers().get("x-request-id"), None);
    assert_eq!(response.headers().get("traceparent"), None);

    let request = with(
        get(address, "/"),
        [("x-debug", "1"), ("traceparent", TRACEPARENT)],
    );
    let response = http1().request(request).await.unwrap();
    let answered = header(&response, "traceparent").unwrap().to_owned();
    let told = text(response).await;
    let answered = Traceparent::parse(answered.as_bytes()).unwrap();
    assert_eq!(answered.trace_id.to_string(), TRACE_ID);
    assert_eq!(word(&told, "span"), Some(&*answered.parent_id.to_string()));
}
