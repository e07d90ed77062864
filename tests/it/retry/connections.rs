//! Uploads and gRPC calls that are tried again over real connections.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Status,
    metadata::MetadataMap,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Layer, ServiceExt};
use tower_keep::{
    protocol::GrpcClient,
    retry::{Backoff, HttpRetry, ReplayBody, Retry, RetryLayer},
};

use crate::support::{listen, within};

// ---- uploads

/// The end of a server's first attempt at an upload, after it has read so much of it.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Answers503,
    Breaks,
}

/// Fails so many uploads half-way, takes the next one, and says how long it was.
struct Upstream {
    failure: Failure,
    fails: usize,
    reads: usize,
    calls: AtomicUsize,
    /// The uploads that were taken.
    taken: Mutex<Vec<Bytes>>,
    failed: Notify,
}

impl Upstream {
    async fn serve(failure: Failure, fails: usize, reads: usize) -> (Arc<Self>, SocketAddr) {
        let upstream = Arc::new(Upstream {
            failure,
            fails,
            reads,
            calls: AtomicUsize::new(0),
            taken: Mutex::default(),
            failed: Notify::new(),
        });
        let (listener, address) = listen().await;
        let served = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                let service = hyper::service::service_fn(move |request| {
                    let served = served.clone();
                    async move { served.handle(request).await }
                });
                // A connection that its service breaks ends with an error.
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        (upstream, address)
    }

