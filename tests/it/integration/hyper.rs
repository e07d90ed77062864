//! The layer round hyper-util's client, a hyper server and plain services, over real connections.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    routing::{get as on_get, post as on_post},
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, ErrorTracker, GuardLayer, Outcome, Rejection, RejectionKind, Track,
    call::ClassifyInput, context::Propagate, observe, operation,
};

use crate::support::{
    both_versions, get,
    guards::{Fuse, witness},
    header, http1, listen,
    logs::logs,
    meter::meter,
    nobody, serve, serve_hyper, text, within,
};

fn tracked(name: &'static str) -> (Track, ErrorTracker) {
    let errors = ErrorTracker::default();
    let track = Track::builder(name).errors(errors.clone()).build();
    (track.expect("a tracker"), errors)
}

async fn upstream() -> std::net::SocketAddr {
    serve(
        Router::new()
            .route("/ok", on_get(|| async { "fine" }))
            .route("/status/{code}", on_get(status))
            .route("/echo", on_post(|body: Body| async { body })),
    )
    .await
}

async fn status(axum::extract::Path(code): axum::extract::Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}

// ---- hyper-util's client

#[tokio::test]
async fn client_metrics_have_server_and_version() {
    let (meter, logs) = (meter(), logs());
    let address = upstream().await;
    for (version, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(observe("stock").client())
            .service(client);
        let response = client.oneshot(get(address, "/ok?secret=1")).await.unwrap();
        assert_eq!(header(&response, "content-length"), Some("4"));
        assert_eq!(text(response).await, "fine");
        let port = address.port().to_string();
        let labels = [
            ("server_address", "127.0.0.1"),
            ("server_port", &*port),
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
            ("network_protocol_version", version),
            ("url_scheme", "http"),
        ];
        let duration = "http_client_request_duration_seconds";
        assert_eq!(meter.count(duration, &labels), 1.0, "{version}");
    }
    for (line, version) in logs.calls().iter().zip(["1.1", "2"]) {
        assert_eq!((line.get("kind"), line.get("service")), ("client", "stock"));
        assert_eq!((line.get("path"), line.get("status")), ("/ok", "200"));
        assert_eq!(
            (line.get("server"), line.get("route")),
            (&*address.to_string(), "")
        );
        assert_eq!(
            (line.get("version"), line.get("response_bytes")),
            (version, "4")
        );
    }
    for (span, version) in logs.call_spans().iter().zip(["1.1", "2"]) {
        assert_eq!(
            (span.get("otel.kind"), span.get("otel.name")),
            ("client", "GET")
        );
        assert_eq!(span.get("server.address"), "127.0.0.1");
        assert_eq!(span.get("server.port"), address.port().to_string());
        assert_eq!(span.get("http.route"), "", "a server is no route");
        assert_eq!(span.get("network.protocol.version"), version);
    }
    assert_eq!(meter.sum("http_client_active_requests", &[]), Some(0.0));
}

#[tokio::test]
async fn client_outcome_of_http_status() {
    let (witness, mut ends) = witness();
    let address = upstream().await;
    for (version, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client(witness.clone()))
            .service(client);
        for (code, outcome) in [
            (200, Outcome::Success),
            (204, Outcome::Success),
            (302, Outcome::Success),
            (404, Outcome::ClientError),
            (408, Outcome::TimedOut),
            (429, Outcome::Overload),
            (500, Outcome::Failure),
            (503, Outcome::Overload),
            (504, Outcome::TimedOut),
        ] {
            let request = get(address, &format!("/status/{code}"));
            let response = client.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), code);
            drop(response);
            assert_eq!(ends.next_outcome().await, outcome, "{code} over {version}");
        }
    }
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let (witness, mut ends) = witness();
    let address = upstream().await;
    for (_, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client(witness.clone()))
            .service(client);
        let (say, said) = mpsc::channel::<Result<&str, Infallible>>(1);
        let mut request = get(address, "/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = Body::from_stream(ReceiverStream::new(said));
        say.send(Ok("first")).await.unwrap();
        let mut body = within(client.oneshot(request)).await.unwrap().into_body();
        let mut heard = async || within(body.frame()).await.unwrap().unwrap();
        assert_eq!(heard().await.into_data().unwrap(), "first");
        say.send(Ok("second")).await.unwrap();
        assert_eq!(heard().await.into_data().unwrap(), "second");
        assert_eq!(ends.so_far(), []);
        drop(say);
        let rest = within(body.collect()).await.unwrap().to_bytes();
        assert_eq!(rest, "");
        let told = ends.next().await;
        assert_eq!((told.outcome, told.response_bytes), (Outcome::Success, 11));
    }
}

