//! Limits that elapse: our own limits, and the deadlines that callers have set.

use std::{future::pending, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, routing::any};
use http::{HeaderName, StatusCode};
use tokio::time::Instant;
use tonic::{
    Code, Request,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::{health_client::HealthClient, health_server::HealthServer};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Context, GuardLayer, Outcome,
    breaker::CircuitState,
    call::{Evidence, GrpcCode},
    context::Correlate,
    timeout::{Deadline, TimeLimit, TimeoutLayer},
};

use super::{
    Classified, GOOD, LATE,
    grpc::{Scripted, channel, named},
    hostile::{post1, post2, status1},
    uploads::BROKE,
};
use crate::support::{
    both_versions, get,
    guards::{Ends, witness},
    header, listen, serve, within,
};

/// The caller chose the moment.
const DUE: Classified = (Outcome::TimedOut, Evidence::Inconclusive);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_millis(100);
/// Any machine connects within it, and has the first frames.
const AMPLE: Duration = Duration::from_secs(3);
const LEFT: HeaderName = HeaderName::from_static("x-time-left-ms");

/// Both sides of a time limit.
struct Both {
    outer: Ends,
    inner: Ends,
}

impl Both {
    async fn assert_ends(&mut self, classified: Classified, what: &str) {
        assert_eq!(
            self.outer.next_classified().await,
            classified,
            "outside: {what}"
        );
        assert_eq!(
            self.inner.next_classified().await,
            classified,
            "inside: {what}"
        );
    }
}

/// A server that hangs, reads deadlines, and has a limit of its own.
async fn hung(limit: Duration) -> (SocketAddr, Both) {
    let ((one, outer), (two, inner)) = (witness(), witness());
    let deadline = Deadline::builder("deadline")
        .timeout_header(LEFT)
        .build()
        .expect("settings");
    let app = Router::new()
        .fallback(any(pending::<StatusCode>))
        .layer(GuardLayer::server(two))
        .layer(TimeoutLayer::server(limit))
        .layer(GuardLayer::server((one, (Correlate::default(), deadline))));
    (serve(app).await, Both { outer, inner })
}

#[tokio::test]
async fn deadline_sent_by_caller_does_not_blame_server() {
    let (address, mut both) = hung(HOUR).await;
    for (version, client) in both_versions() {
        let mut request = get(address, "/");
        request.headers_mut().insert(LEFT, 50.into());
        let answer = within(client.request(request)).await.expect("an answer");
        assert_eq!(answer.status(), 504);
        both.assert_ends(DUE, version).await;
    }
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-timeout", "50m"),
    ];
    let mut call = post2(address, "/", &headers).await;
    call.send(b"", true);
    let answer = within(call.answer).await.expect("an answer");
    assert_eq!(header(&answer, "grpc-status"), Some("4"));
    both.assert_ends(DUE, "gRPC").await;
}

/// It is a header of gRPC's, which is spoken over HTTP/2.
#[tokio::test]
async fn grpc_timeout_is_ignored_outside_of_grpc() {
    let (address, mut both) = hung(SOON).await;
    let rest = "content-type: application/grpc\r\ngrpc-timeout: 5m\r\ncontent-length: 0\r\n\r\n";
    let mut stream = post1(address, "/", rest).await;
    assert_eq!(status1(&mut stream).await, Some(504));
    both.assert_ends(LATE, "HTTP/1.1").await;
    let mut call = post2(address, "/", &[("grpc-timeout", "5m")]).await;
    call.send(b"", true);
    assert_eq!(call.status().await, 504);
    both.assert_ends(LATE, "HTTP/2").await;
}

#[tokio::test]
async fn timeout_of_client_blames_peer_deadline_does_not() {
    let (address, _server) = hung(HOUR).await;
    for (version, client) in both_versions() {
        for (limit, deadline, classified) in [(SOON, HOUR, LATE), (HOUR, SOON, DUE)] {
            let ((one, outer), (two, inner)) = (witness(), witness());
            let mut both = Both { outer, inner };
            let client = ServiceBuilder::new()
                .layer(GuardLayer::client(one))
                .layer(TimeoutLayer::client(limit))
                .layer(GuardLayer::client(two))
                .service(client.clone());
            let context = Context::new_root().with_deadline(Instant::now() + deadline);
            let call = context.scope(client.oneshot(get(address, "/")));
            within(call).await.expect_err("it hangs");
            let what = format!("{classified:?} over {version}");
            both.assert_ends(classified, &what).await;
        }
    }
}

// ---- what breakers make of it

fn breaker() -> CircuitBreaker {
    let breaker = CircuitBreaker::builder("hung").consecutive_failures(10);
    breaker.build().expect("sound settings")
}

type Req = http::Request<Body>;

fn request() -> Req {
    http::Request::new(Body::empty())
}

