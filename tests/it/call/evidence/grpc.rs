//! gRPC: tonic's server and channel.

use std::{convert::Infallible, future::pending, net::SocketAddr, pin::Pin, sync::Arc};

use axum::{Router, body::Body, extract::Path, response::Html, routing::any};
use http::{HeaderValue, StatusCode};
use tokio::sync::Notify;
use tokio_stream::{Stream, StreamExt};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Layer, ServiceBuilder};
use tower_keep::GuardLayer;

use super::{ABANDONED, BUSY, CALLERS, Classified, FAILED, GOOD, LATE, LEFT, PANICKED, REJECTED};
use crate::support::{
    frames::{Act, Frames},
    guards::{Ends, Fuse, witness},
    listen, nobody, serve, within,
};

/// Answers as the name of the service in the request says.
#[derive(Clone, Default)]
pub struct Scripted {
    arrived: Arc<Notify>,
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: 1 }
}

fn status(name: &str) -> Status {
    let code = name.parse().map_or(Code::Unknown, Code::from_i32);
    Status::new(code, "so it is")
}

#[tonic::async_trait]
impl Health for Scripted {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.arrived.notify_one();
        match &*request.get_ref().service {
            "0" => Ok(Response::new(serving())),
            "panics" => panic!("the ink ran out"),
            "hangs" => pending().await,
            code => Err(status(code)),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = tokio_stream::once(Ok(serving()));
        let stream: Self::WatchStream = match &*request.get_ref().service {
            "0" => Box::pin(first),
            "endless" => Box::pin(first.chain(tokio_stream::pending())),
            "burst" => {
                let burst = tokio_stream::iter((0..5).map(|_| Ok(serving())));
                Box::pin(burst.chain(tokio_stream::pending()))
            }
            code => Box::pin(first.chain(tokio_stream::once(Err(status(code))))),
        };
        Ok(Response::new(stream))
    }
}

pub fn named(service: impl ToString) -> HealthCheckRequest {
    let service = service.to_string();
    HealthCheckRequest { service }
}

pub fn channel(to: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{to}"));
    endpoint.expect("an endpoint").connect_lazy()
}

/// A server, how its calls ended, and when one has arrived.
async fn served() -> (SocketAddr, Ends, Arc<Notify>) {
    let ((witness, ends), health) = (witness(), Scripted::default());
    let (listener, address) = listen().await;
    let arrived = health.arrived.clone();
    let server = Server::builder()
        .layer(GuardLayer::server(witness))
        .add_service(HealthServer::new(health));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, ends, arrived)
}

/// Both kinds of clients, each with how its calls end.
macro_rules! clients {
    ($address:expr) => {{
        let ((one, ends_of_one), (two, ends_of_two)) = (witness(), witness());
        let one = GuardLayer::grpc_client(one).layer(channel($address));
        let two = GuardLayer::client(two).layer(channel($address));
        let one = (HealthClient::new(one), ends_of_one);
        (one, (HealthClient::new(two), ends_of_two))
    }};
}

fn by_code(code: i32) -> Classified {
    match code {
        0 => GOOD,
        1 => ABANDONED,
        2 | 13 | 14 | 15 => FAILED,
        4 => LATE,
        8 => BUSY,
        _ => CALLERS,
    }
}

#[tokio::test]
async fn evidence_of_each_grpc_code_in_headers_and_trailers() {
    let (address, mut server_ends, _) = served().await;
    let clients = clients!(address);
    macro_rules! on {
        ($name:literal, $client:expr) => {
            let (mut client, mut ends) = $client;
            for code in 0..=16 {
                let answer = within(client.check(named(code))).await;
                assert_eq!(answer.is_ok(), code == 0);
                let what = format!("{code} in the headers, {}", $name);
                assert_eq!(ends.next_classified().await, by_code(code), "{what}");
                assert_eq!(server_ends.next_classified().await, by_code(code), "{what}");

                let mut stream = within(client.watch(named(code)))
                    .await
                    .unwrap()
                    .into_inner();
                assert!(within(stream.message()).await.unwrap().is_some());
                assert_eq!(within(stream.message()).await.is_ok(), code == 0);
                let what = format!("{code} in the trailers, {}", $name);
                assert_eq!(ends.next_classified().await, by_code(code), "{what}");
                assert_eq!(server_ends.next_classified().await, by_code(code), "{what}");
            }
        };
    }
    on!("gRPC client", clients.0);
    on!("client", clients.1);
}

