//! HTTP/1.1 and HTTP/2: servers on axum and on hyper alone, hyper-util's client.

use std::{convert::Infallible, future::pending, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{Html, IntoResponse},
    routing::{any, get as on_get},
};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::{io::AsyncReadExt, sync::Notify};
use tokio_stream::StreamExt;
use tower::{
    Layer, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer,
};
use tower_keep::{GuardLayer, Outcome, call::Evidence, testing::CountingWaker};

use super::{ABANDONED, BUSY, CALLERS, Classified, FAILED, GOOD, LATE, LEFT, PANICKED, REJECTED};
use crate::support::{
    HyperClient, both_versions, get,
    guards::{Ends, Fuse, Witness, witness},
    http2, listen, nobody, serve, serve_hyper, within,
};

/// The reaction of a client to a response.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// Reads to the end.
    Reads,
    /// Looks at the head only.
    Drops,
    /// Takes one frame, and does not look for more.
    TakesOne,
    /// Takes one frame, waits for more and gives up.
    GivesUp,
    /// Is gone before there is a head.
    Leaves,
}
use Reader::*;

struct Row {
    method: Method,
    path: &'static str,
    reader: Reader,
    server: Classified,
    client: Classified,
}

fn row(path: &'static str, reader: Reader, server: Classified, client: Classified) -> Row {
    Row {
        method: Method::GET,
        path,
        reader,
        server,
        client,
    }
}

fn head(path: &'static str, server: Classified, client: Classified) -> Row {
    Row {
        method: Method::HEAD,
        ..row(path, Drops, server, client)
    }
}

fn rows() -> Vec<Row> {
    let timed_out = (Outcome::TimedOut, Evidence::Inconclusive);
    vec![
        // A good head, and a body that was read to its end or that nobody waits for.
        row("/good", Reads, GOOD, GOOD),
        row("/endless", Drops, LEFT, GOOD),
        row("/endless", TakesOne, LEFT, GOOD),
        row("/endless", GivesUp, LEFT, LEFT),
        // Answers without a body.
        head("/good", GOOD, GOOD),
        head("/status/404", CALLERS, CALLERS),
        head("/status/503", BUSY, BUSY),
        row("/status/204", Drops, GOOD, GOOD),
        row("/status/205", Drops, GOOD, GOOD),
        row("/status/304", Drops, GOOD, GOOD),
        row("/status/302", Drops, GOOD, GOOD),
        row("/status/308", Reads, GOOD, GOOD),
        // The caller's fault, as a peer says that is alive.
        row("/status/400", Reads, CALLERS, CALLERS),
        row("/status/401", Drops, CALLERS, CALLERS),
        row("/status/404", Drops, CALLERS, CALLERS),
        row("/nowhere", Reads, CALLERS, CALLERS),
        row("/status/410", Reads, CALLERS, CALLERS),
        row("/status/501", Reads, CALLERS, CALLERS),
        row("/status/505", Reads, CALLERS, CALLERS),
        row("/status/511", Reads, CALLERS, CALLERS),
        // Who is late: the caller with its request, or the peer with its answer?
        row("/status/408", Reads, CALLERS, timed_out),
        // A bad head, whatever becomes of the body.
        row("/status/500", Reads, FAILED, FAILED),
        row("/status/502", Drops, FAILED, FAILED),
        row("/status/503", Reads, BUSY, BUSY),
        row("/status/429", Drops, BUSY, BUSY),
        row("/status/504", Reads, LATE, LATE),
        row("/endless/503", TakesOne, BUSY, BUSY),
        row("/endless/500", GivesUp, FAILED, FAILED),
        // A body that is cut off, or shorter than its content-length.
        row("/torn", Reads, FAILED, FAILED),
        row("/short", Reads, FAILED, FAILED),
        // What this process has done about it.
        row("/panics", Reads, PANICKED, FAILED),
        row("/rejected", Reads, REJECTED, BUSY),
        row("/never", Leaves, ABANDONED, ABANDONED),
    ]
    // Rows about uploads are in `uploads.rs`, those about time in `limits.rs`.
}

fn endless(status: StatusCode) -> Response<Body> {
    let tick = tokio_stream::once(Ok::<_, Infallible>("tick"));
    let mut response = Response::new(Body::from_stream(tick.chain(tokio_stream::pending())));
    *response.status_mut() = status;
    response
}

