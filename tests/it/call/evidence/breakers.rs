//! Callers that would open a circuit for everybody, if what they do were held against the peer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::sync::Notify;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::pb::{health_client::HealthClient, health_server::HealthServer};
use tower::{
    ServiceBuilder, ServiceExt,
    util::{BoxCloneSyncService, MapRequestLayer},
};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Outcome,
    breaker::CircuitState as Circuit,
    call::Evidence,
    context::Correlate,
    errors::ErrorTracker,
    observe,
    retry::{ReplayBody, Retry, RetryLayer},
    timeout::{Deadline, TimeoutLayer},
    track::Track,
};

use super::{
    ABANDONED,
    grpc::{Scripted, channel, named},
    hostile::{Break, Call2, Stall, post1, post2},
    uploads::BROKE,
};
use crate::support::{
    guards::{Ends, witness},
    http1, http2, listen, serve, text, within,
};

/// The number of tries of strangers: a circuit opens at half as many failures.
const TIMES: u32 = 20;

pub fn breaker() -> CircuitBreaker {
    let breaker = CircuitBreaker::builder("payments").consecutive_failures(10);
    breaker.build().expect("sound settings")
}

pub type Stack = BoxCloneSyncService<Request, Response, BoxError>;

/// The client of the README, with so much time for an attempt.
pub fn readme_client(breaker: &CircuitBreaker, two: bool, attempt: Duration) -> Stack {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(two)
        .build_http::<ReplayBody<Body>>();
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::client(Duration::from_secs(30)))
        .layer(RetryLayer::client(Retry::new("payments")))
        .layer(breaker.layer().client())
        .layer(observe("payments").client())
        .layer(TimeoutLayer::client(attempt).body_idle(Duration::from_secs(20)))
        .service(client);
    let client = ServiceExt::<Request>::map_response(client, |response| response.map(Body::new));
    BoxCloneSyncService::new(client)
}

/// A proxy on axum before that upstream.
fn forwards(upstream: SocketAddr, client: Stack) -> Router {
    let forward = move |mut request: Request| {
        let client = client.clone();
        async move {
            let uri = format!("http://{upstream}{}", request.uri().path());
            *request.uri_mut() = uri.parse().expect("a URI");
            *request.version_mut() = http::Version::HTTP_11;
            request.headers_mut().remove("host");
            match client.oneshot(request).await {
                Ok(response) => response,
                Err(_) => StatusCode::BAD_GATEWAY.into_response(),
            }
        }
    };
    Router::new().fallback(forward)
}

async fn proxy_without_deadlines(upstream: SocketAddr, client: Stack) -> SocketAddr {
    serve(forwards(upstream, client)).await
}

/// One that reads deadlines.
async fn proxy(upstream: SocketAddr, client: Stack) -> SocketAddr {
    let deadline = Deadline::builder("deadline").build().expect("settings");
    let guards = GuardLayer::server((Correlate::default(), deadline));
    serve(forwards(upstream, client).layer(guards)).await
}

/// In good health: it reads what it is sent, or takes longer than some have patience.
async fn healthy(arrived: Arc<Notify>) -> SocketAddr {
    let reads = async |State(arrived): State<Arc<Notify>>, body: Body| {
        arrived.notify_one();
        let whole = body.collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok::<_, StatusCode>(whole.to_bytes().len().to_string())
    };
    let slow = async |State(arrived): State<Arc<Notify>>| {
        arrived.notify_one();
        std::future::pending::<()>().await
    };
    let app = Router::new()
        .route("/reads", post(reads))
        .route("/slow", post(slow));
    serve(app.with_state(arrived)).await
}

/// An honest caller passes, and nothing was counted but its call.
async fn assert_unharmed(breaker: &CircuitBreaker, proxy: SocketAddr, what: &str) {
    assert_eq!(breaker.state(), Circuit::Closed, "{what}");
    assert_eq!(breaker.counts().failures, 0, "{what}");
    let request = http::Request::post(format!("http://{proxy}/reads"));
    let request = request.body(Body::from("an order")).expect("a request");
    let answer = within(http1().request(request)).await.expect("an answer");
    assert_eq!(text(answer).await, "8", "{what}");
}

