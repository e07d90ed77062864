//! HTTP and gRPC requests that are tried again, on a paused clock.

use std::{
    io::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    Outcome,
    call::{ClassifyInput, GrpcCode},
    protocol::Client,
    retry::{Backoff, ReplayBody, Retry, RetryLayer, RetryService},
};

use super::peer::{Peer, Scripted, status, status_with_header};

const WAIT: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn request_is_resent_with_whole_body() {
    let peer = Peer::answering([
        status(503),
        status(500),
        status(200),
        status(502),
        status(204),
    ]);
    let mut client = client(&peer);
    for expected in [200, 204] {
        let request = request(Method::PUT, "an order");
        let answer = client.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(answer.status(), expected);
    }
    assert_eq!(peer.bodies(), ["an order"; 5]);
    // The first attempt says nothing of itself.
    let attempts = [None, Some(2), Some(3), None, Some(2)];
    assert_eq!(peer.attempts(), attempts);
}

#[tokio::test(start_paused = true)]
async fn connection_error_is_retried_and_last_one_returned() {
    let peer = Peer::answering([Err("reset"), status(200), Err("1"), Err("2"), Err("3")]);
    let client = client(&peer);
    let answer = client.clone().oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 200);
    let error = client.oneshot(request(Method::GET, "")).await.unwrap_err();
    assert_eq!(error.to_string(), "3");
}

#[tokio::test(start_paused = true)]
async fn non_idempotent_request_is_sent_once() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _listening = metrics::set_default_local_recorder(&recorder);
    let peer = Peer::answering([status(503), status(503), status(200)]);
    let client = client(&peer);
    let answer = client
        .clone()
        .oneshot(request(Method::POST, "an order"))
        .await;
    assert_eq!(answer.unwrap().status(), 503);
    assert_eq!(peer.bodies(), ["an order"]);
    let counted = r#"tower_keep_not_retried_total{retry="peer",reason="not_repeatable"} 1"#;
    assert!(recorder.handle().render().contains(counted));

    let mut request = request(Method::POST, "an order");
    let key = "8e03978e".parse().unwrap();
    request.headers_mut().insert("idempotency-key", key);
    assert_eq!(client.oneshot(request).await.unwrap().status(), 200);
    assert_eq!(peer.bodies(), ["an order"; 3]);
}

#[tokio::test(start_paused = true)]
async fn body_beyond_replay_max_is_sent_once() {
    let peer = Peer::answering([status(503), status(503), status(200)]);
    let layer = RetryLayer::client(retry()).max_replay_bytes(8);
    let client = layer.layer(peer.clone());
    let answer = client
        .clone()
        .oneshot(request(Method::PUT, "123456789"))
        .await;
    assert_eq!(answer.unwrap().status(), 503);
    let answer = client.oneshot(request(Method::PUT, "12345678")).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn client_error_is_not_retried() {
    let peer = Peer::answering([status(404), status(404), status(200)]);
    let answer = client(&peer).oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 404);
    // Unless a classifier knows better.
    let layer =
        RetryLayer::client(retry()).classify(|end: &ClassifyInput<'_>| match end.status() {
            Some(status) if status == 404 => Outcome::Failure,
            _ => end.outcome(),
        });
    let answer = layer.layer(peer).oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn retry_after_delays_next_attempt() {
    let began = Instant::now();
    let peer = Peer::answering([status_with_header(503, "retry-after", "7"), status(200)]);
    let answer = client(&peer).oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(began.elapsed(), Duration::from_secs(7));

    let peer = Peer::answering([status_with_header(503, "retry-after", "3600")]);
    let answer = client(&peer).oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 503, "nobody waits an hour");
}

/// An empty body that is sent only once was superseded before it was sent.
#[tokio::test(start_paused = true)]
async fn empty_body_is_sent_without_replay() {
    let peer = Peer::answering([status(200), status(200)]);
    let posted = client(&peer).oneshot(request(Method::POST, "")).await;
    assert_eq!(posted.unwrap().status(), 200);
    let once = Retry::builder("peer").max_attempts(1).build().unwrap();
    let client = RetryLayer::client(once).layer(peer);
    let answer = client.oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 200);
}