fn with_length(length: &'static str) -> Response<Body> {
    // In a stream, so that hyper does not know better.
    let body = tokio_stream::once(Ok::<_, Infallible>("hello"));
    let mut response = Response::new(Body::from_stream(body));
    let length = HeaderValue::from_static(length);
    response.headers_mut().insert("content-length", length);
    response
}

fn torn() -> Response<Body> {
    let frames = tokio_stream::iter([Ok("half"), Err(std::io::Error::other("torn"))]);
    Response::new(Body::from_stream(frames))
}

async fn panics() -> StatusCode {
    panic!("the ink ran out")
}

fn code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}

fn app(arrived: Arc<Notify>) -> Router {
    let status = async |Path(status): Path<u16>| match status {
        204 | 205 | 304 => code(status).into_response(),
        _ => (code(status), "so it is").into_response(),
    };
    let never = move || {
        arrived.notify_one();
        pending::<()>()
    };
    let rejected = on_get(|| async { "never asked" }).layer(GuardLayer::server(Fuse::blown()));
    Router::new()
        .route("/good", on_get(|| async { "an order" }))
        .route("/endless", on_get(|| async { endless(StatusCode::OK) }))
        .route(
            "/endless/{status}",
            on_get(|Path(status): Path<u16>| async move { endless(code(status)) }),
        )
        .route("/status/{status}", any(status))
        .route("/torn", on_get(|| async { torn() }))
        .route("/short", on_get(|| async { with_length("9") }))
        .route("/long", on_get(|| async { with_length("3") }))
        .route("/panics", on_get(panics))
        .route("/rejected", rejected)
        .route("/never", on_get(never))
}

/// The server that the rows call, and the witnesses of how their calls ended.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    arrived: Arc<Notify>,
    ends: Ends,
}

async fn peers() -> [Peer; 2] {
    let (arrived, (on_axum, ends)) = (Arc::new(Notify::new()), witness());
    let guarded = app(arrived.clone()).layer(GuardLayer::server(on_axum));
    let axum = Peer {
        name: "axum",
        address: serve(guarded).await,
        arrived,
        ends,
    };
    let (arrived, (on_hyper, ends)) = (Arc::new(Notify::new()), witness());
    let guarded = GuardLayer::server(on_hyper).layer(app(arrived.clone()));
    let hyper = Peer {
        name: "hyper",
        address: serve_hyper(guarded).await,
        arrived,
        ends,
    };
    [axum, hyper]
}

/// Plays a row from the client's side.
async fn play(row: &Row, peer: &Peer, client: HyperClient, witness: Witness) {
    let client = GuardLayer::client(witness).layer(client);
    let mut request = get(peer.address, row.path);
    *request.method_mut() = row.method.clone();
    if let Leaves = row.reader {
        let call = tokio::spawn(client.oneshot(request));
        within(peer.arrived.notified()).await;
        return call.abort();
    }
    // What is cut off may take its head with it.
    let Ok(response) = within(client.oneshot(request)).await else {
        return;
    };
    let mut body = Box::pin(response.into_body());
    match row.reader {
        Drops | Leaves => {}
        Reads => {
            let _ = within(body.collect()).await;
        }
        TakesOne | GivesUp => {
            let frame = within(body.frame()).await.expect("a frame");
            assert_eq!(frame.expect("data").into_data().expect("data"), "tick");
            if let GivesUp = row.reader {
                assert!(CountingWaker::new().poll_frame(body.as_mut()).is_pending());
            }
        }
    }
}

#[tokio::test]
async fn evidence_of_http_calls_on_both_sides() {
    for mut peer in peers().await {
        for (version, client) in both_versions() {
            for row in rows() {
                let (witness, mut ends) = witness();
                play(&row, &peer, client.clone(), witness).await;
                let what = format!("{} {} ({:?})", row.method, row.path, row.reader);
                let what = format!("{what} over {version} on {}", peer.name);
                assert_eq!(ends.next_classified().await, row.client, "client of {what}");
                assert_eq!(
                    peer.ends.next_classified().await,
                    row.server,
                    "server of {what}"
                );
            }
        }
    }
}

