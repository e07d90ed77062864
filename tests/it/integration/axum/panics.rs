//! Handlers and bodies that panic.

use std::convert::Infallible;

use axum::{Router, body::Body, routing::get as on_get};
use http::StatusCode;
use tokio_stream::StreamExt;
use tower_keep::{GuardLayer, Outcome, observe};

use super::{is_cut_short, order};
use crate::{
    integration::tracked,
    support::{
        both_versions, connect1, connect2, get, guards::witness, header, logs::logs, meter::meter,
        serve, text, within,
    },
};

async fn panics() -> StatusCode {
    panic!("the ink ran out")
}

#[tokio::test]
async fn handler_panic_is_answered_and_connection_survives() {
    let (meter, logs) = (meter(), logs());
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route("/panics", on_get(panics))
        .route("/orders/{id}", on_get(order))
        .layer(observe(track).server());
    let address = serve(app).await;

    let mut sender = connect1(address).await;
    let response = sender.send_request(get(address, "/panics")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(
        header(&response, "content-type"),
        Some("application/problem+json")
    );
    let said = text(response).await;
    assert!(
        !said.contains("ink"),
        "the message is nobody's business: {said}"
    );
    within(sender.ready()).await.unwrap();
    let response = sender
        .send_request(get(address, "/orders/1"))
        .await
        .unwrap();
    assert_eq!(text(response).await, "order 1");

    let mut sender = connect2(address).await;
    let response = sender.send_request(get(address, "/panics")).await.unwrap();
    assert_eq!(response.status(), 500);
    let response = sender
        .send_request(get(address, "/orders/2"))
        .await
        .unwrap();
    assert_eq!(text(response).await, "order 2");

    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    assert_eq!(
        (group.kind(), group.message()),
        ("panic", "the ink ran out")
    );
    assert_eq!((group.count(), group.route()), (2, Some("/panics")));
    assert_eq!(meter.calls(&[("outcome", "panicked")]), 2.0);
    let labels = [
        ("error_type", "panic"),
        ("http_response_status_code", "500"),
    ];
    assert_eq!(
        meter.count("http_server_request_duration_seconds", &labels),
        2.0
    );
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(0.0));
    let line = &logs.calls()[0];
    assert_eq!(
        (line.get("error_type"), line.get("error")),
        ("panic", "the ink ran out")
    );
    assert_eq!(line.level, tracing::Level::ERROR);
}

#[tokio::test]
async fn body_panic_ends_that_call_alone() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route(
            "/panics",
            on_get(|| async {
                let frames = tokio_stream::iter(["all is well", "no"]).map(|text| match text {
                    "no" => panic!("the stream ran dry"),
                    text => Ok::<_, Infallible>(text),
                });
                Body::from_stream(frames)
            }),
        )
        .route("/orders/{id}", on_get(order))
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        assert!(is_cut_short(&client, get(address, "/panics")).await);
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Panicked, "{version}");
        assert_eq!(told.cause, "panic: the stream ran dry");
        let response = client.request(get(address, "/orders/1")).await.unwrap();
        assert_eq!(text(response).await, "order 1");
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
    assert_eq!(errors.groups()[0].count(), 2);
}
