//! Real clients over the loopback: hyper's with axum's body, reqwest's, tonic's.
//!
//! Under a paused clock, and without a timer that would move it: no call takes any time, so that those in flight decide where calls go,
//! and not how busy the machine is.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use futures_util::future::join_all;
use http::uri::{Authority, Scheme};
use http_body_util::BodyExt;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use tower_keep::{
    Balance, Retry,
    balance::to_authority,
    retry::{Backoff, RetryLayer},
};

use crate::support::{nobody, serve};

/// Calls that are made at once, so that those in flight spread them.
const AT_ONCE: usize = 6;

async fn peers(count: u32) -> Vec<Authority> {
    let mut all = Vec::new();
    for number in 0..count {
        let app = Router::new().route("/who", get(move || async move { number.to_string() }));
        let address: SocketAddr = serve(app).await;
        all.push(address.to_string().parse().expect("an authority"));
    }
    all
}

fn balance(name: &'static str) -> Balance {
    let balance = Balance::builder(name).seed(7).build();
    balance.expect("valid settings")
}

fn retry() -> RetryLayer<tower_keep::protocol::Client> {
    let retry = Retry::builder("balanced")
        .max_attempts(2)
        .budget(None)
        .backoff(Backoff::constant(Duration::ZERO))
        .build();
    RetryLayer::client(retry.expect("valid settings"))
}

#[tokio::test(start_paused = true)]
async fn hyper_client_with_axum_bodies_survives_an_endpoint_that_is_not_there() {
    type Body = axum::body::Body;
    let mut endpoints = peers(2).await;
    let nobody = nobody().to_string();
    endpoints.push(nobody.parse().expect("an authority"));
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let client = client.build_http();
    let balance = balance("hyper balanced");
    let balancer = balance.client(move |authority: &Authority| {
        to_authority(client.clone(), Scheme::HTTP, authority.clone())
    });
    balancer.endpoints().set(endpoints);
    let client = retry().request_body(Body::new).layer(balancer);
    let call = async || {
        let request = http::Request::get("http://ledger/who")
            .header("host", "ledger")
            .body(Body::empty())
            .expect("a request");
        let response = client.clone().oneshot(request).await.expect("a response");
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        text.parse::<usize>().expect("a number")
    };
    let mut seen = [0; 2];
    for _ in 0..10 {
        for number in join_all((0..AT_ONCE).map(|_| call())).await {
            seen[number] += 1;
        }
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
    let failures = balance.stats().endpoints[2].failures;
    assert!((1..10).contains(&failures), "{failures}");
}

#[cfg(feature = "reqwest")]
#[tokio::test(start_paused = true)]
async fn reqwest_client_is_balanced() {
    let client = reqwest::Client::builder().pool_idle_timeout(None).build();
    let client = tower_keep::reqwest::service(client.expect("a client"));
    let balance = balance("reqwest balanced");
    let balancer = balance.client(move |authority: &Authority| {
        to_authority(client.clone(), Scheme::HTTP, authority.clone())
    });
    balancer.endpoints().set(peers(3).await);
    let call = async || {
        let request = http::Request::get("http://ledger/who").body(axum::body::Body::empty());
        let response = balancer.clone().oneshot(request.expect("a request")).await;
        assert_eq!(response.expect("a response").status(), 200);
    };
    for _ in 0..15 {
        join_all((0..AT_ONCE).map(|_| call())).await;
    }
    let stats = balance.stats();
    assert!(
        stats
            .endpoints
            .iter()
            .all(|one| one.calls > 5 && one.failures == 0),
        "{stats:?}"
    );
    assert!(
        stats.endpoints.iter().all(|one| one.in_flight == 0),
        "{stats:?}"
    );
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn tonic_channels_are_balanced() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    let mut addresses = Vec::new();
    for _ in 0..2 {
        let (listener, address) = crate::support::listen().await;
        let (_, service) = tonic_health::server::health_reporter();
        let server = tonic::transport::Server::builder().add_service(service);
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(server.serve_with_incoming(incoming));
        addresses.push(address);
    }
    let balance = balance("tonic balanced");
    let balancer = balance.grpc_client(|address: &SocketAddr| {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        endpoint.expect("a URL").connect_lazy()
    });
    let mut client = HealthClient::new(balancer.clone());
    let ask = || HealthCheckRequest {
        service: String::new(),
    };
    let status = client.check(ask()).await.expect_err("no endpoint");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    balancer.endpoints().set(addresses);
    let call = async || {
        let response = client.clone().check(ask()).await.expect("a response");
        assert_eq!(response.into_inner().status, 1);
    };
    for _ in 0..10 {
        join_all((0..AT_ONCE).map(|_| call())).await;
    }
    let stats = balance.stats();
    assert!(
        stats
            .endpoints
            .iter()
            .all(|one| one.calls > 5 && one.failures == 0),
        "{stats:?}"
    );
}
