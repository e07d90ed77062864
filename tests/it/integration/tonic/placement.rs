//! The places where the layer may stand: around one service, an interceptor, a router.

use axum::routing::get as on_get;
use tonic::{
    Code, Request,
    service::{LayerExt, Routes},
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{health_client::HealthClient, health_server::HealthServer},
    server::health_reporter,
};
use tower::ServiceBuilder;
use tower_keep::{GuardLayer, Outcome, observe};

use super::{
    Scripted, channel, check,
    streams::{Chat, chat},
};
use crate::support::{
    get,
    guards::{Fuse, witness},
    http2, listen,
    meter::meter,
    serve, text,
};

#[tokio::test]
async fn service_of_a_server_can_be_guarded_alone() {
    let fuse = Fuse::blown();
    let guarded = GuardLayer::server(fuse).named_layer(HealthServer::new(Scripted::default()));
    let (listener, address) = listen().await;
    let server = Server::builder().add_service(guarded).add_service(Chat);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let status = HealthClient::new(channel(address))
        .check(check(""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let said = chat(channel(address), ["hello"]).await;
    assert_eq!(said, ["HELLO"]);
}

#[tokio::test]
async fn interceptor_client_is_guarded_outside_or_inside() {
    let (outer, mut outer_ends) = witness();
    let (inner, mut inner_ends) = witness();
    let (_reporter, health) = health_reporter();
    let address = serve_tonic!(observe("health").server(), health);
    let sign = |mut request: Request<()>| {
        request
            .metadata_mut()
            .insert("x-signed", "yes".parse().unwrap());
        Ok(request)
    };
    let inside = ServiceBuilder::new()
        .layer(GuardLayer::grpc_client(inner))
        .service(channel(address));
    let mut client = HealthClient::with_interceptor(inside.clone(), sign);
    client.check(check("")).await.unwrap();
    assert_eq!(inner_ends.next_outcome().await, Outcome::Success);

    let outside = ServiceBuilder::new()
        .layer(GuardLayer::grpc_client(outer))
        .layer(tonic::service::InterceptorLayer::new(sign))
        .service(inside);
    HealthClient::new(outside).check(check("")).await.unwrap();
    assert_eq!(inner_ends.next_outcome().await, Outcome::Success);
    assert_eq!(outer_ends.next_outcome().await, Outcome::Success);
}

#[tokio::test]
async fn router_layer_serves_grpc_and_http() {
    let meter = meter();
    let grpc = Routes::new(HealthServer::new(Scripted::default())).into_axum_router();
    let app = grpc
        .route("/orders/{id}", on_get(|| async { "an order" }))
        .layer(observe("shop").server());
    let address = serve(app).await;

    let mut client = HealthClient::new(channel(address));
    client.check(check("")).await.unwrap();
    let mut stream = client.watch(check("")).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    client.check(check("panics")).await.unwrap_err();
    let response = http2().request(get(address, "/orders/7")).await.unwrap();
    assert_eq!(text(response).await, "an order");

    let rpc = "rpc_server_call_duration_seconds";
    for (method, code) in [("Check", "OK"), ("Watch", "OK"), ("Check", "INTERNAL")] {
        let method = format!("grpc.health.v1.Health/{method}");
        let labels = [("rpc_method", &*method), ("rpc_response_status_code", code)];
        assert_eq!(meter.count(rpc, &labels), 1.0, "{method} {code}");
    }
    let http = "http_server_request_duration_seconds";
    #[cfg(feature = "axum")]
    assert_eq!(meter.count(http, &[("http_route", "/orders/{id}")]), 1.0);
    assert_eq!(meter.count(http, &[]), 1.0);
}
