//! The layer round tonic servers and clients, over real connections: unary calls and streams, in both directions.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as Cx, Poll},
    time::Duration,
};

use axum::{Router, body::Body as AxumBody, routing::get as on_get};
use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{NamedService, StreamingService},
    service::{LayerExt, Routes},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_client::HealthClient,
        health_server::{Health, HealthServer},
    },
    server::health_reporter,
};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    ErrorTracker, GuardLayer, Outcome, Rejection, Track,
    call::{Evidence, GrpcCode},
    context::{Correlate, Propagate},
    observe,
    track::RequestBodyLayer,
};

use crate::support::{
    get,
    guards::{Fuse, witness},
    http2, listen,
    logs::logs,
    meter::meter,
    nobody, serve, text, within,
};

// ---- a service that does as it is told

/// Answers as the name of the service in the request says.
#[derive(Clone, Default)]
struct Scripted {
    arrived: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[derive(Debug)]
struct TornPage;

impl fmt::Display for TornPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page is torn")
    }
}
impl Error for TornPage {}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: 1 }
}

#[tonic::async_trait]
impl Health for Scripted {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.arrived.notify_one();
        match &*request.get_ref().service {
            "" => Ok(Response::new(serving())),
            "missing" => Err(Status::not_found("no such service")),
            "forbidden" => Err(Status::permission_denied("not for you")),
            "busy" => Err(Status::resource_exhausted("come back later")),
            "late" => Err(Status::deadline_exceeded("no time left")),
            "closed" => {
                let why = Rejection::rate_limited("till");
                Err(why.with_retry_after(Duration::from_millis(1_200)).into())
            }
            "gone" => Err(Status::unavailable("moved out")),
            "torn" => {
                let mut status = Status::internal("cannot read order 7");
                status.set_source(Arc::new(TornPage));
                Err(status)
            }
            "panics" => panic!("the ink ran out"),
            "hangs" => pending().await,
            other => Err(Status::invalid_argument(other.to_owned())),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = tokio_stream::once(Ok(serving()));
        let stream: Self::WatchStream = match &*request.get_ref().service {
            "" => Box::pin(tokio_stream::iter([Ok(serving()), Ok(serving())])),
            "torn" => Box::pin(first.chain(tokio_stream::once(Err(Status::data_loss("torn"))))),
            "panics" => {
                let go_on = self.go_on.clone();
                let then = async move {
                    go_on.notified().await;
                    panic!("ran dry")
                };
                Box::pin(first.chain(futures_util::stream::once(then)))
            }
            "endless" => Box::pin(first.chain(tokio_stream::pending())),
            _ => return Err(Status::not_found("no such service")),
        };
        Ok(Response::new(stream))
    }
}

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// Serves with tonic's own transport, inside of the layer.
macro_rules! serve_tonic {
    ($layer:expr, $service:expr) => {{
        let (listener, address) = listen().await;
        let server = Server::builder().layer($layer).add_service($service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }};
}

fn channel(to: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{to}"))
        .expect("an endpoint")
        .connect_lazy()
}

fn tracked(name: &'static str) -> (Track, ErrorTracker) {
    let errors = ErrorTracker::default();
    let track = Track::builder(name).errors(errors.clone()).build();
    (track.expect("a tracker"), errors)
}

// ---- unary calls and streams

#[tokio::test]
async fn unary_call_is_one_call_on_both_sides() {
    let (meter, logs) = (meter(), logs());
    let (_reporter, health) = health_reporter();
    let address = serve_tonic!(observe("health").server(), health);
    let mut client = HealthClient::new(
        ServiceBuilder::new()
            .layer(observe("health").grpc_client())
            .service(channel(address)),
    );

    let answer = client.check(check("")).await.unwrap();
    assert_eq!(answer.get_ref().status, ServingStatus::Serving as i32);
    assert!(
        !answer.metadata().contains_key("x-request-id"),
        "not asked for"
    );
    let status = client.check(check("unheard of")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    for side in ["server", "client"] {
        let duration = format!("rpc_{side}_call_duration_seconds");
        let method = ("rpc_method", "grpc.health.v1.Health/Check");
        let of = |code| {
            [
                method,
                ("rpc_response_status_code", code),
                ("rpc_system_name", "grpc"),
            ]
        };
        assert_eq!(meter.count(&duration, &of("OK")), 1.0, "{side}");
        assert_eq!(meter.count(&duration, &of("NOT_FOUND")), 1.0, "{side}");
        let calls = |outcome| meter.calls(&[method, ("kind", side), ("outcome", outcome)]);
        assert_eq!(
            (calls("success"), calls("client_error")),
            (1.0, 1.0),
            "{side}"
        );
        let active = format!("http_{side}_active_requests");
        assert_eq!(meter.sum(&active, &[]), Some(0.0), "{side}");
    }
    // The server's line comes first: its call ends before the client has heard of it.
    let lines = logs.calls();
    let kinds: Vec<_> = lines.iter().map(|line| line.get("kind")).collect();
    assert_eq!(kinds, ["server", "client", "server", "client"]);
    let codes: Vec<_> = lines.iter().map(|line| line.get("grpc_code")).collect();
    assert_eq!(codes, ["OK", "OK", "NOT_FOUND", "NOT_FOUND"]);
    assert!(
        lines
            .iter()
            .all(|line| line.get("route") == "grpc.health.v1.Health/Check")
    );
    for span in logs.call_spans() {
        assert_eq!(span.get("otel.name"), "grpc.health.v1.Health/Check");
        assert_eq!(span.get("rpc.system.name"), "grpc");
        assert!(span.closed);
    }
}

#[tokio::test]
async fn stream_is_one_call_until_its_trailers() {
    let meter = meter();
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let (mut reporter, health) = health_reporter();
    let track = Track::new("health");
    let address = serve_tonic!(GuardLayer::server((served, track.clone())), health);
    let layer = GuardLayer::grpc_client((called, track.client_side()));
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));

    reporter
        .set_service_status("shop", ServingStatus::Serving)
        .await;
    let mut stream = client.watch(check("shop")).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
    reporter
        .set_service_status("shop", ServingStatus::NotServing)
        .await;
    assert_eq!(stream.message().await.unwrap().unwrap().status, 2);
    assert_eq!(
        (server_ends.so_far(), client_ends.so_far()),
        (vec![], vec![])
    );
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(1.0));
    assert_eq!(meter.sum("http_client_active_requests", &[]), Some(1.0));

    reporter.clear_service_status("shop").await;
    assert_eq!(stream.message().await.unwrap(), None);
    for ends in [&mut server_ends, &mut client_ends] {
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.code),
            (Outcome::Success, Some(GrpcCode::OK))
        );
        assert_eq!(told.response_bytes, 14, "two messages of two bytes, framed");
    }
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(0.0));
    assert_eq!(meter.sum("http_client_active_requests", &[]), Some(0.0));
}