/// The connection of a failed attempt was in use all through the backoff.
#[tokio::test(start_paused = true)]
async fn failed_response_is_dropped_before_the_wait() {
    let peer = Peer::answering([status(503), status(200)]);
    let mut call = Box::pin(client(&peer).oneshot(request(Method::GET, "")));
    assert!(timeout(WAIT / 2, &mut call).await.is_err(), "in its wait");
    assert_eq!(
        Arc::strong_count(&peer.held),
        2,
        "the peer, and its handle in the call"
    );
    assert_eq!(call.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn grpc_call_is_retried_if_repeatable() {
    let peer = || {
        let away = status_with_header(200, "grpc-status", "14");
        Peer::answering([away.clone(), away.clone(), away])
    };
    let layer = RetryLayer::grpc_client(retry());
    let run = async |layer: RetryLayer<_>, peer: Peer| {
        let answer = layer
            .layer(peer.clone())
            .oneshot(grpc("10S"))
            .await
            .unwrap();
        assert_eq!(answer.headers()["grpc-status"], "14");
        peer.bodies().len()
    };
    assert_eq!(run(layer.clone(), peer()).await, 1);
    let layer = layer.retry_if_request(|request| request.uri.path().ends_with("/Get"));
    assert_eq!(run(layer.clone(), peer()).await, 3);

    let told_not_to = Peer::answering([Ok(vec![
        ("grpc-status", "14"),
        ("grpc-retry-pushback-ms", "-1"),
    ])]);
    assert_eq!(run(layer, told_not_to).await, 1);
}

#[tokio::test(start_paused = true)]
async fn grpc_code_other_than_unavailable_is_retried_only_if_listed_or_pushed_back() {
    let attempts = async |retry: Retry, answer: Scripted| {
        let peer = Peer::answering([answer.clone(), answer.clone(), answer]);
        let layer = RetryLayer::grpc_client(retry).retry_if_request(|_| true);
        layer
            .layer(peer.clone())
            .oneshot(grpc("10S"))
            .await
            .unwrap();
        peer.bodies().len()
    };
    for (code, expected) in [
        ("14", 3),
        ("13", 1),
        ("2", 1),
        ("4", 1),
        ("8", 1),
        ("15", 1),
        ("10", 1),
    ] {
        let answer = || status_with_header(200, "grpc-status", code);
        assert_eq!(attempts(retry(), answer()).await, expected, "{code}");
        let pushed_back = [("grpc-status", code), ("grpc-retry-pushback-ms", "1")];
        // The code of an aborted call is not that of a failure.
        let expected = if code == "10" { 1 } else { 3 };
        assert_eq!(
            attempts(retry(), Ok(pushed_back.into())).await,
            expected,
            "{code}"
        );
        let listed = GrpcCode::parse(code.as_bytes());
        let builder = Retry::builder("peer").budget(None).grpc_codes([listed]);
        let listed = builder.backoff(Backoff::constant(WAIT)).build().unwrap();
        assert_eq!(attempts(listed, answer()).await, 3, "{code}");
    }
    // Without a code: proxies between this client and the peer.
    for (http, expected) in [(500, 1), (404, 1), (502, 3), (503, 3)] {
        assert_eq!(attempts(retry(), status(http)).await, expected, "{http}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_timeout_is_the_deadline() {
    let began = Instant::now();
    let away = status_with_header(200, "grpc-status", "14");
    let peer = Peer::answering([away.clone(), away.clone(), away]);
    let layer = RetryLayer::grpc_client(retry()).retry_if_request(|_| true);
    layer
        .layer(peer.clone())
        .oneshot(grpc("150m"))
        .await
        .unwrap();
    assert_eq!((peer.bodies().len(), began.elapsed()), (2, WAIT));
}

#[tokio::test(start_paused = true)]
async fn grpc_attempts_send_previous_count_and_timeout() {
    let away = status_with_header(200, "grpc-status", "14");
    let run = async |announce: bool, request: Request<Full<Bytes>>| {
        let peer = Peer::answering([away.clone(), away.clone(), away.clone()]);
        let layer = RetryLayer::grpc_client(retry()).retry_if_request(|_| true);
        let service = layer.send_attempt_header(announce).layer(peer.clone());
        service.oneshot(request).await.unwrap();
        [
            peer.header("grpc-previous-rpc-attempts"),
            peer.header("grpc-timeout"),
        ]
    };
    let [before, left] = run(true, grpc("10S")).await;
    assert_eq!(before, ["", "1", "2"]);
    assert_eq!(left, ["10S", "9900000u", "9800000u"]);
    let [before, left] = run(false, grpc("10S")).await;
    assert_eq!(before, ["", "", ""]);
    assert_eq!(left, ["10S", "9900000u", "9800000u"]);

    // What was somebody else's attempt is our first.
    let mut forwarded = grpc("10S");
    let previous = "4".parse().unwrap();
    let headers = forwarded.headers_mut();
    headers.insert("grpc-previous-rpc-attempts", previous);
    headers.remove("grpc-timeout");
    let [before, left] = run(true, forwarded).await;
    assert_eq!(before, ["", "1", "2"]);
    assert_eq!(left, ["", "", ""], "nobody said anything of a limit");
}

#[tokio::test(start_paused = true)]
async fn deadline_of_context_shortens_grpc_timeout() {
    let away = status_with_header(200, "grpc-status", "14");
    let peer = Peer::answering([away.clone(), away]);
    let layer = RetryLayer::grpc_client(retry()).retry_if_request(|_| true);
    let soon = Instant::now() + Duration::from_millis(150);
    let call = tower_keep::Context::new_root().with_deadline(soon);
    let service = layer.layer(peer.clone());
    call.scope(service.oneshot(grpc("10S"))).await.unwrap();
    assert_eq!(peer.header("grpc-timeout"), ["10S", "50000000n"]);
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn grpc_readiness_after_deadline_is_a_status() {
    let away = status_with_header(200, "grpc-status", "14");
    let peer = Peer::answering([away.clone(), away]);
    let layer = RetryLayer::grpc_client(retry()).retry_if_request(|_| true);
    let mut call = Box::pin(layer.layer(peer.clone()).oneshot(grpc("150m")));
    assert!(timeout(WAIT / 2, &mut call).await.is_err(), "in its wait");
    tokio::time::advance(WAIT).await;
    let error = call.await.unwrap_err();
    let status = tower_keep::call::find::<tonic::Status>(&*error).expect("a status");
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(peer.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn http_attempts_send_no_attempt_header() {
    let peer = Peer::answering([status(503), status(200)]);
    let answer = client(&peer).oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(peer.header("grpc-previous-rpc-attempts"), ["", ""]);
}

/// A stream that is answered at once and then lives for hours.
#[tokio::test(start_paused = true)]
async fn upload_after_answer_is_not_buffered() {
    let upload = Arc::new(Mutex::new(None));
    let peer = tower::service_fn(|request: Request<ReplayBody<axum::body::Body>>| {
        *upload.lock().unwrap() = Some(request.into_body());
        std::future::ready(Ok::<_, Error>(Response::new(axum::body::Body::empty())))
    });
    let pieces = [b"one".to_vec(), b"two".to_vec()].map(|piece| Ok::<_, Error>(piece.into()));
    let stream = tokio_stream::iter::<[Result<Bytes, Error>; 2]>(pieces);
    let request = Request::put("/").body(axum::body::Body::from_stream(stream));
    let client = RetryLayer::client(retry()).layer(peer);
    client.oneshot(request.unwrap()).await.unwrap();
    let mut upload = upload.lock().unwrap().take().expect("called");
    let mut read = Vec::new();
    while let Some(frame) = upload.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        // Whoever keeps it holds a second reference.
        assert!(data.is_unique(), "kept after the answer");
        read.extend_from_slice(&data);
    }
    assert_eq!(read, b"onetwo");
}

/// The error of an upload is in the client's error, too: its source could not be reached, the peer could.
#[tokio::test(start_paused = true)]
async fn upload_source_error_is_not_retried() {
    let calls = Mutex::new(0);
    let peer = tower::service_fn(|request: Request<ReplayBody<axum::body::Body>>| {
        *calls.lock().unwrap() += 1;
        async move {
            let read = request.into_body().collect().await;
            read.map(|_| Response::new(axum::body::Body::empty()))
                .map_err(Error::other)
        }
    });
    let client = RetryLayer::client(retry()).layer(peer);
    for method in [Method::POST, Method::PUT] {
        let refused = Error::from(std::io::ErrorKind::ConnectionRefused);
        let pieces = [Ok(Bytes::from("an")), Err(refused)];
        let body = axum::body::Body::from_stream(tokio_stream::iter(pieces));
        let request = Request::builder().method(method).body(body).unwrap();
        assert!(client.clone().oneshot(request).await.is_err());
    }
    assert_eq!(*calls.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn repeatable_panic_is_not_retried() {
    let peer = Peer::answering([status(503)]);
    let layer = RetryLayer::client(retry()).retry_if_request(|_| panic!("a bug"));
    let answer = layer.layer(peer).oneshot(request(Method::GET, "")).await;
    assert_eq!(answer.unwrap().status(), 503);
}

#[tokio::test]
async fn retry_layer_fits_hyper_util_and_tonic() {
    fn check<B, S: Service<Request<B>, Future: Send> + Clone + Send + 'static>(_: S) {}
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    let hyper = Client::builder(TokioExecutor::new()).build_http();
    check::<Full<Bytes>, _>(RetryLayer::client(retry()).layer(hyper));
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let layer = RetryLayer::grpc_client(retry()).request_body(tonic::body::Body::new);
    check::<tonic::body::Body, _>(layer.layer(channel));
}

fn retry() -> Retry {
    let builder = Retry::builder("peer").backoff(Backoff::constant(WAIT));
    builder.budget(None).build().unwrap()
}

fn client(peer: &Peer) -> RetryService<Peer, Client> {
    RetryLayer::client(retry()).layer(peer.clone())
}

fn request(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri("/orders");
    builder.body(Full::from(body)).unwrap()
}

fn grpc(limit: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(Method::POST).uri("/greeter/Get");
    let builder = builder.header("content-type", "application/grpc");
    builder
        .header("grpc-timeout", limit)
        .body(Full::from("hello"))
        .unwrap()
}
