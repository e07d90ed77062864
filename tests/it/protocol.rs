//! One header turns nobody's request into gRPC: a rejection would be an empty 200 that caches keep, and a good page a
//! failure that opens circuits. Over real connections.

use std::{future::pending, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Path, response::Html, routing::any};
use http::{HeaderValue, Method, Request, StatusCode, Version};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::sync::Notify;
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{
    CircuitBreaker, GuardLayer, Outcome, Track,
    breaker::CircuitState,
    call::Evidence,
    observe,
    protocol::WireFormat,
    retry::{ReplayBody, Retry, RetryLayer},
    timeout::TimeoutLayer,
};

use crate::support::{
    both_versions, connect1, get,
    guards::{Fuse, witness},
    header,
    meter::{Meter, meter},
    serve, text, within,
};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

fn saying_grpc<B>(mut request: Request<B>) -> Request<B> {
    request.headers_mut().insert("content-type", GRPC);
    request
}

fn post(mut request: Request<Body>) -> Request<Body> {
    *request.method_mut() = Method::POST;
    request
}

async fn panics() -> StatusCode {
    panic!("the ink ran out")
}

/// An app for each of our own answers, with the status that it has over HTTP.
fn answering_for_the_service() -> [(&'static str, Router, u16); 3] {
    let limit = Duration::from_millis(20);
    let app = |name: &'static str| match name {
        "rejected" => Router::new()
            .fallback(|| async { "never asked" })
            .layer(GuardLayer::server(Fuse::blown())),
        "times out" => Router::new()
            .fallback(pending::<()>)
            .layer(TimeoutLayer::server(limit)),
        _ => Router::new().fallback(panics),
    };
    [("rejected", 503), ("times out", 504), ("panics", 500)].map(|(name, status)| {
        let app = app(name).layer(observe("shop").server());
        (name, app, status)
    })
}

#[tokio::test]
async fn grpc_content_type_on_get_is_http() {
    for (name, app, status) in answering_for_the_service() {
        let address = serve(app).await;
        for (version, client) in both_versions() {
            let what = format!("{name} over {version}");
            let request = saying_grpc(get(address, "/page"));
            let response = within(client.request(request)).await.unwrap();
            assert_eq!(response.status(), status, "{what}");
            assert_eq!(
                header(&response, "cache-control"),
                Some("no-store"),
                "{what}"
            );
            assert_eq!(header(&response, "grpc-status"), None, "{what}");
            assert_eq!(
                header(&response, "content-type"),
                Some("application/problem+json"),
                "{what}"
            );
            assert!(text(response).await.contains(&status.to_string()), "{what}");
        }
    }
}

/// Nor is a `POST` gRPC over HTTP/1.1, nor anything over HTTP/1.0.
#[tokio::test]
async fn grpc_content_type_over_http1_is_http() {
    for (name, app, status) in answering_for_the_service() {
        let address = serve(app).await;
        for (version, kind) in [
            (Version::HTTP_11, "application/grpc"),
            (Version::HTTP_10, "application/grpc"),
            (Version::HTTP_10, "application/grpc-web+proto"),
        ] {
            let what = format!("{name}, {kind} over {version:?}");
            let mut request = post(get(address, "/page"));
            request
                .headers_mut()
                .insert("content-type", HeaderValue::from_static(kind));
            request
                .headers_mut()
                .insert("host", HeaderValue::from_static("shop"));
            *request.version_mut() = version;
            let mut connection = connect1(address).await;
            let response = within(connection.send_request(request)).await.unwrap();
            assert_eq!(response.status(), status, "{what}");
            assert_eq!(
                header(&response, "cache-control"),
                Some("no-store"),
                "{what}"
            );
            assert_eq!(header(&response, "grpc-status"), None, "{what}");
        }
    }
}

#[tokio::test]
async fn grpc_rejection_is_not_cacheable() {
    for ((name, app, _), code) in answering_for_the_service()
        .into_iter()
        .zip(["14", "4", "13"])
    {
        let address = serve(app).await;
        let [_, (_, http2)] = both_versions();
        let request = saying_grpc(post(get(address, "/shop.Orders/Get")));
        let response = within(http2.request(request)).await.unwrap();
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(header(&response, "grpc-status"), Some(code), "{name}");
        assert_eq!(
            header(&response, "cache-control"),
            Some("no-store"),
            "{name}"
        );
    }
}

// ---- circuits