#[tokio::test]
async fn grpc_code_outcome_agrees_on_both_sides() {
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let address = serve_tonic!(
        GuardLayer::server(served),
        HealthServer::new(Scripted::default())
    );
    let layer = GuardLayer::grpc_client(called);
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));

    for (service, code, outcome) in [
        ("", Code::Ok, Outcome::Success),
        ("missing", Code::NotFound, Outcome::ClientError),
        ("forbidden", Code::PermissionDenied, Outcome::ClientError),
        ("made up", Code::InvalidArgument, Outcome::ClientError),
        ("busy", Code::ResourceExhausted, Outcome::Overload),
        ("late", Code::DeadlineExceeded, Outcome::TimedOut),
        ("gone", Code::Unavailable, Outcome::Failure),
        ("torn", Code::Internal, Outcome::Failure),
    ] {
        let answer = client.check(check(service)).await;
        assert_eq!(
            answer.map_or_else(|status| status.code(), |_| Code::Ok),
            code
        );
        for ends in [&mut server_ends, &mut client_ends] {
            let told = ends.next().await;
            assert_eq!(told.outcome, outcome, "{service}");
            assert_eq!(told.code.unwrap().as_u8(), code as u8, "{service}");
        }
    }
    // The same in trailers, after a message.
    let mut stream = client.watch(check("torn")).await.unwrap().into_inner();
    assert!(stream.message().await.is_ok());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DataLoss);
    for ends in [&mut server_ends, &mut client_ends] {
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.code),
            (Outcome::Failure, Some(GrpcCode::DATA_LOSS))
        );
        assert_eq!(told.cause, "grpc-message: torn");
    }
}

