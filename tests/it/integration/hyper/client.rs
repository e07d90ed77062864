//! hyper-util's client, over real connections.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    routing::{get as on_get, post as on_post},
};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, GuardLayer, Outcome, Rejection, RejectionKind, call::ClassifyInput,
    context::Propagate, observe,
};

use crate::{
    integration::tracked,
    support::{
        both_versions, get,
        guards::{Fuse, witness},
        header, http1, listen,
        logs::logs,
        meter::meter,
        nobody, serve, text, within,
    },
};

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
    let (meter, address) = (meter(), nobody());
    for (_, client) in both_versions() {
        let (witness, mut ends) = witness();
        let (track, errors) = tracked("stock");
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client((witness, track)))
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
    let layer = GuardLayer::client((Propagate::default(), (track, fuse.clone())));
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
