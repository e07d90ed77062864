//! Bulkheads of axum, tonic and reqwest, over real connections.

use std::sync::Arc;

use axum::{Router, routing::get as on_get};
use tokio::sync::Semaphore;
use tonic::{
    Code,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer;
use tower_keep::{
    Bulkhead, Rejection,
    reqwest::{LayeredClient, service},
};

use super::ends;
use crate::support::{get, http1, listen, serve, text, within};

/// Has one slot and one place in the queue.
fn queuing(name: &'static str) -> Bulkhead {
    let builder = Bulkhead::builder(name).limit(1).queue_limit(1);
    builder.wait_limit(None).build().expect("valid settings")
}

/// Waits until so many calls are in flight, and so many in the queue.
async fn until(bulkhead: &Bulkhead, in_flight: u32, queued: u32) {
    let reached = async {
        loop {
            let stats = bulkhead.stats();
            if (stats.in_flight, stats.queued) == (in_flight, queued) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(reached).await;
}

#[tokio::test]
async fn axum_lets_calls_wait_and_forgets_those_whose_client_has_gone() {
    let (bulkhead, gate) = (queuing("axum bulkhead"), Arc::new(Semaphore::new(0)));
    let opens = gate.clone();
    let work = move || async move {
        gate.acquire().await.expect("open").forget();
        "served"
    };
    let app = Router::new().route("/", on_get(work));
    let address = serve(app.layer(bulkhead.layer().server())).await;
    let call = || tokio::spawn(http1().request(get(address, "/")));
    let first = call();
    until(&bulkhead, 1, 0).await;
    let second = call();
    until(&bulkhead, 1, 1).await;
    let third = within(call()).await.expect("no panic").expect("a response");
    assert_eq!(third.status(), 503);
    second.abort();
    until(&bulkhead, 1, 0).await;
    let fourth = call();
    until(&bulkhead, 1, 1).await;
    opens.add_permits(2);
    for call in [first, fourth] {
        let response = within(call).await.expect("no panic").expect("a response");
        assert_eq!(text(response).await, "served");
    }
    until(&bulkhead, 0, 0).await;
    assert_eq!(ends(&bulkhead.stats()), [2, 0, 0, 1, 0]);
}

#[tokio::test]
async fn tonic_gets_resource_exhausted_from_a_full_server_and_a_full_client() {
    let bulkhead = Bulkhead::builder("tonic bulkhead").limit(1);
    let bulkhead = bulkhead.build().expect("valid settings");
    let (_reporter, health) = tonic_health::server::health_reporter();
    let (listener, address) = listen().await;
    let server = Server::builder()
        .layer(bulkhead.layer().server())
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    let channel = endpoint.connect_lazy();
    let mut direct = HealthClient::new(channel.clone());
    let request = HealthCheckRequest::default;
    within(direct.check(request())).await.expect("healthy");
    until(&bulkhead, 0, 0).await;
    let permit = bulkhead.try_acquire().expect("free");
    let status = within(direct.check(request())).await.expect_err("full");
    assert_eq!(status.code(), Code::ResourceExhausted);
    drop(permit);
    let own = Bulkhead::builder("tonic client").limit(1);
    let own = own.build().expect("valid settings");
    let mut client = HealthClient::new(own.layer().grpc_client().layer(channel));
    within(client.check(request())).await.expect("healthy");
    let _permit = own.try_acquire().expect("free");
    let status = within(client.check(request())).await.expect_err("full");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let rejection = Rejection::find(&status).expect("of this process");
    assert_eq!(rejection.guard(), "tonic client");
}

#[tokio::test]
async fn reqwest_holds_a_slot_until_its_body_is_read() {
    // Longer than what is taken whole, with the head.
    let orders = async || "x".repeat(100_000);
    let address = serve(Router::new().route("/", on_get(orders))).await;
    let bulkhead = queuing("reqwest bulkhead");
    let http = reqwest::Client::new();
    let client = LayeredClient::new(bulkhead.layer().client().layer(service(http.clone())));
    let url = format!("http://{address}/");
    let response = within(client.send(http.get(&url)))
        .await
        .expect("a response");
    assert_eq!(bulkhead.in_flight(), 1);
    let (second, text) = tokio::join!(within(client.send(http.get(&url))), async {
        until(&bulkhead, 1, 1).await;
        within(response.text()).await
    });
    assert_eq!(text.expect("a body").len(), 100_000);
    within(second.expect("a response").text())
        .await
        .expect("a body");
    until(&bulkhead, 0, 0).await;
    assert_eq!(bulkhead.stats().done, 2);
}
