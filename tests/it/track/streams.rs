//! Long-lived streams are not slow calls, and gRPC is slow by its head.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    response::{
        Sse,
        sse::{Event as Sent, KeepAlive},
    },
    routing::get as on_get,
};
use http::{Request, Response, StatusCode, header::HeaderValue};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::Instant,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer, Outcome,
    context::{Correlate, upgrade_in_context},
    observe,
};

use super::{ACTIVE, DURATION, sleepy, track};
use crate::support::{
    connect1, get, guards::witness, http1, local, logs::logs, meter::meter, serve, text, within,
};

const STREAM: &str = "http_server_stream_duration_seconds";

#[tokio::test]
async fn upgrade_is_counted_but_has_no_duration() {
    let (meter, logs) = (meter(), logs());
    let app = Router::new()
        .route(
            "/chat",
            on_get(async |request: axum::extract::Request| {
                let upgrade = hyper::upgrade::on(request);
                tokio::spawn(async move {
                    let mut io = TokioIo::new(upgrade.await.unwrap());
                    let mut heard = [0; 4];
                    io.read_exact(&mut heard).await.unwrap();
                    io.write_all(&heard).await.unwrap();
                });
                let headers = [("connection", "upgrade"), ("upgrade", "chat")];
                (StatusCode::SWITCHING_PROTOCOLS, headers)
            }),
        )
        .layer(observe(track().build().unwrap()).server());
    let address = serve(app).await;
    let mut request = get(address, "/chat");
    let headers = request.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("chat"));
    let response = connect1(address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    // The layer is not in the way of what follows.
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    within(io.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"ping");

    assert_eq!(meter.calls(&[("http_route", "/chat")]), 1.0);
    // Half a millisecond to the head is no duration of a tunnel.
    assert_eq!(meter.count(STREAM, &[]), 0.0);
    assert_eq!(meter.count(DURATION, &[]), 0.0);
    assert_eq!(logs.only_call().get("status"), "101");
    assert_eq!(logs.only_call().get("outcome"), "success");
}