#[tokio::test]
async fn evidence_of_abandoned_grpc_streams() {
    let (address, mut server_ends, arrived) = served().await;
    let clients = clients!(address);
    macro_rules! on {
        ($name:literal, $client:expr) => {
            let (mut client, mut ends) = $client;
            // One who takes one message, and one who waits for the next and gives up.
            for (waits, classified) in [(false, GOOD), (true, LEFT)] {
                let stream = within(client.watch(named("endless"))).await.unwrap();
                let mut stream = stream.into_inner();
                assert!(within(stream.message()).await.unwrap().is_some());
                if waits {
                    let mut next = Box::pin(stream.message());
                    let polled = tower_keep::testing::CountingWaker::new().poll(next.as_mut());
                    assert!(polled.is_pending());
                }
                drop(stream);
                assert_eq!(
                    ends.next_classified().await,
                    classified,
                    "{}, {waits}",
                    $name
                );
                assert_eq!(
                    server_ends.next_classified().await,
                    LEFT,
                    "{}, {waits}",
                    $name
                );
            }
            // And one who leaves before there is a head.
            let mut leaving = client.clone();
            let call = tokio::spawn(async move { leaving.check(named("hangs")).await });
            within(arrived.notified()).await;
            call.abort();
            assert_eq!(ends.next_classified().await, ABANDONED, "{}", $name);
            assert_eq!(server_ends.next_classified().await, ABANDONED, "{}", $name);
        };
    }
    on!("gRPC client", clients.0);
    on!("client", clients.1);
}