#[tokio::test]
async fn status_error_is_grouped_by_source_or_message() {
    let (served, server_errors) = tracked("health");
    let (called, client_errors) = tracked("health");
    let server = observe("health").track(served).server();
    let address = serve_tonic!(server, HealthServer::new(Scripted::default()));
    let layer = observe("health").track(called).grpc_client();
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));
    // The server learns the method from an answer that only its implementation can have given.
    client.check(check("")).await.unwrap();
    client.check(check("torn")).await.unwrap_err();
    client.check(check("missing")).await.unwrap_err();

    let [group] = &server_errors.groups()[..] else {
        panic!("{:#?}", server_errors.groups())
    };
    let on_server = group.latest().record();
    assert_eq!(on_server.route(), Some("grpc.health.v1.Health/Check"));
    assert!(
        on_server.message().contains("cannot read order 7"),
        "{on_server:#?}"
    );
    assert_eq!(on_server.causes().last(), Some("a page is torn"));

    let [group] = &client_errors.groups()[..] else {
        panic!("{:#?}", client_errors.groups())
    };
    let on_client = group.latest().record();
    assert_eq!(
        (group.kind(), group.message()),
        ("INTERNAL", "cannot read order <num>")
    );
    assert_eq!(on_client.correlation_id(), on_server.correlation_id());
    assert_eq!(on_client.trace_id(), on_server.trace_id());
}

#[tokio::test]
async fn unimplemented_methods_share_one_series() {
    let meter = meter();
    let address = serve_tonic!(
        observe("health").server(),
        HealthServer::new(Scripted::default())
    );
    let client = http2();
    for path in [
        "/grpc.health.v1.Health/Guess",
        "/no.such.Service/Call",
        "/x",
    ] {
        let mut request = get(address, path);
        *request.method_mut() = http::Method::POST;
        request
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        let response = client.request(request).await.unwrap();
        assert_eq!(crate::support::header(&response, "grpc-status"), Some("12"));
    }
    let duration = "rpc_server_call_duration_seconds";
    let other = [
        ("rpc_method", "_OTHER"),
        ("rpc_response_status_code", "UNIMPLEMENTED"),
    ];
    assert_eq!(meter.count(duration, &other), 3.0);
    assert_eq!(meter.series(&format!("{duration}_count")).len(), 1);
}

/// Whoever is turned away before the method is looked up says nothing about methods: guards and interceptors answer
/// for made-up ones, too, and strangers could fill the table of those that get series of their own.
#[tokio::test]
async fn rejected_calls_add_no_method_label() {
    let meter = meter();
    let stranger = |address, method: &str| {
        let mut request = get(address, &format!("/grpc.health.v1.Health/{method}"));
        *request.method_mut() = http::Method::POST;
        let grpc = "application/grpc".parse().unwrap();
        request.headers_mut().insert("content-type", grpc);
        request
    };
    let keep_out = |request: Request<()>| match request.metadata().get("x-key") {
        Some(_) => Ok(request),
        None => Err(Status::unauthenticated("who are you?")),
    };
    let health = HealthServer::with_interceptor(Scripted::default(), keep_out);
    let guarded = serve_tonic!(observe("guarded").server(), health);
    let guards = (Track::new("rejected"), Fuse::blown());
    let health = HealthServer::new(Scripted::default());
    let rejected = serve_tonic!(GuardLayer::server(guards), health);
    let client = http2();
    for n in 0..5 {
        for address in [guarded, rejected] {
            let request = stranger(address, &format!("MadeUp{n}"));
            text(client.request(request).await.unwrap()).await;
        }
    }
    assert!(!meter.render().contains("MadeUp"), "{}", meter.render());

    // Those who are let in are believed, and from then on everybody who calls the same.
    let mut request = Request::new(check(""));
    request.metadata_mut().insert("x-key", "1".parse().unwrap());
    HealthClient::new(channel(guarded))
        .check(request)
        .await
        .unwrap();
    text(client.request(stranger(guarded, "Check")).await.unwrap()).await;
    let of = |code| {
        [
            ("rpc_method", "grpc.health.v1.Health/Check"),
            ("rpc_response_status_code", code),
        ]
    };
    let duration = "rpc_server_call_duration_seconds";
    assert_eq!(meter.count(duration, &of("OK")), 1.0);
    assert_eq!(meter.count(duration, &of("UNAUTHENTICATED")), 1.0);
}