/// HTTP/1.1 sends no more than was promised: there, only the server knows.
#[tokio::test]
async fn evidence_of_body_longer_than_content_length() {
    for mut peer in peers().await {
        for (version, client) in both_versions() {
            let (witness, mut ends) = witness();
            let row = row("/long", Reads, FAILED, FAILED);
            play(&row, &peer, client, witness).await;
            let what = format!("over {version} on {}", peer.name);
            let told = peer.ends.next_classified().await;
            assert_eq!(told, FAILED, "server {what}");
            let client = ends.next_classified().await;
            if version == "2" {
                assert_eq!(client, FAILED, "client {what}");
            }
        }
    }
}

/// A stranger says gRPC, and gets a page.
#[tokio::test]
async fn evidence_of_html_answer_is_that_of_its_status() {
    let (served, mut server_ends) = witness();
    let page = |Path(status): Path<u16>| async move { (code(status), Html("<p>a page</p>")) };
    let app = Router::new().route("/{status}", any(page));
    let address = serve(app.layer(GuardLayer::server(served))).await;
    for (version, client) in both_versions() {
        for (status, classified) in [(200, GOOD), (404, CALLERS), (500, FAILED), (503, BUSY)] {
            let (called, mut ends) = witness();
            let client = GuardLayer::client(called).layer(client.clone());
            let mut request = get(address, &format!("/{status}"));
            *request.method_mut() = Method::POST;
            let grpc = HeaderValue::from_static("application/grpc");
            request.headers_mut().insert("content-type", grpc);
            let response = within(client.oneshot(request)).await.expect("an answer");
            within(response.into_body().collect())
                .await
                .expect("a page");
            let what = format!("{status} over {version}");
            assert_eq!(ends.next_classified().await, classified, "client, {what}");
            assert_eq!(
                server_ends.next_classified().await,
                classified,
                "server, {what}"
            );
        }
    }
}

// ---- transports

#[tokio::test]
async fn evidence_of_refused_connection() {
    let address = nobody();
    for (version, client) in both_versions() {
        let (witness, mut ends) = witness();
        let client = GuardLayer::client(witness).layer(client);
        within(client.oneshot(get(address, "/")))
            .await
            .expect_err("nobody is there");
        assert_eq!(ends.next_classified().await, FAILED, "{version}");
    }
}

#[tokio::test]
async fn evidence_of_connection_broken_before_head() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
        }
    });
    for (version, client) in both_versions() {
        let (witness, mut ends) = witness();
        let client = GuardLayer::client(witness).layer(client);
        within(client.oneshot(get(address, "/")))
            .await
            .expect_err("it broke");
        assert_eq!(ends.next_classified().await, FAILED, "{version}");
    }
}

/// An error of a server's service: hyper drops the connection.
#[tokio::test]
async fn evidence_of_server_service_error() {
    let (witness, mut ends) = witness();
    let failing = tower::service_fn(|_: http::Request<hyper::body::Incoming>| async {
        Err::<Response<Body>, _>(std::io::Error::other("no disk"))
    });
    let address = serve_hyper(GuardLayer::server(witness).layer(failing)).await;
    for (version, client) in both_versions() {
        let (called, mut client_ends) = crate::support::guards::witness();
        let client = GuardLayer::client(called).layer(client);
        within(client.oneshot(get(address, "/")))
            .await
            .expect_err("no disk");
        assert_eq!(
            client_ends.next_classified().await,
            FAILED,
            "client, {version}"
        );
        assert_eq!(ends.next_classified().await, FAILED, "server, {version}");
    }
}

// ---- rejected in this process

#[tokio::test]
async fn evidence_of_client_call_rejected_inside() {
    let (outer, mut ends) = witness();
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(outer))
        .layer(GuardLayer::client(Fuse::blown()))
        .service(http2());
    let address = nobody();
    client
        .oneshot(get(address, "/"))
        .await
        .expect_err("rejected");
    assert_eq!(ends.next_classified().await, REJECTED);
}

/// tower's own load shedding is a rejection of this process, too.
#[tokio::test]
async fn evidence_of_tower_load_shed() {
    let (arrived, (served, _ends)) = (Arc::new(Notify::new()), witness());
    let address = serve(app(arrived.clone()).layer(GuardLayer::server(served))).await;
    let (outer, mut ends) = witness();
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(outer))
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(http2());
    let hung = tokio::spawn(client.clone().oneshot(get(address, "/never")));
    within(arrived.notified()).await;
    client
        .oneshot(get(address, "/good"))
        .await
        .expect_err("shed");
    assert_eq!(ends.next_classified().await, REJECTED);
    hung.abort();
    assert_eq!(ends.next_classified().await, ABANDONED);
}