#[tokio::test]
async fn connection_refused_is_a_failure_with_cause() {
    let (meter, address) = (meter(), nobody().await);
    for (_, client) in both_versions() {
        let (witness, mut ends) = witness();
        let (track, errors) = tracked("stock");
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client((witness, track.client_side())))
            .service(client);
        let error = client.oneshot(get(address, "/ok")).await.unwrap_err();
        assert!(
            error.is::<hyper_util::client::legacy::Error>(),
            "the cause stays what it was"
        );
        let told = ends.next().await;
        assert_eq!((told.outcome, told.status), (Outcome::Failure, None));
        assert!(told.cause.contains("refused"), "{}", told.cause);
        let group = &errors.groups()[0];
        assert_eq!(group.kind(), "hyper_util::client::legacy::Error");
        assert!(
            group
                .latest()
                .record()
                .causes()
                .any(|cause| cause.contains("refused"))
        );
    }
    let labels = [("error_type", "hyper_util::client::legacy::Error")];
    assert_eq!(
        meter.count("http_client_request_duration_seconds", &labels),
        2.0
    );
}

#[tokio::test]
async fn truncated_body_is_a_failure() {
    let (witness, mut ends) = witness();
    let (listener, address) = listen().await;
    // Promises ten bytes and goes after four.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    });
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(witness))
        .service(http1());
    let response = client.oneshot(get(address, "/")).await.unwrap();
    assert!(within(response.into_body().collect()).await.is_err());
    let told = ends.next().await;
    assert_eq!((told.outcome, told.response_bytes), (Outcome::Failure, 4));
    assert_eq!(told.status, Some(StatusCode::OK));
    assert!(!told.cause.is_empty());
}

#[tokio::test]
async fn dropped_body_cancels_unless_head_failed() {
    let (witness, mut ends) = witness();
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let endless = |status: StatusCode| async move {
        let ticks = tokio_stream::once("tick").chain(tokio_stream::pending());
        (status, Body::from_stream(ticks.map(Ok::<_, Infallible>)))
    };
    let app = Router::new()
        .route("/endless", on_get(move || endless(StatusCode::OK)))
        .route(
            "/busy",
            on_get(move || endless(StatusCode::SERVICE_UNAVAILABLE)),
        )
        .route(
            "/never",
            on_get(async move || {
                arrives.notify_one();
                pending::<()>().await
            }),
        );
    let address = serve(app).await;
    for (version, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client(witness.clone()))
            .service(client);
        for (path, outcome) in [
            // The reader was not waiting for more.
            ("/endless", Outcome::Success),
            ("/busy", Outcome::Overload),
        ] {
            let mut response = client.clone().oneshot(get(address, path)).await.unwrap();
            within(response.body_mut().frame()).await.unwrap().unwrap();
            drop(response);
            assert_eq!(ends.next_outcome().await, outcome, "{path} over {version}");
        }
        let call = tokio::spawn(client.clone().oneshot(get(address, "/never")));
        within(arrived.notified()).await;
        call.abort();
        assert_eq!(ends.next_outcome().await, Outcome::Cancelled);
    }
}