/// The client of the README over HTTP/1.1 and HTTP/2, each behind a proxy.
async fn behind_proxies(
    upstream: SocketAddr,
    attempt: Duration,
) -> [(CircuitBreaker, SocketAddr); 2] {
    let (one, two) = (breaker(), breaker());
    let first = proxy(upstream, readme_client(&one, false, attempt)).await;
    let second = proxy(upstream, readme_client(&two, true, attempt)).await;
    [(one, first), (two, second)]
}

#[tokio::test]
async fn broken_uploads_open_no_circuit() {
    let arrived = Arc::new(Notify::new());
    let upstream = healthy(arrived.clone()).await;
    for (breaker, proxy) in behind_proxies(upstream, Duration::from_secs(10)).await {
        for how in Break::ALL {
            for _ in 0..TIMES {
                how.upload(proxy, "/reads", &arrived).await;
            }
            assert_unharmed(&breaker, proxy, &format!("{how:?}")).await;
            // The honest one has arrived, too.
            within(arrived.notified()).await;
        }
    }
}

#[tokio::test]
async fn tiny_deadlines_open_no_circuit() {
    let upstream = healthy(Arc::default()).await;
    for (breaker, proxy) in behind_proxies(upstream, Duration::from_secs(10)).await {
        let headers = [("content-type", "application/grpc"), ("grpc-timeout", "5m")];
        let calls = (0..TIMES).map(async |_| {
            let mut call = post2(proxy, "/slow", &headers).await;
            call.send(b"hello", true);
            assert_eq!(call.status().await, 502);
        });
        within(futures_util::future::join_all(calls)).await;
        assert_unharmed(&breaker, proxy, "tiny deadlines").await;
    }
}

#[tokio::test]
async fn slow_uploads_open_no_circuit() {
    let upstream = healthy(Arc::default()).await;
    let attempt = Duration::from_millis(1_600);
    for (breaker, proxy) in behind_proxies(upstream, attempt).await {
        for how in [Stall::Head, Stall::Beginning, Stall::Trickles] {
            let calls = (0..TIMES / 2).map(async |_| {
                let one = how.upload1(proxy, "/reads");
                let two = how.upload2(proxy, "/reads", &[]);
                let (one, two) = tokio::join!(one, two);
                assert_eq!((one, two.as_u16()), (502, 502), "{how:?}");
            });
            within(futures_util::future::join_all(calls)).await;
            assert_unharmed(&breaker, proxy, &format!("{how:?}")).await;
        }
    }
}

/// A caller that stalls, and leaves once it has been slow enough for the slow limit.
#[tokio::test]
async fn stalled_uploads_are_no_slow_calls() {
    let arrived = Arc::new(Notify::new());
    let upstream = healthy(arrived.clone()).await;
    let breaker = CircuitBreaker::builder("payments")
        .consecutive_failures(10)
        .slow_call(Duration::from_nanos(1))
        .build()
        .expect("sound settings");
    for two in [false, true] {
        let client = readme_client(&breaker, two, Duration::from_secs(10));
        let proxy = proxy(upstream, client).await;
        for how in [
            Break::HangsUp,
            Break::Cancels,
            Break::CancelsLater,
            Break::Leaves,
        ] {
            for _ in 0..TIMES {
                how.upload(proxy, "/reads", &arrived).await;
            }
            assert_unharmed(&breaker, proxy, &format!("{how:?}")).await;
            within(arrived.notified()).await;
        }
    }
}

/// Slow for so long as they send, and then answered at once.
#[tokio::test]
async fn slow_uploads_are_no_slow_calls() {
    let upstream = healthy(Arc::default()).await;
    let limit = Duration::from_secs(1);
    for two in [false, true] {
        let breaker = CircuitBreaker::builder("payments").slow_call(limit);
        let breaker = breaker.slow_rate(0.5).min_calls(TIMES / 2).build();
        let breaker = breaker.expect("sound settings");
        let client = readme_client(&breaker, two, Duration::from_secs(10));
        let proxy = proxy(upstream, client).await;
        let how = Stall::AtLast(limit * 2);
        let calls = (0..TIMES / 2).map(async |_| {
            let one = how.upload1(proxy, "/reads");
            let two = how.upload2(proxy, "/reads", &[]);
            let (one, two) = tokio::join!(one, two);
            assert_eq!((one, two.as_u16()), (200, 200));
        });
        within(futures_util::future::join_all(calls)).await;
        assert_unharmed(&breaker, proxy, "they took their time").await;
    }
}