#[tokio::test]
async fn evidence_of_grpc_panic_and_unimplemented() {
    let (address, mut server_ends, _) = served().await;
    let ((mut client, mut ends), _) = clients!(address);
    within(client.check(named("panics"))).await.unwrap_err();
    assert_eq!(ends.next_classified().await, FAILED);
    assert_eq!(server_ends.next_classified().await, PANICKED);

    let (listener, address) = listen().await;
    let ((witness, mut server_ends), health) = (witness(), Scripted::default());
    let renamed =
        tower::util::MapRequestLayer::new(|mut request: http::Request<tonic::body::Body>| {
            *request.uri_mut() = http::Uri::from_static("http://peer/no.such.Service/Call");
            request
        });
    let server = Server::builder()
        .layer(
            ServiceBuilder::new()
                .layer(GuardLayer::server(witness))
                .layer(renamed)
                .into_inner(),
        )
        .add_service(HealthServer::new(health));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let ((mut client, mut ends), _) = clients!(address);
    let status = within(client.check(named(0))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(ends.next_classified().await, CALLERS);
    assert_eq!(server_ends.next_classified().await, CALLERS);
}

#[tokio::test]
async fn evidence_of_grpc_calls_rejected_inside() {
    let ((witness, mut server_ends), health) = (witness(), Scripted::default());
    let (listener, address) = listen().await;
    let rejecting = ServiceBuilder::new()
        .layer(GuardLayer::server(witness))
        .layer(GuardLayer::server(Fuse::blown()))
        .into_inner();
    let server = Server::builder()
        .layer(rejecting)
        .add_service(HealthServer::new(health));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let ((mut client, mut ends), _) = clients!(address);
    within(client.check(named(0))).await.unwrap_err();
    assert_eq!(server_ends.next_classified().await, REJECTED);
    assert_eq!(
        ends.next_classified().await,
        FAILED,
        "another process says UNAVAILABLE"
    );

    // In the client's own process.
    let (outer, mut ends) = crate::support::guards::witness();
    let service = ServiceBuilder::new()
        .layer(GuardLayer::grpc_client(outer))
        .layer(GuardLayer::grpc_client(Fuse::blown()))
        .service(channel(nobody()));
    HealthClient::new(service)
        .check(named(0))
        .await
        .unwrap_err();
    assert_eq!(ends.next_classified().await, REJECTED);
}

// Rows about uploads are in `uploads.rs` and `breakers.rs`, those about time in `limits.rs`.

// ---- peers that do not do as they should

/// Answers in the place of a gRPC server.
async fn impostor() -> SocketAddr {
    let kind = HeaderValue::from_static("application/grpc");
    let grpc = move |body: Body| {
        let mut response = http::Response::new(body);
        response.headers_mut().insert("content-type", kind.clone());
        response
    };
    let (no_status, cut) = (grpc.clone(), grpc);
    let message = "\0\0\0\0\x02\x08\x01";
    let half = move || {
        let frames = [Ok(message), Err(std::io::Error::other("torn"))];
        Body::from_stream(tokio_stream::iter(frames))
    };
    let page = |Path(status): Path<u16>| async move {
        (StatusCode::from_u16(status).unwrap(), Html("<p>a page</p>"))
    };
    let one = move || Body::from_stream(tokio_stream::once(Ok::<_, Infallible>(message)));
    let app = Router::new()
        .route("/status/{status}", any(page))
        .route("/no_status", any(move || async move { no_status(one()) }))
        .route("/cut", any(move || async move { cut(half()) }));
    serve(app).await
}

#[tokio::test]
async fn evidence_of_peers_without_grpc_or_broken_off() {
    let address = impostor().await;
    for (path, grpc_client, client) in [
        // Only an explicit gRPC client insists on a status.
        ("/status/200", FAILED, GOOD),
        ("/status/404", CALLERS, CALLERS),
        ("/status/429", BUSY, BUSY),
        ("/status/500", FAILED, FAILED),
        ("/status/503", BUSY, BUSY),
        ("/no_status", FAILED, FAILED),
        ("/cut", FAILED, FAILED),
    ] {
        let elsewhere = move |mut request: http::Request<tonic::body::Body>| {
            let uri = format!("http://{address}{path}");
            *request.uri_mut() = uri.parse().expect("a URI");
            request
        };
        let (witness, mut ends) = crate::support::guards::witness();
        let service = ServiceBuilder::new()
            .layer(GuardLayer::grpc_client(witness))
            .map_request(elsewhere)
            .service(channel(address));
        let _ = within(HealthClient::new(service).check(named(0))).await;
        assert_eq!(
            ends.next_classified().await,
            grpc_client,
            "gRPC client, {path}"
        );

        let (witness, mut ends) = crate::support::guards::witness();
        let service = ServiceBuilder::new()
            .layer(GuardLayer::client(witness))
            .map_request(elsewhere)
            .service(channel(address));
        let _ = within(HealthClient::new(service).check(named(0))).await;
        assert_eq!(ends.next_classified().await, client, "client, {path}");
    }
}

/// Circuits and metrics counted a success where the caller got an error: only a 200 had to have a status.
#[tokio::test]
async fn evidence_of_missing_grpc_status_agrees_with_tonic() {
    for status in [200, 201, 204, 205, 302, 304] {
        for (act, code, classified) in [
            (Act::NoStatus(status), Code::Unknown, FAILED),
            (Act::Trailers(status, 2), Code::Unknown, FAILED),
            (Act::Trailers(status, 5), Code::NotFound, CALLERS),
        ] {
            let (_server, address) = Frames::serve([act, act]).await;
            let ((mut one, mut ends_of_one), (mut two, mut ends_of_two)) = clients!(address);
            let answer = within(one.check(named(0))).await;
            assert_eq!(answer.unwrap_err().code(), code, "{act:?}");
            assert_eq!(ends_of_one.next_classified().await, classified, "{act:?}");
            let answer = within(two.check(named(0))).await;
            assert_eq!(answer.unwrap_err().code(), code, "{act:?}");
            assert_eq!(ends_of_two.next_classified().await, classified, "{act:?}");
        }
    }
}

#[tokio::test]
async fn evidence_of_grpc_channel_that_cannot_connect() {
    let ((mut one, mut ends_of_one), (mut two, mut ends_of_two)) = clients!(nobody());
    within(one.check(named(0))).await.unwrap_err();
    assert_eq!(ends_of_one.next_classified().await, FAILED);
    within(two.check(named(0))).await.unwrap_err();
    assert_eq!(ends_of_two.next_classified().await, FAILED);
}