#[tokio::test]
async fn rejection_error_carries_rejection_across_clones() {
    let fuse = Fuse::blows_after(2);
    let (track, errors) = tracked("stock");
    let layer = GuardLayer::client((Propagate::default(), (track.client_side(), fuse.clone())));
    let address = upstream().await;
    // One failure through each of two clients.
    let clients = both_versions().map(|(_, client)| layer.clone_layer(client));
    for client in &clients {
        let request = get(address, "/status/500");
        let response = client.clone().oneshot(request).await.unwrap();
        text(response).await;
    }
    for client in clients {
        let error: BoxError = client.oneshot(get(address, "/ok")).await.unwrap_err();
        let rejection = Rejection::find(&*error).unwrap();
        assert_eq!(rejection.kind(), RejectionKind::CircuitOpen);
        assert_eq!(rejection.guard(), "fuse");
        assert_eq!(rejection.retry_after(), Some(Duration::from_millis(1_500)));
    }
    assert_eq!(fuse.admitted(), 2);
    assert_eq!(errors.total(), 2, "the two failures, and no rejection");
}

trait CloneLayer {
    fn clone_layer<S>(&self, service: S) -> <Self as tower::Layer<S>>::Service
    where
        Self: tower::Layer<S>,
    {
        tower::Layer::layer(self, service)
    }
}
impl<L> CloneLayer for L {}

#[tokio::test]
async fn classifier_decides_client_outcome() {
    let (witness, mut ends) = witness();
    let layer =
        GuardLayer::client(witness).classify(|end: &ClassifyInput<'_>| match end.status() {
            Some(StatusCode::NOT_FOUND) => Outcome::Failure,
            _ => end.outcome(),
        });
    let client = ServiceBuilder::new().layer(layer).service(http1());
    let address = upstream().await;
    for (code, outcome) in [(404, Outcome::Failure), (410, Outcome::ClientError)] {
        let request = get(address, &format!("/status/{code}"));
        text(client.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(ends.next_outcome().await, outcome);
    }
}

#[tokio::test]
async fn timeout_of_tower_is_timed_out_on_both_sides() {
    let (outer, mut outer_ends) = witness();
    let (inner, mut inner_ends) = witness();
    let address = serve(Router::new().fallback(pending::<()>)).await;
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(outer))
        .timeout(Duration::from_millis(20))
        .layer(GuardLayer::client(inner))
        .service(http1());
    client.oneshot(get(address, "/")).await.unwrap_err();
    assert_eq!(inner_ends.next_outcome().await, Outcome::Cancelled);
    let outcome = outer_ends.next_outcome().await;
    #[cfg(feature = "tower")]
    assert_eq!(outcome, Outcome::TimedOut);
    #[cfg(not(feature = "tower"))]
    assert_eq!(outcome, Outcome::Failure);
}

// ---- a hyper server without a framework

#[tokio::test]
async fn hyper_server_is_guarded() {
    let meter = meter();
    let fuse = Fuse::blows_after(1);
    let (witness, mut ends) = witness();
    let layer = GuardLayer::server((witness, (Track::new("bare"), fuse.clone())));
    let service = ServiceBuilder::new().layer(layer).service(service_fn(
        async |request: Request<Incoming>| match request.uri().path() {
            "/panics" => panic!("the ink ran out"),
            _ => Ok::<_, Infallible>(Response::new(Full::from("fine"))),
        },
    ));
    let address = serve_hyper(service).await;
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/")).await.unwrap();
        assert_eq!(text(response).await, "fine");
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
    let response = http1().request(get(address, "/panics")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(ends.next_outcome().await, Outcome::Panicked);
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/")).await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(ends.next_outcome().await, Outcome::Rejected);
    }
    // Nobody told it a route.
    assert!(!meter.render().contains("http_route"));
}

#[tokio::test]
async fn server_error_keeps_its_type_and_is_recorded() {
    let (track, errors) = tracked("bare");
    let (witness, mut ends) = witness();
    let layer = GuardLayer::server((witness, track));
    let service =
        ServiceBuilder::new()
            .layer(layer)
            .service(service_fn(async |_: Request<Incoming>| {
                Err::<Response<Full<Bytes>>, _>(io::Error::new(
                    io::ErrorKind::NotFound,
                    "no such disk",
                ))
            }));
    let address = serve_hyper(service).await;
    for (_, client) in both_versions() {
        within(client.request(get(address, "/"))).await.unwrap_err();
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, &*told.cause),
            (Outcome::Failure, "no such disk")
        );
    }
    let group = &errors.groups()[0];
    assert_eq!((group.kind(), group.count()), ("io::NotFound", 2));
}

