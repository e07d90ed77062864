//! Calls that end by a drop, a time limit, a panic or a broken connection.

use std::{convert::Infallible, future::pending, time::Duration};

use axum::{Router, body::Body as AxumBody};
use tonic::{Code, Request};
use tonic_health::pb::{health_client::HealthClient, health_server::HealthServer};
use tower::{Service, ServiceBuilder};
use tower_keep::{GuardLayer, Outcome, Track, call::Evidence};

use super::{Scripted, channel, check};
use crate::{
    integration::tracked,
    support::{get, guards::witness, http2, meter::meter, nobody, serve, within},
};

#[tokio::test]
async fn dropped_stream_is_success_on_client_only() {
    let meter = meter();
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let guards = (served, Track::new("health"));
    let health = HealthServer::new(Scripted::default());
    let address = serve_tonic!(GuardLayer::server(guards), health);
    let layer = GuardLayer::grpc_client(called);
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));
    let mut stream = client.watch(check("endless")).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    let wanted = (Outcome::Success, Evidence::Healthy);
    assert_eq!(client_ends.next_classified().await, wanted);
    let gone = (Outcome::Cancelled, Evidence::Healthy);
    assert_eq!(server_ends.next_classified().await, gone);
    // It brought no status, and yet its method is known.
    let method = ("rpc_method", "grpc.health.v1.Health/Watch");
    assert_eq!(meter.calls(&[method, ("outcome", "cancelled")]), 1.0);
}

#[tokio::test]
async fn dropped_wait_cancels_on_both_sides() {
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let health = Scripted::default();
    let arrived = health.arrived.clone();
    let address = serve_tonic!(GuardLayer::server(served), HealthServer::new(health));
    let layer = GuardLayer::grpc_client(called);
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));
    let call = tokio::spawn(async move { client.check(check("hangs")).await });
    within(arrived.notified()).await;
    call.abort();
    let unknown = (Outcome::Cancelled, Evidence::Inconclusive);
    assert_eq!(client_ends.next_classified().await, unknown);
    assert_eq!(server_ends.next_classified().await, unknown);
}

#[tokio::test]
async fn deadline_drop_by_tonic_is_cancelled() {
    let (witness, mut ends) = witness();
    let health = HealthServer::new(Scripted::default());
    let address = serve_tonic!(GuardLayer::server(witness), health);
    let mut request = get(address, "/grpc.health.v1.Health/Check");
    *request.method_mut() = http::Method::POST;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    // Longer than the kernel may hold back the message, which would be the caller's lateness.
    headers.insert("grpc-timeout", "500m".parse().unwrap());
    // An empty name is answered at once, and "hangs" never; framed by hand.
    *request.body_mut() = "\0\0\0\0\x07\x0a\x05hangs".into();
    // The client has no limit of its own.
    let response = within(http2().request(request)).await.unwrap();
    assert_eq!(crate::support::header(&response, "grpc-status"), Some("1"));
    let unknown = (Outcome::Cancelled, Evidence::Inconclusive);
    assert_eq!(ends.next_classified().await, unknown);
}

/// A stranger could send a tiny deadline and hang up: that would be a timeout of a peer that is well.
#[tokio::test(start_paused = true)]
async fn client_disconnect_is_cancelled_whatever_deadline() {
    let (witness, mut ends) = witness();
    let service = ServiceBuilder::new()
        .layer(GuardLayer::server(witness))
        .service(tower::service_fn(|_: http::Request<()>| {
            pending::<Result<http::Response<AxumBody>, Infallible>>()
        }));
    for (limit, elapsed) in [
        ("1S", 1_000),
        ("1S", 960),
        ("1S", 900),
        ("1M", 60_100),
        ("1m", 500),
    ] {
        let request = http::Request::post("/test.Chat/Shout")
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("grpc-timeout", limit)
            .body(())
            .unwrap();
        let call = service.clone().call(request);
        let waited = tokio::time::timeout(Duration::from_millis(elapsed), call).await;
        assert!(waited.is_err());
        let told = ends.next_classified().await;
        let unknown = (Outcome::Cancelled, Evidence::Inconclusive);
        assert_eq!(told, unknown, "{elapsed} ms of {limit}");
    }
}