/// The task that serves a web socket ran outside of the call, and its log lines had no IDs.
#[tokio::test]
async fn upgrade_runs_in_context_of_its_call() {
    let app = Router::new()
        .route(
            "/chat",
            on_get(async |request: axum::extract::Request| {
                let upgrade = hyper::upgrade::on(request);
                let chat = async |upgraded| {
                    let call = Context::current().expect("a context");
                    assert_eq!(call.deadline(), None);
                    let id = call.request_id().as_bytes();
                    TokioIo::new(upgraded).write_all(id).await.unwrap();
                };
                // A call with a deadline, which is not that of the tunnel.
                let call = Context::current().expect("a context");
                let call = call.with_deadline(Instant::now() + Duration::from_secs(20));
                let serve = call.run(|| upgrade_in_context(chat));
                tokio::spawn(async { serve(upgrade.await.unwrap()).await });
                let headers = [("connection", "upgrade"), ("upgrade", "chat")];
                (StatusCode::SWITCHING_PROTOCOLS, headers)
            }),
        )
        .layer(GuardLayer::server(Correlate::default()));
    let address = serve(app).await;
    let mut request = get(address, "/chat");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "chat"),
        ("x-request-id", "of-the-call"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let response = connect1(address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut heard = String::new();
    within(io.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "of-the-call");
}

#[tokio::test]
async fn connect_tunnel_is_counted_but_has_no_duration() {
    let meter = meter();
    let app = Router::new()
        .fallback(async |request: axum::extract::Request| {
            let upgrade = hyper::upgrade::on(request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                io.write_all(b"through").await.unwrap();
            });
        })
        .layer(observe(track().build().unwrap()).server());
    let address = serve(app).await;
    let request = Request::connect("shop.test:443")
        .body(Body::empty())
        .unwrap();
    let response = connect1(address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut heard = [0; 7];
    within(io.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"through");
    assert_eq!(meter.calls(&[("outcome", "success")]), 1.0);
    assert_eq!(meter.count(STREAM, &[]), 0.0);
    assert_eq!(meter.count(DURATION, &[]), 0.0);
    assert_eq!(meter.sum(ACTIVE, &[]), Some(0.0));
}

#[tokio::test]
async fn server_sent_events_are_never_slow() {
    let (meter, logs) = (meter(), logs());
    let (witness, mut ends) = witness();
    let (say, said) = mpsc::channel(1);
    let said = Arc::new(Mutex::new(Some(said)));
    let events = move || {
        let said = said.lock().unwrap().take().unwrap();
        let events = ReceiverStream::new(said)
            .map(|text: &str| Ok::<_, Infallible>(Sent::default().data(text)));
        async { Sse::new(events).keep_alive(KeepAlive::default()) }
    };
    let nothing_is_fast = track().slow(Duration::from_nanos(1), Duration::from_nanos(1));
    let app = Router::new()
        .route("/events", on_get(events))
        .layer(GuardLayer::server((
            witness,
            nothing_is_fast.build().unwrap(),
        )));
    let address = serve(app).await;

    let mut body = http1()
        .request(get(address, "/events"))
        .await
        .unwrap()
        .into_body();
    for text in ["one", "two"] {
        say.send(text).await.unwrap();
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {text}\n\n"));
    }
    assert_eq!(meter.count(STREAM, &[]), 0.0);
    assert_eq!(meter.sum(ACTIVE, &[]), Some(1.0));
    drop(say);
    assert!(within(body.frame()).await.is_none());
    assert_eq!(ends.next_outcome().await, Outcome::Success);
    assert_eq!(meter.count(STREAM, &[("http_route", "/events")]), 1.0);
    assert_eq!(meter.count(DURATION, &[]), 0.0);
    assert_eq!(meter.series("tower_keep_slow_calls_total"), []);
    assert_eq!(logs.only_call().get("slow"), "");
}

/// At its end every stream was `slow=critical`.
#[tokio::test(start_paused = true)]
async fn slow_grpc_is_by_time_to_head() {
    let (meter, logs) = (meter(), logs());
    let limits = (Duration::from_secs(1), Duration::from_secs(1));
    let track = track().slow(limits.0, limits.1).build().unwrap();
    let stream = service_fn(async |request: Request<Body>| {
        if request.uri().path() == "/shop.Stock/Slow" {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let end = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            Ok::<_, Infallible>(http_body::Frame::trailers(trailers))
        };
        let body = http_body_util::StreamBody::new(futures_util::stream::once(end));
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(response.body(Body::new(body)).unwrap())
    });
    let service = GuardLayer::server(track).layer(stream);
    for (method, slow) in [("/shop.Stock/Watch", ""), ("/shop.Stock/Slow", "critical")] {
        let request = Request::post(method).version(http::Version::HTTP_2);
        let request = request.header("content-type", "application/grpc");
        let request = request.body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let _ = response.into_body().collect().await.unwrap();
        assert_eq!(logs.only_call().get("slow"), slow, "{method}");
        logs.clear();
    }
    assert_eq!(meter.sum("tower_keep_slow_calls_total", &[]), Some(1.0));
}

/// Outside of tonic's `GrpcWebLayer`, the HTTP status was the code.
#[tokio::test]
async fn grpc_web_code_comes_from_body() {
    let meter = meter();
    let answer = async |request: Request<Body>| {
        let end: &[u8] = match request.uri().path() {
            "/shop.Stock/Get" => b"\x80\0\0\0\x10grpc-status: 0\r\n",
            _ => b"\0\0\0\0\0",
        };
        let response = Response::builder().header("content-type", "application/grpc-web+proto");
        Ok::<_, Infallible>(response.body(Body::from(end)).unwrap())
    };
    let service = GuardLayer::server(track().build().unwrap()).layer(service_fn(answer));
    for (method, outcome) in [
        ("/shop.Stock/Get", "success"),
        ("/shop.Stock/Torn", "failure"),
    ] {
        let request = Request::post(method).header("content-type", "application/grpc-web+proto");
        let request = request.body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(meter.calls(&[("outcome", outcome)]), 1.0, "{outcome}");
    }
    let duration = "rpc_server_call_duration_seconds";
    assert_eq!(
        meter.count(duration, &[("rpc_response_status_code", "OK")]),
        1.0
    );
    assert_eq!(
        meter.count(duration, &[("rpc_response_status_code", "200")]),
        0.0
    );
    assert_eq!(meter.count(duration, &[]), 2.0);
}

#[tokio::test(start_paused = true)]
async fn slow_route_thresholds_hold_without_room() {
    let logs = logs();
    let limits = (Duration::from_millis(100), Duration::from_secs(9));
    let track = track().max_targets(1);
    let app = sleepy(track.slow_route("/export/{millis}", limits.0, limits.1));
    for path in ["/sleep/500", "/body/500", "/export/500"] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
    }
    let lines = logs.calls();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line.get("route"), line.get("slow")))
        .collect();
    let expected = [
        ("/sleep/{millis}", ""),
        ("_OTHER", ""),
        ("/export/{millis}", "warning"),
    ];
    assert_eq!(told, expected);
}