/// A caller that sends the header to a peer that speaks no gRPC made a failure of each of its good answers, and opened the
/// circuit for everybody else.
#[tokio::test]
async fn grpc_content_type_opens_no_circuit() {
    let meter = meter();
    let page = || async { Html("<p>a page</p>") };
    let address = serve(Router::new().fallback(page)).await;
    for (version, http2) in [("1.1", false), ("2", true)] {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http::<ReplayBody<Body>>();
        let breaker = CircuitBreaker::builder("payments").consecutive_failures(10);
        let breaker = breaker.build().unwrap();
        // As in the README.
        let (witness, mut ends) = witness();
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client(witness))
            .layer(TimeoutLayer::client(Duration::from_secs(30)))
            .layer(RetryLayer::client(Retry::new("payments")))
            .layer(breaker.layer().client())
            .layer(observe("payments").client())
            .layer(TimeoutLayer::client(Duration::from_secs(10)))
            .service(client);
        for n in 0..40 {
            let request = get(address, "/page");
            let request = if n % 2 == 0 { post(request) } else { request };
            let response = client.clone().oneshot(saying_grpc(request)).await.unwrap();
            assert_eq!(response.status(), 200);
            match n % 4 {
                0 | 1 => drop(response),
                _ => assert_eq!(text(response).await, "<p>a page</p>"),
            }
            let told = ends.next().await;
            let good = (Outcome::Success, Evidence::Healthy);
            assert_eq!((told.outcome, told.evidence), good, "{version}");
            assert_eq!((told.wire, told.code), (WireFormat::Plain, None));
        }
        assert_eq!(breaker.state(), CircuitState::Closed, "{version}");
        assert_eq!((breaker.counts().calls, breaker.counts().failures), (40, 0));
    }
    assert_eq!(
        meter.count("http_client_request_duration_seconds", &[]),
        80.0
    );
    assert!(!meter.render().contains("rpc_"), "{}", meter.render());
}

// ---- metrics

fn http_calls(meter: &Meter, labels: &[(&str, &str)]) -> f64 {
    meter.count("http_server_request_duration_seconds", labels)
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn grpc_content_type_keeps_route_and_metrics() {
    let meter = meter();
    let (witness, mut ends) = witness();
    let order = |Path(id): Path<u32>| async move {
        match id {
            404 => StatusCode::NOT_FOUND,
            500 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    };
    // Every call on this route is slow, and none elsewhere.
    let track = Track::builder("shop");
    let track = track.slow_route(
        "/orders/{id}",
        Duration::from_nanos(1),
        Duration::from_secs(60),
    );
    let observed = observe(track.build().unwrap()).server();
    let app = Router::new()
        .route("/orders/{id}", any(order))
        .layer(observed)
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;
    let mut calls = 0.0;
    for (_, client) in both_versions() {
        for is_post in [false, true] {
            for id in [7, 404, 500] {
                let request = saying_grpc(get(address, &format!("/orders/{id}")));
                let request = if is_post { post(request) } else { request };
                let response = client.request(request).await.unwrap();
                text(response).await;
                assert_eq!(ends.next().await.wire, WireFormat::Plain);
                calls += 1.0;
            }
        }
    }
    let route = [("http_route", "/orders/{id}")];
    assert_eq!(http_calls(&meter, &route), calls);
    for status in ["200", "404", "500"] {
        let labels = [route[0], ("http_response_status_code", status)];
        assert_eq!(http_calls(&meter, &labels), calls / 3.0);
    }
    let slow = [("target", "/orders/{id}"), ("level", "warning")];
    assert_eq!(meter.sum("tower_keep_slow_calls_total", &slow), Some(calls));
    assert!(!meter.render().contains("rpc_"), "{}", meter.render());
}

/// A client that speaks nothing but gRPC is answered by a proxy, too.
#[tokio::test]
async fn grpc_code_metric_is_not_http_status() {
    let meter = meter();
    let status = |Path(status): Path<u16>| async move {
        (StatusCode::from_u16(status).unwrap(), Html("<p>a page</p>"))
    };
    let address = serve(Router::new().route("/status/{status}", any(status))).await;
    let [_, (_, http2)] = both_versions();
    for grpc_only in [true, false] {
        for status in [200, 404, 429, 500, 503] {
            let path = format!("/status/{status}");
            let request = saying_grpc(post(get(address, &path)));
            match grpc_only {
                true => {
                    let layer = observe("peer").grpc_client();
                    let client = ServiceBuilder::new().layer(layer).service(http2.clone());
                    text(client.oneshot(request).await.unwrap()).await;
                }
                false => {
                    let layer = observe("peer").client();
                    let client = ServiceBuilder::new().layer(layer).service(http2.clone());
                    text(client.oneshot(request).await.unwrap()).await;
                }
            }
        }
    }
    let rendered = meter.render();
    assert!(!rendered.contains("rpc_response_status_code"), "{rendered}");
    assert_eq!(meter.count("rpc_client_call_duration_seconds", &[]), 5.0);
    assert_eq!(
        meter.count("http_client_request_duration_seconds", &[]),
        5.0
    );
    for status in ["404", "429", "500", "503"] {
        let labels = [("http_response_status_code", status)];
        assert_eq!(
            meter.count("http_client_request_duration_seconds", &labels),
            1.0
        );
    }
}

/// Hanging up is hanging up, whatever deadline was sent along with it.
#[tokio::test]
async fn client_disconnect_is_cancelled_whatever_deadline() {
    let (witness, mut ends) = witness();
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let app = Router::new()
        .fallback(move || {
            arrives.notify_one();
            pending::<()>()
        })
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;
    for (version, client) in both_versions() {
        for is_post in [false, true] {
            let request = saying_grpc(get(address, "/shop.Orders/Get"));
            let mut request = if is_post { post(request) } else { request };
            let tiny = HeaderValue::from_static("1n");
            request.headers_mut().insert("grpc-timeout", tiny);
            let call = tokio::spawn(client.request(request));
            within(arrived.notified()).await;
            call.abort();
            let unknown = (Outcome::Cancelled, Evidence::Inconclusive);
            assert_eq!(ends.next_classified().await, unknown, "{version}");
        }
    }
}