/// Strangers could fill the table of those that get series of their own, and from then on nobody else would get one.
#[tokio::test]
async fn made_up_methods_add_no_label() {
    let made_up = |number: u32| {
        http::Request::post(format!("http://peer/grpc.health.v1.Health/MadeUp{number}"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap()
    };
    let meter = meter();
    let turn_away = |_: Request<()>| Err(Status::invalid_argument("come with a key"));
    let health = HealthServer::with_interceptor(Scripted::default(), turn_away);
    let server = ServiceBuilder::new()
        .layer(observe("server").server())
        .service(Routes::new(health));
    // Nobody implements anything there.
    let peer = || Routes::new(HealthServer::new(Scripted::default()));
    let client = ServiceBuilder::new()
        .layer(observe("client").client())
        .service(peer());
    let grpc_client = ServiceBuilder::new()
        .layer(observe("grpc_client").grpc_client())
        .service(peer());
    for number in 0..10_000 {
        text(server.clone().oneshot(made_up(number)).await.unwrap()).await;
        text(client.clone().oneshot(made_up(number)).await.unwrap()).await;
        text(grpc_client.clone().oneshot(made_up(number)).await.unwrap()).await;
    }
    assert!(!meter.render().contains("MadeUp"));
    for (name, code, calls) in [
        ("rpc_server_call_duration_seconds", "INVALID_ARGUMENT", 1e4),
        ("rpc_client_call_duration_seconds", "UNIMPLEMENTED", 2e4),
    ] {
        let labels = [("rpc_method", "_OTHER"), ("rpc_response_status_code", code)];
        assert_eq!(meter.count(name, &labels), calls);
        assert_eq!(meter.series(&format!("{name}_count")).len(), 1);
    }
    // Generated code is no stranger.
    let mut request = made_up(0);
    let method = tonic::GrpcMethod::new("test.Chat", "Whisper");
    request.extensions_mut().insert(method);
    text(grpc_client.oneshot(request).await.unwrap()).await;
    let labels = [
        ("rpc_method", "test.Chat/Whisper"),
        ("rpc_response_status_code", "UNIMPLEMENTED"),
    ];
    assert_eq!(
        meter.count("rpc_client_call_duration_seconds", &labels),
        1.0
    );
}

// ---- endings

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
    assert_eq!(client_ends.next_judged().await, wanted);
    let gone = (Outcome::Cancelled, Evidence::Healthy);
    assert_eq!(server_ends.next_judged().await, gone);
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
    assert_eq!(client_ends.next_judged().await, unknown);
    assert_eq!(server_ends.next_judged().await, unknown);
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
    assert_eq!(ends.next_judged().await, unknown);
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
        let told = ends.next_judged().await;
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
    let layer = GuardLayer::grpc_client((witness, track.client_side()));
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
    let layer = GuardLayer::grpc_client((witness, track.client_side()));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(channel(nobody().await));
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

// ---- rejections

#[tokio::test]
async fn rejection_of_server_is_status_with_retry_after() {
    let echoes = Correlate::builder().echo_grpc(true).build();
    let correlate = echoes.expect("sound settings");
    let guards = (correlate, (Track::new("health"), Fuse::blown()));
    let health = HealthServer::new(Scripted::default());
    let address = serve_tonic!(GuardLayer::server(guards), health);
    let status = HealthClient::new(channel(address))
        .check(check(""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "a dependency is unavailable");
    let metadata = status.metadata();
    assert_eq!(metadata.get("grpc-retry-pushback-ms").unwrap(), "1500");
    assert!(metadata.contains_key("x-request-id"));
    assert!(!metadata.contains_key("x-correlation-id"), "the same");
}

#[tokio::test]
async fn handler_can_return_a_rejection() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("health");
    let health = HealthServer::new(Scripted::default());
    let address = serve_tonic!(GuardLayer::server((witness, track)), health);
    let status = HealthClient::new(channel(address))
        .check(check("closed"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "too many requests");
    let hint = status.metadata().get("grpc-retry-pushback-ms");
    assert_eq!(hint.unwrap(), "1200");
    let told = ends.next().await;
    assert_eq!(told.outcome, Outcome::Rejected);
    assert_eq!(told.cause, r#"rejected by "till": rate_limited"#);
    assert_eq!(errors.total(), 0);
}

#[tokio::test]
async fn rejection_of_client_is_a_status() {
    let fuse = Fuse::blows_after(2);
    let layer = GuardLayer::grpc_client((Propagate::default(), fuse.clone()));
    let channel = channel(nobody().await);
    let service = ServiceBuilder::new().layer(layer).service(channel);
    let client = HealthClient::new(service);
    // Clones of the client, each with a service of its own.
    for _ in 0..2 {
        assert!(!fuse.is_blown());
        client.clone().check(check("")).await.unwrap_err();
    }
    let status = client.clone().check(check("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1500"
    );
    // A stream is rejected in the same way.
    let status = client.clone().watch(check("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(fuse.admitted(), 2);
}

// ---- where the layer may stand

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

// ---- streams that go both ways, on a service made by hand

/// Shouts back whatever it hears.
#[derive(Clone)]
struct Chat;

impl NamedService for Chat {
    const NAME: &'static str = "test.Chat";
}

impl StreamingService<Bytes> for Chat {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let heard = request.into_inner();
        let shouts = heard.map(|heard| heard.map(|text| text.to_ascii_uppercase().into()));
        Box::pin(async { Ok(Response::new(Box::pin(shouts) as Self::ResponseStream)) })
    }
}

impl<B> Service<http::Request<B>> for Chat
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<tower_keep::BoxError> + Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let chat = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok(grpc.streaming(chat, request).await)
        })
    }
}

/// Messages are the bytes that they are.
#[derive(Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;
    fn encoder(&mut self) -> Plain {
        Plain
    }
    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

const SHOUT: http::uri::PathAndQuery = http::uri::PathAndQuery::from_static("/test.Chat/Shout");

/// Says one thing after the other, each once the last was answered.
async fn chat<S, B, const N: usize>(service: S, texts: [&'static str; N]) -> Vec<Bytes>
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>,
    S::Error: Into<tower_keep::BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower_keep::BoxError> + Send,
{
    let (say, said) = mpsc::channel(1);
    let mut grpc = Grpc::new(service);
    if grpc.ready().await.is_err() {
        panic!("not ready");
    }
    let request = Request::new(ReceiverStream::new(said));
    let answer = grpc.streaming(request, SHOUT, Plain).await.unwrap();
    let mut answers = answer.into_inner();
    let mut heard = Vec::new();
    for text in texts {
        say.send(Bytes::from_static(text.as_bytes())).await.unwrap();
        heard.push(within(answers.message()).await.unwrap().unwrap());
    }
    drop(say);
    assert_eq!(answers.message().await.unwrap(), None);
    heard
}

#[tokio::test]
async fn bidi_stream_is_one_call_on_both_sides() {
    let meter = meter();
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let track = Track::builder("chat").body_sizes(true).build().unwrap();
    let bytes = RequestBodyLayer::new(tonic::body::Body::new);
    let guard = GuardLayer::server((served, track.clone()));
    let stack = ServiceBuilder::new().layer(guard).layer(bytes).into_inner();
    let address = serve_tonic!(stack, Chat);
    let guard = GuardLayer::grpc_client((called, track.client_side()));
    let layer = ServiceBuilder::new().layer(guard).layer(bytes).into_inner();
    let service = ServiceBuilder::new().layer(layer).service(channel(address));
    assert_eq!(chat(service, ["hello", "bye"]).await, ["HELLO", "BYE"]);

    for ends in [&mut server_ends, &mut client_ends] {
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.code),
            (Outcome::Success, Some(GrpcCode::OK))
        );
        assert_eq!(told.response_bytes, 18, "eight bytes in two frames");
    }
    for side in ["server", "client"] {
        for direction in ["request", "response"] {
            let sizes = format!("rpc_{side}_{direction}_body_size_bytes_sum");
            let method = [("rpc_method", "test.Chat/Shout")];
            assert_eq!(meter.sum(&sizes, &method), Some(18.0), "{side} {direction}");
        }
    }
}

#[tokio::test]
async fn bidi_stream_client_disconnect_is_cancelled_on_server() {
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let address = serve_tonic!(GuardLayer::server(served), Chat);
    let layer = GuardLayer::grpc_client(called);
    let mut grpc = Grpc::new(ServiceBuilder::new().layer(layer).service(channel(address)));
    grpc.ready().await.unwrap();
    let (say, said) = mpsc::channel(1);
    let request = Request::new(ReceiverStream::new(said));
    let mut answers = grpc
        .streaming(request, SHOUT, Plain)
        .await
        .unwrap()
        .into_inner();
    say.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap(), "HELLO");
    drop((say, answers));
    let wanted = (Outcome::Success, Evidence::Healthy);
    assert_eq!(client_ends.next_judged().await, wanted);
    let gone = (Outcome::Cancelled, Evidence::Healthy);
    assert_eq!(server_ends.next_judged().await, gone);
}