// ---- services that are not HTTP

#[derive(Debug)]
struct OutOfPaper;

impl fmt::Display for OutOfPaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of paper")
    }
}
impl Error for OutOfPaper {}

#[tokio::test]
async fn plain_service_is_observed_as_operation() {
    let (meter, logs) = (meter(), logs());
    let printed = Arc::new(AtomicU32::new(0));
    let count = printed.clone();
    let mut printer = ServiceBuilder::new()
        .layer(observe("printer").any())
        .service(service_fn(move |pages: u32| {
            let count = count.clone();
            async move {
                assert!(Context::current().is_some(), "a call has a context");
                match count.fetch_add(pages, Ordering::SeqCst) {
                    0..3 => Ok(pages),
                    _ => Err(OutOfPaper),
                }
            }
        }));
    assert_eq!(printer.ready().await.unwrap().call(3).await.unwrap(), 3);
    let error = printer.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(error.is::<OutOfPaper>());
    assert!(Context::current().is_none());

    let of = |outcome| {
        [
            ("operation", "printer"),
            ("kind", "service"),
            ("outcome", outcome),
        ]
    };
    assert_eq!(
        meter.count("operation_duration_seconds", &of("success")),
        1.0
    );
    assert_eq!(
        meter.count("operation_duration_seconds", &of("failure")),
        1.0
    );
    let in_flight = meter.sum("operations_in_flight", &[("operation", "printer")]);
    assert_eq!(in_flight, Some(0.0));
    let lines = logs.events("tower_keep::operation");
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line.get("outcome"), line.get("error")))
        .collect();
    assert_eq!(told, [("success", ""), ("failure", "out of paper")]);
}

#[tokio::test]
async fn plain_service_call_inherits_context() {
    let whose = ServiceBuilder::new()
        .layer(observe("whose").any())
        .service(service_fn(async |_: ()| {
            Ok::<_, Infallible>(Context::current())
        }));
    let call = Context::new_root();
    let seen = call.scope(whose.clone().oneshot(())).await.unwrap();
    assert_eq!(seen, Some(call.clone()));
    assert_ne!(whose.oneshot(()).await.unwrap(), Some(call));
}

#[tokio::test]
async fn plain_service_panic_is_recorded_and_unwinds() {
    let errors = ErrorTracker::default();
    let guard = operation("printer").errors(errors.clone());
    let service = ServiceBuilder::new()
        .layer(GuardLayer::any(guard))
        .service(service_fn(async |jams: bool| {
            assert!(!jams, "a jam");
            Ok::<_, Infallible>(())
        }));
    let task = tokio::spawn(service.clone().oneshot(true));
    assert!(within(task).await.unwrap_err().is_panic());
    service.oneshot(false).await.unwrap();
    let group = &errors.groups()[0];
    assert_eq!(
        (group.kind(), group.message(), group.count()),
        ("panic", "a jam", 1)
    );
}

#[tokio::test]
async fn plain_service_classifier_decides_outcome() {
    let (witness, mut ends) = witness();
    let layer = GuardLayer::any(witness).classify(|end: &ClassifyInput<'_>| {
        match end.response::<Option<u32>>() {
            Some(None) => Outcome::ClientError,
            _ => end.outcome(),
        }
    });
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(async |n: Option<u32>| Ok::<_, Infallible>(n)));
    for (answer, outcome) in [(Some(7), Outcome::Success), (None, Outcome::ClientError)] {
        service.clone().oneshot(answer).await.unwrap();
        assert_eq!(ends.next_outcome().await, outcome);
    }
}

#[tokio::test]
async fn plain_service_rejection_passes_other_layers() {
    let service = ServiceBuilder::new()
        .layer(observe("outer").any())
        .timeout(Duration::from_secs(60))
        .layer(GuardLayer::any(Fuse::blown()))
        .service(service_fn(async |n: u32| Ok::<_, Infallible>(n)));
    let error = service.oneshot(1).await.unwrap_err();
    assert_eq!(Rejection::find(&*error).unwrap().guard(), "fuse");
}