    async fn handle(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let mut body = request.into_body();
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.fails {
            let whole = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let answer = whole.len().to_string();
            self.taken.lock().unwrap().push(whole);
            return Ok(Response::new(answer.into()));
        }
        let mut read = 0;
        while read < self.reads {
            let frame = body.frame().await.expect("more to come");
            let frame = frame.map_err(io::Error::other)?;
            read += frame.data_ref().map_or(0, Bytes::len);
        }
        self.failed.notify_one();
        match self.failure {
            Failure::Breaks => Err(io::Error::other("pulled the plug")),
            Failure::Answers503 => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Ok(response)
            }
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn taken(&self) -> Vec<Bytes> {
        self.taken.lock().unwrap().clone()
    }
}

type Hyper = Client<HttpConnector, ReplayBody<Body>>;

fn both() -> [Hyper; 2] {
    [false, true].map(|two| {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(two).build_http()
    })
}

/// Pieces of all sizes, none of which looks like another.
fn pieces(length: usize) -> Vec<Bytes> {
    let bytes: Vec<u8> = (0..length).map(|at| (at * 31 + at / 251) as u8).collect();
    let (mut rest, mut pieces) = (Bytes::from(bytes), Vec::new());
    while !rest.is_empty() {
        let size = (1 + pieces.len() * 997 % 4_001).min(rest.len());
        pieces.push(rest.split_to(size));
    }
    pieces
}

fn upload(to: SocketAddr, pieces: Vec<Bytes>) -> Request<Body> {
    let stream = tokio_stream::iter(pieces).map(Ok::<_, Infallible>);
    put(to, Body::from_stream(stream))
}

fn put(to: SocketAddr, body: Body) -> Request<Body> {
    let request = Request::put(format!("http://{to}/"));
    request.body(body).expect("a request")
}

#[tokio::test]
async fn upload_that_fails_midway_is_resent_exactly() {
    for failure in [Failure::Answers503, Failure::Breaks] {
        for client in both() {
            let (upstream, address) = Upstream::serve(failure, 2, 10_000).await;
            let sent = pieces(60_000);
            let client = layer().layer(client);
            let answer = within(client.oneshot(upload(address, sent.clone()))).await;
            assert_eq!(
                crate::support::text(answer.unwrap()).await,
                "60000",
                "{failure:?}"
            );
            assert_eq!(upstream.calls(), 3);
            assert!(upstream.taken() == [sent.concat()], "{failure:?}");
        }
    }
}

#[tokio::test]
async fn upload_beyond_replay_max_is_sent_once() {
    for client in both() {
        let (upstream, address) = Upstream::serve(Failure::Answers503, 0, 0).await;
        let sent = pieces(300_000);
        let answer = within(layer().layer(client).oneshot(upload(address, sent.clone()))).await;
        assert_eq!(crate::support::text(answer.unwrap()).await, "300000");
        assert_eq!(upstream.calls(), 1);
        assert!(upstream.taken() == [sent.concat()]);
    }
}

#[tokio::test]
async fn upload_beyond_replay_max_keeps_its_failure() {
    for client in both() {
        // All of it is read: a server that closes on what is unread may take its answer back with it.
        let (upstream, address) = Upstream::serve(Failure::Answers503, 1, 300_000).await;
        let answer = within(
            layer()
                .layer(client)
                .oneshot(upload(address, pieces(300_000))),
        )
        .await;
        assert_eq!(answer.unwrap().status(), 503);
        assert_eq!(upstream.calls(), 1);
    }
}

/// The rest of the upload comes only after the second attempt has begun: it goes to that one, and to none before.
#[tokio::test]
async fn upload_continues_on_retry_after_early_failure() {
    for client in both() {
        let (upstream, address) = Upstream::serve(Failure::Answers503, 2, 5).await;
        let (pieces, stream) = mpsc::channel::<Result<Bytes, Infallible>>(1);
        pieces.send(Ok(Bytes::from("first "))).await.unwrap();
        let request = put(address, Body::from_stream(ReceiverStream::new(stream)));
        let call = tokio::spawn(layer().layer(client).oneshot(request));
        within(upstream.failed.notified()).await;
        within(upstream.failed.notified()).await;
        pieces.send(Ok(Bytes::from("last"))).await.unwrap();
        drop(pieces);
        let answer = within(call).await.unwrap().unwrap();
        assert_eq!(crate::support::text(answer).await, "10");
        assert_eq!(upstream.taken(), ["first last"]);
    }
}

#[tokio::test]
async fn upload_runs_on_after_early_answer() {
    for client in both() {
        let app =
            axum::Router::new().route("/", axum::routing::put(|body: Body| async move { body }));
        let address = crate::support::serve(app).await;
        let (pieces, stream) = mpsc::channel::<Result<Bytes, Infallible>>(1);
        pieces.send(Ok(Bytes::from("first "))).await.unwrap();
        let request = put(address, Body::from_stream(ReceiverStream::new(stream)));
        // The head is there, the call over, the upload not.
        let answer = within(layer().layer(client).oneshot(request))
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        for _ in 0..100 {
            let piece = Ok(Bytes::from(vec![b'x'; 1_000]));
            within(pieces.send(piece)).await.unwrap();
        }
        drop(pieces);
        let echoed = crate::support::text(answer).await;
        assert_eq!(echoed, format!("first {}", "x".repeat(100_000)));
    }
}

// ---- tonic

/// Fails the first calls with this status, then says that it serves.
struct Failing {
    fails: usize,
    status: fn() -> Status,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
}

#[tonic::async_trait]
impl Health for Failing {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        assert_eq!(request.get_ref().service, "orders");
        let mut seen = self.seen.lock().unwrap();
        seen.push(request.metadata().clone());
        match seen.len() > self.fails {
            true => Ok(tonic::Response::new(HealthCheckResponse { status: 1 })),
            false => Err((self.status)()),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nobody watches"))
    }
}

/// The code of one call through the layer, and what the server saw.
async fn check(layer: ToTonic, fails: usize, status: fn() -> Status) -> (Code, Vec<MetadataMap>) {
    let seen = Arc::<Mutex<Vec<_>>>::default();
    let (listener, address) = listen().await;
    let health = HealthServer::new(Failing {
        fails,
        status,
        seen: seen.clone(),
    });
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Endpoint::new(format!("http://{address}")).unwrap();
    let client = layer.layer(channel.connect_lazy());
    let mut request = tonic::Request::new(HealthCheckRequest {
        service: "orders".to_owned(),
    });
    request.set_timeout(Duration::from_secs(15));
    let answer = within(HealthClient::new(client).check(request)).await;
    let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
    let seen = seen.lock().unwrap().clone();
    (code, seen)
}

type TonicBody = tonic::body::Body;
type ToTonic = RetryLayer<GrpcClient, HttpRetry<fn(ReplayBody<TonicBody>) -> TonicBody>>;

fn grpc() -> ToTonic {
    RetryLayer::grpc_client(retry()).request_body(TonicBody::new)
}

fn unavailable() -> Status {
    Status::unavailable("moving house")
}

fn pushed_back(wait: &'static str) -> Status {
    let mut status = unavailable();
    let wait = wait.parse().expect("metadata");
    status.metadata_mut().insert("grpc-retry-pushback-ms", wait);
    status
}

#[tokio::test]
async fn grpc_unary_call_is_retried_until_answered() {
    let (code, seen) = check(grpc().retry_if_request(|_| true), 2, unavailable).await;
    assert_eq!((code, seen.len()), (Code::Ok, 3));
    let previous = |seen: &MetadataMap| {
        let value = seen.get("grpc-previous-rpc-attempts");
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let before: Vec<_> = seen.iter().map(previous).collect();
    assert_eq!(before, [None, Some("1".to_owned()), Some("2".to_owned())]);
    // Each is told of less time than the one before it.
    let left = |seen: &MetadataMap| {
        let value = seen.get("grpc-timeout").unwrap().to_str().unwrap();
        let micros = value
            .strip_suffix('u')
            .expect("tonic and we write microseconds");
        micros.parse::<u64>().unwrap()
    };
    let left: Vec<_> = seen.iter().map(left).collect();
    assert!(left.is_sorted_by(|a, b| a > b), "{left:?}");
}

#[tokio::test]
async fn grpc_unary_call_is_sent_once_unless_repeatable() {
    let (code, seen) = check(grpc(), 1, unavailable).await;
    assert_eq!((code, seen.len()), (Code::Unavailable, 1));
    let only = |path: &'static str| grpc().retry_if_request(move |call| call.uri.path() == path);
    let (code, seen) = check(only("/grpc.health.v1.Health/Watch"), 1, unavailable).await;
    assert_eq!((code, seen.len()), (Code::Unavailable, 1));
    let (code, seen) = check(only("/grpc.health.v1.Health/Check"), 1, unavailable).await;
    assert_eq!((code, seen.len()), (Code::Ok, 2));
}

#[tokio::test]
async fn retry_after_from_grpc_pushback_delays() {
    let (code, seen) = check(grpc().retry_if_request(|_| true), 1, || pushed_back("-1")).await;
    assert_eq!((code, seen.len()), (Code::Unavailable, 1));
    let (code, seen) = check(grpc().retry_if_request(|_| true), 1, || pushed_back("3")).await;
    assert_eq!((code, seen.len()), (Code::Ok, 2));
    let (code, seen) = check(grpc().retry_if_request(|_| true), 1, || {
        pushed_back("31000")
    })
    .await;
    assert_eq!(
        (code, seen.len()),
        (Code::Unavailable, 1),
        "nobody waits so long"
    );
}

#[tokio::test]
async fn grpc_client_error_is_not_retried() {
    let refused = || Status::invalid_argument("no such order");
    let (code, seen) = check(grpc().retry_if_request(|_| true), 1, refused).await;
    assert_eq!((code, seen.len()), (Code::InvalidArgument, 1));
}

/// No wait worth the name, no budget, three attempts.
fn retry() -> Retry {
    let soon = Backoff::constant(Duration::from_millis(1));
    let builder = Retry::builder("peer").backoff(soon).budget(None);
    builder.build().expect("settings")
}

fn layer() -> RetryLayer<tower_keep::protocol::Client> {
    RetryLayer::client(retry())
}