/// A thousand calls, one after the other, each of a caller who waits so long.
async fn thousand<S>(service: S, patience: Duration)
where
    S: Service<Req> + Clone,
{
    for _ in 0..1_000 {
        let context = Context::new_root().with_deadline(Instant::now() + patience);
        let call = context.scope(service.clone().oneshot(request()));
        assert!(call.await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_around_or_inside_breaker_opens_circuit() {
    let hung = service_fn(|_: Req| pending::<Result<http::Response<Body>, BoxError>>());
    for (patience, state) in [
        (HOUR, CircuitState::Open),
        (SECOND / 2, CircuitState::Closed),
    ] {
        let inside = breaker();
        let service = ServiceBuilder::new()
            .layer(TimeoutLayer::client(SECOND))
            .layer(inside.layer().client())
            .service(hung);
        thousand(service, patience).await;
        assert_eq!(inside.state(), state, "the breaker inside");

        let outside = breaker();
        let service = ServiceBuilder::new()
            .layer(outside.layer().client())
            .layer(TimeoutLayer::client(SECOND))
            .service(hung);
        thousand(service, patience).await;
        assert_eq!(outside.state(), state, "the breaker outside");

        let plain = breaker();
        let service = ServiceBuilder::new()
            .layer(TimeoutLayer::any(SECOND))
            .layer(plain.layer().any())
            .service(hung);
        thousand(service, patience).await;
        assert_eq!(plain.state(), state, "any service");
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_around_or_inside_run_opens_circuit() {
    let limit = TimeLimit::new("hung", SECOND);
    let hangs = || pending::<Result<(), std::io::Error>>();
    for (patience, state) in [
        (HOUR, CircuitState::Open),
        (SECOND / 2, CircuitState::Closed),
    ] {
        let (inside, outside) = (breaker(), breaker());
        for _ in 0..1_000 {
            let context = || Context::new_root().with_deadline(Instant::now() + patience);
            let run = limit.run(inside.call(hangs()));
            let _ = context().scope(run).await;
            let run = async {
                let given_up = limit.run(hangs()).await;
                given_up.map_err(BoxError::from)?.map_err(BoxError::from)
            };
            let _ = context().scope(outside.call_display(run)).await;
        }
        assert_eq!(inside.state(), state, "the breaker inside");
        assert_eq!(outside.state(), state, "the breaker outside");
    }
}

#[tokio::test]
async fn timeout_on_hung_server_opens_in_either_order() {
    let (address, _server) = hung(HOUR).await;
    for (version, client) in both_versions() {
        let (inside, outside) = (breaker(), breaker());
        let one = ServiceBuilder::new()
            .layer(TimeoutLayer::client(SOON))
            .layer(inside.layer().client())
            .service(client.clone());
        let two = ServiceBuilder::new()
            .layer(outside.layer().client())
            .layer(TimeoutLayer::client(SOON))
            .service(client);
        let calls = (0..10).map(async |_| {
            let one = one.clone().oneshot(get(address, "/"));
            let two = two.clone().oneshot(get(address, "/"));
            let (one, two) = tokio::join!(one, two);
            (one.expect_err("it hangs"), two.expect_err("it hangs"))
        });
        within(futures_util::future::join_all(calls)).await;
        assert_eq!(inside.state(), CircuitState::Open, "inside, {version}");
        assert_eq!(outside.state(), CircuitState::Open, "outside, {version}");
    }
}

// ---- gRPC bodies

/// A server that knows the time, and how its calls ended on both sides of that.
async fn served() -> (SocketAddr, Both) {
    served_within(HOUR).await
}

async fn served_within(limit: Duration) -> (SocketAddr, Both) {
    let ((one, outer), (two, inner)) = (witness(), witness());
    let (listener, address) = listen().await;
    let layers = ServiceBuilder::new()
        .layer(GuardLayer::server(one))
        .layer(TimeoutLayer::server(limit))
        .layer(GuardLayer::server(two))
        .into_inner();
    let server = Server::builder()
        .layer(layers)
        .add_service(HealthServer::new(Scripted::default()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, Both { outer, inner })
}

fn within_time<T>(message: T, time: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

#[tokio::test]
async fn timeout_of_grpc_stream_is_deadline_exceeded() {
    let (address, mut both) = served().await;
    let (called, mut ends) = witness();
    let client = GuardLayer::grpc_client(called).layer(channel(address));
    let mut client = HealthClient::new(client);
    let request = within_time(named("endless"), AMPLE);
    let mut stream = within(client.watch(request)).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    let late = within(stream.message()).await.expect_err("out of time");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    both.assert_ends(DUE, "server").await;
    let told = ends.next().await;
    assert_eq!((told.outcome, told.evidence), DUE);
    assert_eq!(told.code, Some(GrpcCode::DEADLINE_EXCEEDED));
}

#[tokio::test]
async fn timeout_delivers_frames_received_in_time() {
    let (address, mut both) = served().await;
    // The client keeps the time, too, and reads nothing until it is over.
    let client = TimeoutLayer::grpc_client(HOUR).layer(channel(address));
    let mut client = HealthClient::new(client);
    let request = within_time(named("burst"), AMPLE);
    let mut stream = within(client.watch(request)).await.unwrap().into_inner();
    both.assert_ends(DUE, "server").await;
    for _ in 0..5 {
        let message = within(stream.message()).await;
        assert!(message.expect("it came in time").is_some());
    }
    let late = within(stream.message()).await.expect_err("out of time");
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn timeout_of_grpc_client_ends_endless_stream() {
    let (listener, address) = listen().await;
    let server = Server::builder().add_service(HealthServer::new(Scripted::default()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let limits = [
        (TimeoutLayer::grpc_client(HOUR), AMPLE, DUE),
        (TimeoutLayer::grpc_client(HOUR).body_idle(AMPLE), HOUR, LATE),
    ];
    for (limit, patience, classified) in limits {
        let ((one, outer), (two, inner)) = (witness(), witness());
        let mut both = Both { outer, inner };
        let client = ServiceBuilder::new()
            .layer(GuardLayer::grpc_client(one))
            .layer(limit)
            .layer(GuardLayer::grpc_client(two))
            .service(channel(address));
        let mut client = HealthClient::new(client);
        let context = Context::new_root().with_deadline(Instant::now() + patience);
        let mut stream = within(context.scope(client.watch(named("endless"))))
            .await
            .unwrap()
            .into_inner();
        assert!(within(stream.message()).await.unwrap().is_some());
        let late = within(stream.message()).await.expect_err("out of time");
        assert_eq!(late.code(), Code::DeadlineExceeded);
        both.assert_ends(classified, &format!("{classified:?}"))
            .await;
    }
}

#[tokio::test]
async fn timeout_of_unary_grpc_is_deadline_or_limit() {
    let (address, mut server) = served().await;
    for (limit, patience, classified) in [(HOUR, AMPLE, DUE), (AMPLE, HOUR, LATE)] {
        let ((one, outer), (two, inner)) = (witness(), witness());
        let mut both = Both { outer, inner };
        let client = ServiceBuilder::new()
            .layer(GuardLayer::grpc_client(one))
            .layer(TimeoutLayer::grpc_client(limit))
            .layer(GuardLayer::grpc_client(two))
            .service(channel(address));
        let mut client = HealthClient::new(client);
        let context = Context::new_root().with_deadline(Instant::now() + patience);
        let late = within(context.scope(client.check(named("hangs")))).await;
        assert_eq!(late.expect_err("late").code(), Code::DeadlineExceeded);
        assert_eq!(both.outer.next_classified().await, classified, "outside");
        // tonic's channel goes by the deadline, too, but what is inside of the limit is told more below.
        both.inner.next().await;
        // On the server it is either side's: tonic's own limit is outside of all layers.
        let told = server.outer.next().await;
        assert_eq!(told.evidence, Evidence::Inconclusive, "{told:?}");
        server.inner.next().await;
        within(client.check(named(0))).await.expect("it lives on");
        both.assert_ends(GOOD, "afterwards").await;
        server.assert_ends(GOOD, "afterwards").await;
    }
}

#[tokio::test]
async fn timeout_of_tonic_server_spares_stalled_upload() {
    let (address, mut both) = served_within(16 * SOON).await;
    let mut client = HealthClient::new(channel(address));
    let late = within(client.check(named("hangs"))).await;
    assert_eq!(late.expect_err("late").code(), Code::DeadlineExceeded);
    both.assert_ends(LATE, "it hangs").await;

    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    // Nothing, and a megabyte of which too little comes.
    for beginning in [&b""[..], b"\0\0\x10\0\0hello"] {
        let path = "/grpc.health.v1.Health/Check";
        let mut call = post2(address, path, &headers).await;
        call.send(beginning, false);
        let answer = within(call.answer).await.expect("an answer");
        assert_eq!(header(&answer, "grpc-status"), Some("4"));
        both.assert_ends(BROKE, &format!("{beginning:?}")).await;
    }
}

/// A peer, or tonic's channel, that goes by the deadline that it was sent.
#[tokio::test]
async fn timeout_of_grpc_client_is_one_outcome_for_all() {
    let (address, _server) = served().await;
    // The server says DEADLINE_EXCEEDED of its own accord, or the channel gives up.
    for (asks, patience, classified) in [("4", HOUR, LATE), ("hangs", SOON, DUE)] {
        let ((one, outer), (two, inner)) = (witness(), witness());
        let mut both = Both { outer, inner };
        let client = ServiceBuilder::new()
            .layer(GuardLayer::grpc_client(one))
            .layer(TimeoutLayer::grpc_client(HOUR))
            .layer(GuardLayer::grpc_client(two))
            .service(channel(address));
        let mut client = HealthClient::new(client);
        let context = Context::new_root().with_deadline(Instant::now() + patience);
        let late = within(context.scope(client.check(named(asks)))).await;
        assert_eq!(late.expect_err("late").code(), Code::DeadlineExceeded);
        both.assert_ends(classified, asks).await;
    }
}