// ---- a server's own circuit

fn opens_at_five() -> CircuitBreaker {
    let breaker = CircuitBreaker::builder("server").consecutive_failures(5);
    breaker.build().expect("sound settings")
}

/// A server behind a breaker of its own, which tracks errors.
struct Watched {
    address: SocketAddr,
    arrived: Arc<Notify>,
    breaker: CircuitBreaker,
    errors: ErrorTracker,
    ends: Ends,
}

impl Watched {
    fn assert_unharmed(&self, what: &str) {
        assert_eq!(self.breaker.state(), Circuit::Closed, "{what}");
        assert_eq!(self.breaker.counts().failures, 0, "{what}");
        assert_eq!(self.errors.total(), 0, "{what}");
    }
}

fn tracked(errors: &ErrorTracker) -> Track {
    let track = Track::builder("server").errors(errors.clone());
    track.build().expect("sound settings")
}

/// A stranger says gRPC and that he has no time, and hangs up.
#[tokio::test]
async fn client_disconnect_is_cancelled_whatever_its_deadline() {
    let (arrived, (witness, ends)) = (Arc::new(Notify::new()), witness());
    let (breaker, errors) = (opens_at_five(), ErrorTracker::default());
    let slow = async |State(arrived): State<Arc<Notify>>| {
        arrived.notify_one();
        std::future::pending::<()>().await
    };
    let app = Router::new()
        .route("/slow", post(slow))
        .with_state(arrived.clone())
        .layer(breaker.layer().server())
        .layer(observe(tracked(&errors)).server())
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;
    let mut server = Watched {
        address,
        arrived,
        breaker,
        errors,
        ends,
    };
    for _ in 0..TIMES {
        let rest =
            "content-type: application/grpc\r\ngrpc-timeout: 1n\r\ncontent-length: 0\r\n\r\n";
        let stream = post1(server.address, "/slow", rest).await;
        within(server.arrived.notified()).await;
        drop(stream);
        assert_eq!(server.ends.next_classified().await, ABANDONED, "HTTP/1.1");

        let headers = [("content-type", "application/grpc"), ("grpc-timeout", "1n")];
        let mut call = post2(server.address, "/slow", &headers).await;
        within(server.arrived.notified()).await;
        call.cancel();
        assert_eq!(server.ends.next_classified().await, ABANDONED, "HTTP/2");
    }
    server.assert_unharmed("they hung up");
}

/// The same through a proxy whose client has a breaker and no time limit.
#[tokio::test]
async fn client_disconnect_from_proxy_spares_next_hop() {
    let arrived = Arc::new(Notify::new());
    let upstream = healthy(arrived.clone()).await;
    for client in [http1(), http2()] {
        let breaker = opens_at_five();
        let client = ServiceBuilder::new()
            .layer(breaker.layer().client())
            .service(client);
        let client = ServiceExt::<Request>::map_response(client, |it| it.map(Body::new));
        let proxy = proxy_without_deadlines(upstream, BoxCloneSyncService::new(client)).await;
        for _ in 0..TIMES {
            let rest =
                "content-type: application/grpc\r\ngrpc-timeout: 1n\r\ncontent-length: 0\r\n\r\n";
            let stream = post1(proxy, "/slow", rest).await;
            within(arrived.notified()).await;
            drop(stream);
            let headers = [("content-type", "application/grpc"), ("grpc-timeout", "1n")];
            let mut call = post2(proxy, "/slow", &headers).await;
            within(arrived.notified()).await;
            call.cancel();
            let _ = within(call.answer).await;
        }
        assert_unharmed(&breaker, proxy, "they hung up").await;
        within(arrived.notified()).await;
    }
}

