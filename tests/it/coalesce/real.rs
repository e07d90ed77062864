//! Over real connections: axum's router, hyper's and reqwest's clients, tonic's channel.

use axum::{Router, routing::get as route};
use futures_util::future::join_all;
use http::Request;
use tower::{Layer, ServiceExt};
use tower_keep::coalesce::{Coalesce, CoalesceLayer};

use super::Peer;
use crate::support::{get, http1, serve, text, within};

/// A route that waits for the gate of the peer.
fn router(peer: &Peer) -> Router {
    let peer = peer.clone();
    Router::new().route(
        "/",
        route(move || {
            let call = peer.call();
            async move { format!("call {}", call.await) }
        }),
    )
}

/// Opens the gate once so many calls wait for the one that is made.
async fn open_once_joined(peer: &Peer, coalesce: &Coalesce, joined: u64) {
    while coalesce.stats().joined < joined || peer.calls() == 0 {
        tokio::task::yield_now().await;
    }
    peer.open();
}

#[tokio::test]
async fn axum_router_handles_identical_requests_once() {
    let (peer, coalesce) = (Peer::new(), Coalesce::new("axum"));
    let app = router(&peer).layer(CoalesceLayer::server(coalesce.clone()));
    let address = serve(app).await;
    let client = http1();
    let calls = (0..20).map(|_| {
        let call = client.request(get(address, "/"));
        async move { text(call.await.expect("a response")).await }
    });
    let (texts, ()) =
        within(async { tokio::join!(join_all(calls), open_once_joined(&peer, &coalesce, 19)) })
            .await;
    assert!(texts.iter().all(|text| text == "call 0"), "{texts:?}");
    assert_eq!(peer.calls(), 1);
}

#[tokio::test]
async fn hyper_client_sends_identical_requests_once() {
    let (peer, coalesce) = (Peer::new(), Coalesce::new("hyper"));
    let address = serve(router(&peer)).await;
    let client = CoalesceLayer::client(coalesce.clone()).layer(http1());
    let calls = (0..20).map(|_| {
        let call = client.clone().oneshot(get(address, "/"));
        async move { text(call.await.expect("a response")).await }
    });
    let (texts, ()) =
        within(async { tokio::join!(join_all(calls), open_once_joined(&peer, &coalesce, 19)) })
            .await;
    assert!(texts.iter().all(|text| text == "call 0"), "{texts:?}");
    assert_eq!(peer.calls(), 1);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_sends_identical_requests_once() {
    use tower_keep::reqwest::{LayeredClient, service};
    let (peer, coalesce) = (Peer::new(), Coalesce::new("reqwest"));
    let address = serve(router(&peer)).await;
    let http = reqwest::Client::new();
    let stack = CoalesceLayer::client(coalesce.clone()).layer(service(http.clone()));
    let client = LayeredClient::new(stack);
    let url = format!("http://{address}/");
    let calls = (0..20).map(|_| async {
        let response = client.send(http.get(&url)).await.expect("a response");
        assert_eq!(response.url().as_str(), url);
        response.text().await.expect("text")
    });
    let (texts, ()) =
        within(async { tokio::join!(join_all(calls), open_once_joined(&peer, &coalesce, 19)) })
            .await;
    assert!(texts.iter().all(|text| text == "call 0"), "{texts:?}");
    assert_eq!(peer.calls(), 1);
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn tonic_channel_sends_identical_unary_calls_once() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tower::Service;
    let (peer, coalesce) = (Peer::new(), Coalesce::new("tonic"));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("stock", tonic_health::ServingStatus::Serving)
        .await;
    let gate = peer.clone();
    let health = tower::service_fn(move |request: Request<axum::body::Body>| {
        let (call, mut health) = (gate.call(), health.clone());
        async move {
            call.await;
            health.call(request).await
        }
    });
    let app = Router::new().route_service("/grpc.health.v1.Health/Check", health);
    let address = serve(app).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = channel.expect("an address").connect_lazy();
    let key = |request: &Request<tonic::body::Body>| Some(request.uri().path().to_owned());
    let stack = CoalesceLayer::grpc_client(coalesce.clone(), key).layer(channel);
    let calls = (0..20).map(|_| {
        let mut client = HealthClient::new(stack.clone());
        async move {
            let request = HealthCheckRequest {
                service: "stock".to_owned(),
            };
            let reply = client.check(request).await.expect("a reply");
            reply.into_inner().status
        }
    });
    let (statuses, ()) =
        within(async { tokio::join!(join_all(calls), open_once_joined(&peer, &coalesce, 19)) })
            .await;
    assert_eq!(statuses, [1; 20], "serving");
    assert_eq!(peer.calls(), 1);
    let unknown = HealthCheckRequest {
        service: "unknown".to_owned(),
    };
    let status = HealthClient::new(stack).check(unknown).await;
    let status = status.expect_err("an unknown service");
    assert_eq!(status.code(), tonic::Code::NotFound);
}