#[tokio::test]
async fn timeout_of_client_is_timed_out() {
    let (witness, mut ends) = witness();
    let address = serve(Router::new().fallback(pending::<()>)).await;
    let layer = GuardLayer::grpc_client(witness);
    let service = ServiceBuilder::new().layer(layer).service(channel(address));
    let mut request = Request::new(check(""));
    request.set_timeout(Duration::from_millis(20));
    HealthClient::new(service).check(request).await.unwrap_err();
    assert_eq!(ends.next_outcome().await, Outcome::TimedOut);
}

#[tokio::test]
async fn panic_is_internal_and_connection_survives() {
    let meter = meter();
    let (served, mut ends) = witness();
    let (track, errors) = tracked("health");
    let health = Scripted::default();
    let go_on = health.go_on.clone();
    let layer = GuardLayer::server((served, track));
    let address = serve_tonic!(layer, HealthServer::new(health));
    let mut client = HealthClient::new(channel(address));

    let status = client.check(check("panics")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(
        !status.message().contains("ink"),
        "the message is nobody's business"
    );
    let told = ends.next().await;
    assert_eq!(
        (told.outcome, &*told.cause),
        (Outcome::Panicked, "panic: the ink ran out")
    );

    let mut stream = client.watch(check("panics")).await.unwrap().into_inner();
    assert!(stream.message().await.is_ok());
    go_on.notify_one();
    stream.message().await.unwrap_err();
    let told = ends.next().await;
    assert_eq!(
        (told.outcome, &*told.cause),
        (Outcome::Panicked, "panic: ran dry")
    );

    client.check(check("")).await.unwrap();
    assert_eq!(ends.next_outcome().await, Outcome::Success);
    assert_eq!(errors.groups().len(), 2);
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(0.0));
}

#[tokio::test]
async fn missing_grpc_status_is_a_failure() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("health");
    let half = || async {
        (
            [("content-type", "application/grpc")],
            "\0\0\0\0\x02\x08\x01",
        )
    };
    let app = Router::new().route("/grpc.health.v1.Health/Check", axum::routing::post(half));
    let layer = GuardLayer::grpc_client((witness, track));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(channel(serve(app).await));
    let status = HealthClient::new(service).check(check("")).await;
    assert_ne!(
        status.map_or_else(|status| status.code(), |_| Code::Ok),
        Code::Ok
    );
    assert_eq!(ends.next_outcome().await, Outcome::Failure);
    assert_eq!(errors.groups()[0].kind(), "missing_grpc_status");
}

#[tokio::test]
async fn http_answer_of_proxy_is_by_http_status() {
    let (witness, mut ends) = witness();
    let app = Router::new().fallback(|| async { (http::StatusCode::SERVICE_UNAVAILABLE, "busy") });
    let layer = GuardLayer::grpc_client(witness);
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(channel(serve(app).await));
    HealthClient::new(service)
        .check(check(""))
        .await
        .unwrap_err();
    let told = ends.next().await;
    assert_eq!((told.outcome, told.code), (Outcome::Overload, None));
    assert_eq!(told.status, Some(http::StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test]
async fn connection_refused_is_a_failure_with_cause() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("health");
    let layer = GuardLayer::grpc_client((witness, track));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(channel(nobody()));
    let status = HealthClient::new(service)
        .check(check(""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let told = ends.next().await;
    assert_eq!((told.outcome, told.status), (Outcome::Failure, None));
    assert!(told.cause.contains("refused"), "{}", told.cause);
    let group = &errors.groups()[0];
    assert_eq!(group.kind(), "tonic::transport::Error");
    let chain = group.latest().record().causes();
    assert!(chain.last().unwrap().contains("refused"), "{group:#?}");
}