async fn tonic_server() -> Watched {
    let (arrived, (witness, ends)) = (Arc::new(Notify::new()), witness());
    let (breaker, errors) = (opens_at_five(), ErrorTracker::default());
    let notify = arrived.clone();
    let layers = ServiceBuilder::new()
        .layer(GuardLayer::server(witness))
        .layer(observe(tracked(&errors)).server())
        .layer(breaker.layer().server())
        .layer(MapRequestLayer::new(
            move |request: http::Request<tonic::body::Body>| {
                notify.notify_one();
                request
            },
        ))
        .into_inner();
    let (listener, address) = listen().await;
    let server = Server::builder()
        .layer(layers)
        .add_service(HealthServer::new(Scripted::default()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Watched {
        address,
        arrived,
        breaker,
        errors,
        ends,
    }
}

const CHECK: &str = "/grpc.health.v1.Health/Check";

async fn grpc_post(server: &Watched) -> Call2 {
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let call = post2(server.address, CHECK, &headers).await;
    within(server.arrived.notified()).await;
    call
}

async fn assert_status(call: Call2, status: &str, what: &str) {
    let answer = within(call.answer).await.expect("an answer");
    assert_eq!(answer.headers()["grpc-status"], status, "{what}");
}

/// tonic takes a request that was reset for one that has ended, and calls all of these INTERNAL.
#[tokio::test]
async fn malformed_requests_open_no_tonic_circuit() {
    // Half of what was announced.
    const CUT: &[u8] = b"\0\0\0\0\x08\x0a\x02hi";
    // A field of a type that there is not.
    const UNDECODABLE: &[u8] = b"\0\0\0\0\x03\xff\xff\xff";
    // A megabyte, of which nothing more comes.
    const HUGE: &[u8] = b"\0\0\x10\0\0\x0a\xfb\xff\x3fhello";
    let mut server = tonic_server().await;
    for _ in 0..TIMES {
        let mut call = grpc_post(&server).await;
        call.cancel();
        let told = server.ends.next().await;
        assert!(!told.outcome.is_error(), "reset: {told:?}");
        assert_eq!(told.evidence, Evidence::Inconclusive, "reset: {told:?}");

        let mut call = grpc_post(&server).await;
        call.send(HUGE, false);
        call.cancel();
        let told = server.ends.next().await;
        assert!(!told.outcome.is_error(), "given up: {told:?}");
        assert_eq!(told.evidence, Evidence::Inconclusive, "given up: {told:?}");

        for (name, body) in [
            ("empty", &b""[..]),
            ("cut", CUT),
            ("undecodable", UNDECODABLE),
        ] {
            let mut call = grpc_post(&server).await;
            call.send(body, true);
            assert_status(call, "13", name).await;
            assert_eq!(server.ends.next_classified().await, BROKE, "{name}");
        }
        server.assert_unharmed("none of it is the server's");
    }
    let mut honest = HealthClient::new(channel(server.address));
    within(honest.check(named(0))).await.expect("it is well");
    assert_eq!(server.ends.next().await.outcome, Outcome::Success);
}

/// Clients that give up what they send: a megabyte over a slow line.
#[tokio::test]
async fn abandoned_uploads_open_no_tonic_circuit() {
    let mut server = tonic_server().await;
    for _ in 0..TIMES {
        let never = tokio_stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
        let begun = tokio_stream::once(Ok(axum::body::Bytes::from_static(b"\0\0\x10\0\0\x0a")));
        let body = Body::from_stream(tokio_stream::StreamExt::chain(begun, never));
        let request = http::Request::post(format!("http://{}{CHECK}", server.address))
            .header("content-type", "application/grpc")
            .body(body)
            .expect("a request");
        let call = tokio::spawn(http2().request(request));
        within(server.arrived.notified()).await;
        call.abort();
        let told = server.ends.next().await;
        assert!(!told.outcome.is_error(), "{told:?}");
        assert_eq!(told.evidence, Evidence::Inconclusive, "{told:?}");
    }
    server.assert_unharmed("they have given up");
}
