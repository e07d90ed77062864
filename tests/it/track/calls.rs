//! What is measured, logged and marked about each call, over real connections where they matter.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    task::{Context as Cx, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{
        Sse,
        sse::{Event as Sent, KeepAlive},
    },
    routing::{any as on_any, get as on_get, post as on_post},
};
use http::{Method, Request, Response, StatusCode, header::HeaderValue};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, ErrorTracker, GuardLayer, Outcome, Rejection, Track,
    context::Correlate,
    observe,
    protocol::WireFormat,
    track::{
        DURATION_BUCKETS, MetricNaming, RequestBodyLayer, RouteLayer, RouteSlot, SpanLevel,
        TrackBuilder,
    },
};
use tracing::Level;

use crate::support::{
    both_versions, connect1, get,
    guards::{Fuse, witness},
    header, http1, local,
    logs::{Event, logs},
    meter::{Replaced, meter},
    serve, text, within,
};

const DURATION: &str = "http_server_request_duration_seconds";
const STREAM: &str = "http_server_stream_duration_seconds";
const ACTIVE: &str = "http_server_active_requests";

/// Settings with an error tracker of their own.
fn track() -> TrackBuilder {
    Track::builder("shop").errors(ErrorTracker::default())
}

/// A router with a route for each way to answer.
fn shop() -> Router {
    Router::new()
        .route(
            "/orders/{id}",
            on_any(async |Path(id): Path<u32>| format!("order {id}")),
        )
        .route("/status/{code}", on_get(status))
        .route(
            "/panics",
            on_get(async || -> () { panic!("the ink ran out") }),
        )
        .route("/livez", on_get(async || "alive"))
        .route("/echo", on_post(async |body: axum::body::Bytes| body))
}

async fn status(Path(code): Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}

fn guarded(track: TrackBuilder) -> Router {
    let track = track.build().expect("a tracker");
    shop().layer(observe("shop").track(track).server())
}

// ---- metrics

#[tokio::test]
async fn metrics_follow_semantic_conventions() {
    let meter = meter();
    let address = serve(guarded(track())).await;
    let client = http1();
    for path in [
        "/orders/7",
        "/orders/8",
        "/status/500",
        "/panics",
        "/nowhere",
    ] {
        text(client.request(get(address, path)).await.unwrap()).await;
    }
    let labels = |error: &str, status: u16, route: &str| {
        // What nobody serves is one series, whatever the method.
        let method = if route.is_empty() { "_OTHER" } else { "GET" };
        let mut labels = vec![
            format!(r#"http_request_method="{method}""#),
            format!(r#"http_response_status_code="{status}""#),
            r#"url_scheme="http""#.to_owned(),
        ];
        labels.extend((!error.is_empty()).then(|| format!(r#"error_type="{error}""#)));
        labels.extend((!route.is_empty()).then(|| format!(r#"http_route="{route}""#)));
        labels.sort_unstable();
        labels.join(",")
    };
    let mut expected = [
        (labels("", 200, "/orders/{id}"), 2.0),
        (labels("500", 500, "/status/{code}"), 1.0),
        (labels("panic", 500, "/panics"), 1.0),
        (labels("", 404, ""), 1.0),
    ];
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(meter.series(&format!("{DURATION}_count")), expected);
    assert_eq!(
        meter.series(ACTIVE),
        [(
            r#"http_request_method="GET",url_scheme="http""#.to_owned(),
            0.0
        )]
    );
    assert_eq!(
        meter.series("tower_keep_calls_total"),
        [
            (
                r#"http_route="/orders/{id}",kind="server",outcome="success",service="shop""#,
                2.0
            ),
            (
                r#"http_route="/panics",kind="server",outcome="panicked",service="shop""#,
                1.0
            ),
            (
                r#"http_route="/status/{code}",kind="server",outcome="failure",service="shop""#,
                1.0
            ),
            (
                r#"kind="server",outcome="client_error",service="shop""#,
                1.0
            ),
        ]
        .map(|(labels, value)| (labels.to_owned(), value))
    );
    let bounds = meter.render();
    for bound in DURATION_BUCKETS {
        assert!(bounds.contains(&format!(r#"le="{bound}""#)), "{bound}");
    }
    assert!(!bounds.contains("quantile"), "a histogram, no summary");
}

#[tokio::test]
async fn metrics_classic_names_are_optional() {
    let meter = meter();
    let address = serve(guarded(track().naming(MetricNaming::Classic))).await;
    for path in ["/orders/7", "/status/500", "/panics"] {
        text(http1().request(get(address, path)).await.unwrap()).await;
    }
    let expected = [
        (r#"method="GET",route="/orders/{id}",status="200""#, 1.0),
        (r#"method="GET",route="/panics",status="500""#, 1.0),
        (r#"method="GET",route="/status/{code}",status="500""#, 1.0),
    ]
    .map(|(labels, value)| (labels.to_owned(), value));
    assert_eq!(meter.series("http_requests_total"), expected);
    assert_eq!(
        meter.series("http_request_duration_seconds_count"),
        expected
    );
    assert_eq!(meter.series("active_connections"), [(String::new(), 0.0)]);
    assert_eq!(meter.sum("errors_total", &[("type", "panic")]), Some(1.0));
    assert_eq!(meter.sum("errors_total", &[("type", "500")]), Some(1.0));
    assert_eq!(meter.series(DURATION), []);
}

#[tokio::test]
async fn late_recorder_gets_its_own_handles() {
    let app = guarded(track());
    let call = async || {
        let response = app.clone().oneshot(local("/orders/7")).await.unwrap();
        text(response).await;
    };
    call().await; // nobody listens yet
    let first = meter();
    call().await;
    call().await;
    let second = meter();
    call().await;
    assert_eq!(
        (first.count(DURATION, &[]), second.count(DURATION, &[])),
        (2.0, 1.0)
    );
    assert_eq!((first.calls(&[]), second.calls(&[])), (2.0, 1.0));
    drop(second);
    call().await;
    assert_eq!(first.count(DURATION, &[]), 3.0);
}

#[tokio::test]
async fn in_flight_ignores_calls_of_earlier_recorder() {
    let app = guarded(track());
    let early = app.clone().oneshot(local("/orders/7")).await.unwrap();
    let first = meter();
    let in_between = app.clone().oneshot(local("/orders/7")).await.unwrap();
    drop(early);
    assert_eq!(first.sum(ACTIVE, &[]), Some(1.0));
    let second = meter();
    let late = app.oneshot(local("/orders/7")).await.unwrap();
    drop(in_between);
    assert_eq!(second.sum(ACTIVE, &[]), Some(1.0));
    drop(late);
    assert_eq!(second.sum(ACTIVE, &[]), Some(0.0));
}

/// The recorder was asked for twice, once for the gauge and once to be remembered: one that was installed in between was
/// left with a call less than none.
#[tokio::test]
async fn in_flight_skips_call_begun_during_install() {
    let next = meter();
    let first: &Replaced = Box::leak(Box::new(Replaced(next.recorder())));
    let _first = metrics::set_default_local_recorder(first);
    let app = guarded(track());
    drop(app.oneshot(local("/orders/7")).await.unwrap());
    let active = next.sum(ACTIVE, &[]);
    assert_eq!(active.unwrap_or(0.0), 0.0);
    assert_eq!(next.count(DURATION, &[]), 1.0);
}

#[tokio::test]
async fn in_flight_gauge_is_zero_after_any_end() {
    let meter = meter();
    let (witness, mut ends) = witness();
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let endless = async || {
        let ticks = tokio_stream::once("tick").chain(tokio_stream::pending());
        Body::from_stream(ticks.map(Ok::<_, Infallible>))
    };
    let torn = async || {
        let frames = tokio_stream::iter([Ok("half"), Err(std::io::Error::other("torn"))]);
        Body::from_stream(frames)
    };
    let rejected = GuardLayer::server(Fuse::blown());
    let app = shop()
        .route("/endless", on_get(endless))
        .route("/torn", on_get(torn))
        .route("/rejected", on_get(async || ()).layer(rejected))
        .route(
            "/never",
            on_get(move || {
                arrives.notify_one();
                pending::<()>()
            }),
        )
        .layer(GuardLayer::server((witness, track().build().unwrap())));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        for (path, outcome) in [
            ("/orders/7", Outcome::Success),
            ("/nowhere", Outcome::ClientError),
            ("/status/500", Outcome::Failure),
            ("/status/503", Outcome::Overload),
            ("/status/504", Outcome::TimedOut),
            ("/rejected", Outcome::Rejected),
            ("/panics", Outcome::Panicked),
            ("/torn", Outcome::Failure),
        ] {
            // A torn body may take its head with it.
            if let Ok(response) = client.request(get(address, path)).await {
                let _ = within(response.into_body().collect()).await;
            }
            assert_eq!(ends.next_outcome().await, outcome, "{path} over {version}");
            assert_eq!(meter.sum(ACTIVE, &[]), Some(0.0), "{path} over {version}");
        }
        let mut response = client.request(get(address, "/endless")).await.unwrap();
        within(response.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(meter.sum(ACTIVE, &[]), Some(1.0));
        drop(response);
        assert_eq!(ends.next_outcome().await, Outcome::Cancelled);
        assert_eq!(meter.sum(ACTIVE, &[]), Some(0.0));

        let call = tokio::spawn(client.request(get(address, "/never")));
        within(arrived.notified()).await;
        assert_eq!(meter.sum(ACTIVE, &[]), Some(1.0));
        call.abort();
        assert_eq!(ends.next_outcome().await, Outcome::Cancelled);
        assert_eq!(meter.sum(ACTIVE, &[]), Some(0.0));
    }
}

#[tokio::test]
async fn unknown_input_makes_no_series() {
    let meter = meter();
    let address = serve(guarded(track())).await;
    for (_, client) in both_versions() {
        for n in 0..20 {
            let mut request = get(address, &format!("/made/up/{n}?n={n}"));
            *request.method_mut() = Method::from_bytes(format!("MADE{n}").as_bytes()).unwrap();
            text(client.request(request).await.unwrap()).await;
            let request = get(address, &format!("/orders/{n}"));
            text(client.request(request).await.unwrap()).await;
        }
    }
    let series = meter.series(&format!("{DURATION}_count"));
    assert_eq!(series.len(), 2, "{series:#?}");
    assert_eq!(
        meter.count(DURATION, &[("http_request_method", "_OTHER")]),
        40.0
    );
    assert_eq!(meter.series(ACTIVE).len(), 2);
    let all = meter.render().to_lowercase();
    assert!(!all.contains("made") && !all.contains("orders/1"), "{all}");
}

#[tokio::test]
async fn targets_beyond_max_share_overflow_series() {
    let meter = meter();
    let mut app = Router::new();
    for n in 0..10 {
        app = app.route(&format!("/page-{n}"), on_get(async || "a page"));
    }
    let track = track().max_targets(3).build().unwrap();
    let app = app.layer(observe("shop").track(track).server());
    for n in 0..10 {
        let response = app.clone().oneshot(local(&format!("/page-{n}"))).await;
        text(response.unwrap()).await;
    }
    assert_eq!(meter.count(DURATION, &[("http_route", "/page-2")]), 1.0);
    assert_eq!(meter.count(DURATION, &[("http_route", "_OTHER")]), 7.0);
    assert_eq!(meter.calls(&[("http_route", "_OTHER")]), 7.0);
    assert_eq!(meter.series(&format!("{DURATION}_count")).len(), 4);
}

#[tokio::test]
async fn series_beyond_max_share_overflow_series() {
    let meter = meter();
    let app = guarded(track().max_series(2));
    for code in 200..210 {
        let response = app.clone().oneshot(local(&format!("/status/{code}"))).await;
        text(response.unwrap()).await;
    }
    assert_eq!(
        meter.count(DURATION, &[("http_response_status_code", "201")]),
        1.0
    );
    assert_eq!(
        meter.count(DURATION, &[("otel_metric_overflow", "true")]),
        8.0
    );
    assert_eq!(meter.series(&format!("{DURATION}_count")).len(), 3);
    assert_eq!(
        meter.calls(&[("outcome", "success")]),
        10.0,
        "outcomes are counted all the same"
    );
}

#[tokio::test]
async fn route_slot_is_filled_by_inner_layer() {
    let meter = meter();
    let layer = observe("shop").track(track().build().unwrap()).server();
    // A router of one's own, and a layer round the service of one route.
    let own = service_fn(async |request: Request<Body>| {
        RouteSlot::set(request.extensions(), "/made/by/{hand}");
        RouteSlot::set(request.extensions(), "/too/late");
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    layer.layer(own).oneshot(local("/a")).await.unwrap();
    let named = RouteLayer::new("/named").layer(service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    layer.layer(named).oneshot(local("/b")).await.unwrap();
    // Without a tracker nobody asked.
    RouteSlot::set(local("/c").extensions(), "/nobody");
    for route in ["/made/by/{hand}", "/named"] {
        assert_eq!(
            meter.count(DURATION, &[("http_route", route)]),
            1.0,
            "{route}"
        );
    }
    assert_eq!(meter.count(DURATION, &[]), 2.0);
}

#[tokio::test]
async fn scheme_label_is_configured_and_span_is_actual() {
    let (meter, logs) = (meter(), logs());
    let app = guarded(track().https(true));
    text(app.clone().oneshot(local("/livez")).await.unwrap()).await;
    text(app.oneshot(local("http://shop.test/livez")).await.unwrap()).await;
    assert_eq!(meter.count(DURATION, &[("url_scheme", "https")]), 2.0);
    assert_eq!(meter.sum(ACTIVE, &[("url_scheme", "https")]), Some(0.0));
    assert!(!meter.render().contains(r#"url_scheme="http""#));
    let spans = logs.call_spans();
    let schemes: Vec<_> = spans.iter().map(|span| span.get("url.scheme")).collect();
    assert_eq!(schemes, ["https", "http"]);
}

// ---- bytes

#[tokio::test]
async fn body_sizes_are_measured_once_per_call() {
    let (meter, logs) = (meter(), logs());
    let track = track().body_sizes(true).build().unwrap();
    let app = shop()
        .route(
            "/half",
            on_post(async |body: Body| {
                let mut frames = body.into_data_stream();
                let first = frames.next().await.unwrap().unwrap();
                first.len().to_string()
            }),
        )
        .route("/deaf", on_post(async || "not a word"))
        .layer(RequestBodyLayer::new(Body::new))
        .layer(observe("shop").track(track).server());
    let address = serve(app).await;

    let post = |path: &str, frames: &[&'static str]| {
        let frames = tokio_stream::iter(frames.to_vec()).map(Ok::<_, Infallible>);
        let mut request = get(address, path);
        *request.method_mut() = Method::POST;
        *request.body_mut() = Body::from_stream(frames);
        request
    };
    for (calls, (_, client)) in [1.0, 2.0].into_iter().zip(both_versions()) {
        let response = client
            .request(post("/echo", &["12345", "67890"]))
            .await
            .unwrap();
        assert_eq!(text(response).await, "1234567890");
        let of = [("http_route", "/echo")];
        for side in ["request", "response"] {
            let size = format!("http_server_{side}_body_size_bytes");
            let sum = meter.sum(&format!("{size}_sum"), &of);
            assert_eq!(sum, Some(10.0 * calls), "{side}");
            assert_eq!(meter.count(&size, &of), calls, "{side}");
        }
    }
    let lines = logs.calls();
    assert_eq!(
        (
            lines[0].get("request_bytes"),
            lines[0].get("response_bytes")
        ),
        ("10", "10")
    );
    logs.clear();

    // What nobody read was not received.
    let response = http1().request(post("/deaf", &["12345"])).await.unwrap();
    assert_eq!(text(response).await, "not a word");
    assert_eq!(logs.only_call().get("request_bytes"), "0");
}

#[tokio::test]
async fn body_sizes_are_measured_on_clients() {
    let meter = meter();
    let address = serve(shop()).await;
    let track = track().body_sizes(true).build().unwrap();
    for (_, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(observe("shop").track(track.clone()).client())
            .layer(RequestBodyLayer::new(Body::new))
            .service(client);
        let mut request = get(address, "/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = "12345".into();
        let response = client.oneshot(request).await.unwrap();
        assert_eq!(text(response).await, "12345");
    }
    for side in ["request", "response"] {
        let size = format!("http_client_{side}_body_size_bytes_sum");
        assert_eq!(meter.sum(&size, &[]), Some(10.0), "{side}");
    }
}

#[tokio::test]
async fn body_size_of_head_response_is_zero() {
    let logs = logs();
    let address = serve(guarded(track())).await;
    for (_, client) in both_versions() {
        let mut request = get(address, "/orders/7");
        *request.method_mut() = Method::HEAD;
        let response = client.request(request).await.unwrap();
        assert_eq!(header(&response, "content-length"), Some("7"));
    }
    for line in logs.calls() {
        assert_eq!(
            (line.get("outcome"), line.get("response_bytes")),
            ("success", "0")
        );
    }
}

// ---- streams that are meant to last

#[tokio::test]
async fn upgrade_is_a_stream_not_a_request() {
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
        .layer(observe("shop").track(track().build().unwrap()).server());
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

    let labels = [
        ("http_response_status_code", "101"),
        ("http_route", "/chat"),
    ];
    assert_eq!(meter.count(STREAM, &labels), 1.0);
    assert_eq!(meter.count(DURATION, &[]), 0.0);
    assert_eq!(logs.only_call().get("outcome"), "success");
}

#[tokio::test]
async fn connect_tunnel_is_a_stream_not_a_request() {
    let meter = meter();
    let app = Router::new()
        .fallback(async |request: axum::extract::Request| {
            let upgrade = hyper::upgrade::on(request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                io.write_all(b"through").await.unwrap();
            });
        })
        .layer(observe("shop").track(track().build().unwrap()).server());
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
    assert_eq!(
        meter.count(STREAM, &[("http_request_method", "CONNECT")]),
        1.0
    );
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

// ---- what says what went wrong

#[tokio::test]
async fn overload_error_has_error_type() {
    let (meter, logs) = (meter(), logs());
    let errors = ErrorTracker::default();
    let track = Track::builder("peer").errors(errors.clone());
    let layer = GuardLayer::client(track.build().unwrap().client_side());
    let layer = layer.classify(|_| Outcome::Overload);
    let busy = async |_: Request<Body>| -> Result<Response<Body>, std::io::Error> {
        Err(std::io::Error::from(std::io::ErrorKind::QuotaExceeded))
    };
    let client = layer.layer(service_fn(busy));
    assert!(client.oneshot(local("http://peer/")).await.is_err());
    let line = logs.only_call();
    assert_eq!((line.get("outcome"), line.level), ("overload", Level::WARN));
    assert_eq!(line.get("error_type"), "io::QuotaExceeded");
    let labels = [("error_type", "io::QuotaExceeded")];
    assert_eq!(
        meter.count("http_client_request_duration_seconds", &labels),
        1.0
    );
    assert_eq!(errors.total(), 0, "nobody has to look into it");
}

/// It stayed a rejection, and a warning, with the status 200.
#[tokio::test]
async fn success_built_from_rejection_parts_is_success() {
    let logs = logs();
    let reuses = async |_: Request<Body>| {
        let rejection = Rejection::rate_limited("login").to_response(WireFormat::Plain);
        let (mut parts, _) = rejection.into_parts();
        parts.status = StatusCode::OK;
        Ok::<_, Infallible>(Response::from_parts(parts, Body::from("from the cache")))
    };
    let service = GuardLayer::server(track().build().unwrap()).layer(service_fn(reuses));
    let response = service.oneshot(local("/")).await.unwrap();
    response.into_body().collect().await.unwrap();
    let line = logs.only_call();
    assert_eq!((line.get("outcome"), line.level), ("success", Level::INFO));
}

#[tokio::test]
async fn rejection_of_head_request_has_no_bytes() {
    let logs = logs();
    let guards = GuardLayer::server((track().build().unwrap(), Fuse::blown()));
    let mut request = local("/");
    *request.method_mut() = Method::HEAD;
    shop().layer(guards).oneshot(request).await.unwrap();
    let line = logs.only_call();
    assert_eq!(line.get("outcome"), "rejected");
    assert_eq!(line.get("response_bytes"), "0");
}

#[tokio::test]
async fn server_address_option_fills_missing_authority() {
    let (meter, logs) = (meter(), logs());
    let track = track().server_address("told.example:9").build().unwrap();
    let answer = async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()));
    let client = GuardLayer::client(track.clone().client_side()).layer(service_fn(answer));
    for uri in ["http://said.example:81/", "/"] {
        let response = client.clone().oneshot(local(uri)).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    for (host, port) in [("said.example", "81"), ("told.example", "9")] {
        let labels = [("server_address", host), ("server_port", port)];
        let duration = "http_client_request_duration_seconds";
        assert_eq!(meter.count(duration, &labels), 1.0, "{host}");
    }
    logs.clear();

    let answer = async |_: Request<Body>| {
        let response = Response::builder().header("content-type", "application/grpc");
        let response = response.header("grpc-status", "0");
        Ok::<_, Infallible>(response.body(Body::empty()).unwrap())
    };
    let client = GuardLayer::grpc_client(track.client_side()).layer(service_fn(answer));
    let request = Request::post("/shop.Stock/Get").header("content-type", "application/grpc");
    let request = request.body(Body::empty()).unwrap();
    client.oneshot(request).await.unwrap();
    let labels = [("server_address", "told.example"), ("server_port", "9")];
    assert_eq!(
        meter.count("rpc_client_call_duration_seconds", &labels),
        1.0
    );
    assert_eq!(logs.only_call().get("server"), "told.example:9");
    let span = logs.call_spans().pop().expect("a span");
    assert_eq!(span.get("server.address"), "told.example");
    assert_eq!(span.get("server.port"), "9");
}

// ---- the access log

#[tokio::test]
async fn access_log_has_one_line_per_call() {
    let logs = logs();
    let address = serve(guarded(track())).await;
    for (version, client) in both_versions() {
        let mut request = get(address, "/orders/7?token=secret");
        let id = HeaderValue::from_static("mine");
        request.headers_mut().insert("x-correlation-id", id);
        let response = client.request(request).await.unwrap();
        let request_id = header(&response, "x-request-id").unwrap().to_owned();
        text(response).await;
        let line = logs.only_call();
        logs.clear();
        let expected = [
            ("service", "shop"),
            ("kind", "server"),
            ("method", "GET"),
            ("path", "/orders/7"),
            ("route", "/orders/{id}"),
            ("version", version),
            ("status", "200"),
            ("outcome", "success"),
            ("response_bytes", "7"),
            ("correlation_id", "mine"),
            ("request_id", &request_id),
            ("message", "call"),
        ];
        for (field, value) in expected {
            assert_eq!(line.get(field), value, "{field} over {version}");
        }
        assert_eq!(line.level, Level::INFO);
        for field in ["trace_id", "span_id", "duration_ms", "time_to_head_ms"] {
            assert_ne!(line.get(field), "", "{field}");
        }
        for field in [
            "error",
            "slow",
            "headers",
            "poll_time_ms",
            "request_bytes",
            "grpc_code",
        ] {
            assert_eq!(line.get(field), "", "{field}");
        }
        assert!(!format!("{line:?}").contains("secret"), "{line:#?}");
    }
}

#[tokio::test]
async fn access_log_level_follows_outcome() {
    let logs = logs();
    let app = guarded(track());
    for (path, level) in [
        ("/orders/7", Level::INFO),
        ("/nowhere", Level::INFO),
        ("/status/503", Level::WARN),
        ("/status/429", Level::WARN),
        ("/status/500", Level::ERROR),
        ("/status/504", Level::ERROR),
        ("/panics", Level::ERROR),
    ] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
        assert_eq!(logs.only_call().level, level, "{path}");
        logs.clear();
    }
}

fn paths(lines: &[Event]) -> Vec<&str> {
    lines.iter().map(|line| line.get("path")).collect()
}

#[tokio::test]
async fn access_log_skipped_returns_on_failure_or_slow() {
    for track in [
        track().sample(0.0),
        track().skip(|head| head.uri.path() != "/nothing"),
    ] {
        let logs = logs();
        let slow = (Duration::from_nanos(1), Duration::from_secs(60));
        let app = guarded(track.slow_route("/livez", slow.0, slow.1));
        let paths_sent = [
            "/orders/7",
            "/status/404",
            "/status/500",
            "/panics",
            "/livez",
        ];
        for path in paths_sent {
            text(app.clone().oneshot(local(path)).await.unwrap()).await;
        }
        assert_eq!(paths(&logs.calls()), ["/status/500", "/panics", "/livez"]);
        assert_eq!(logs.calls()[2].get("slow"), "warning");
    }
}

#[tokio::test]
async fn access_log_keeps_notable_calls_despite_sampling() {
    for track in [track().sample(0.0), track().skip(|_| true)] {
        let logs = logs();
        // A classifier may call anything the caller's own fault.
        let forgiving = |track: TrackBuilder| {
            let layer = observe("shop").track(track.build().expect("a tracker"));
            shop().layer(layer.server().classify(|_| Outcome::ClientError))
        };
        for (app, path) in [
            (guarded(track.clone()), "/status/429"),
            (guarded(track.clone()), "/status/503"),
            (forgiving(track.clone()), "/status/500"),
            (guarded(track.clone()), "/status/404"),
            (guarded(track.clone()), "/livez"),
        ] {
            text(app.oneshot(local(path)).await.unwrap()).await;
        }
        let breaker = tower_keep::CircuitBreaker::builder("shop").build();
        let breaker = breaker.expect("sound settings");
        breaker.force_open();
        let guards = (track.build().expect("a tracker"), breaker);
        let rejected = shop().layer(GuardLayer::server(guards));
        text(rejected.oneshot(local("/rejected")).await.unwrap()).await;
        let expected = ["/status/429", "/status/503", "/status/500", "/rejected"];
        assert_eq!(paths(&logs.calls()), expected);
    }
}

#[tokio::test]
async fn access_log_samples_by_correlation_id() {
    let logs = logs();
    let hops = [guarded(track().sample(0.5)), guarded(track().sample(0.5))];
    for n in 0..100 {
        for hop in &hops {
            let mut request = local("/livez");
            let id = HeaderValue::try_from(format!("journey-{n}")).expect("an ID");
            request.headers_mut().insert("x-correlation-id", id);
            text(hop.clone().oneshot(request).await.unwrap()).await;
        }
    }
    let lines = logs.calls();
    let ids: Vec<_> = lines
        .iter()
        .map(|line| line.get("correlation_id"))
        .collect();
    assert!((40..160).contains(&ids.len()), "{}", ids.len());
    let (pairs, rest) = ids.as_chunks::<2>();
    assert!(rest.is_empty() && pairs.iter().all(|[one, other]| one == other));
}

#[tokio::test]
async fn access_log_and_span_omit_private_path() {
    let logs = logs();
    let app = guarded(track().log_path(false));
    text(app.oneshot(local("/orders/7")).await.unwrap()).await;
    let line = logs.only_call();
    assert_eq!(line.get("route"), "/orders/{id}");
    assert!(!format!("{line:?}").contains("/orders/7"), "{line:?}");
}

#[tokio::test]
async fn first_event_reaches_every_filtered_layer() {
    use tracing_subscriber::{
        EnvFilter, Layer as _, filter::LevelFilter, fmt, layer::SubscriberExt, registry,
    };

    let (mine, all) = (Written::default(), Written::default());
    let (to_mine, to_all) = (mine.clone(), all.clone());
    // The console shows the application, the exporter everything: they disagree about the access log.
    let console = fmt::layer().with_writer(move || to_mine.clone());
    let exporter = fmt::layer().with_writer(move || to_all.clone());
    let subscriber = registry()
        .with(console.with_filter(EnvFilter::new("it=info")))
        .with(exporter.with_filter(LevelFilter::INFO));
    let _default = tracing::subscriber::set_default(subscriber);
    let handler = async || {
        tracing::error!("the first");
        tracing::info!("the second");
        "an answer"
    };
    let router = Router::new().route("/", on_get(handler));
    let layer = observe("shop").track(track().build().expect("a tracker"));
    let app = router.layer(layer.server());
    for _ in 0..3 {
        text(app.clone().oneshot(local("/")).await.unwrap()).await;
    }
    for written in [&mine, &all] {
        let text = String::from_utf8(written.0.lock().expect("no panic").clone());
        let text = text.expect("text");
        let count = |what: &str| text.matches(what).count();
        assert_eq!((count("the first"), count("the second")), (3, 3), "{text}");
    }
}

/// What a layer has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn access_log_skip_omits_named_calls_only() {
    let (meter, logs) = (meter(), logs());
    let app = guarded(track().skip(|head| head.uri.path() == "/livez"));
    for path in ["/livez", "/orders/7", "/livez"] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
    }
    assert_eq!(paths(&logs.calls()), ["/orders/7"]);
    assert_eq!(
        meter.calls(&[("http_route", "/livez")]),
        2.0,
        "counted all the same"
    );
}

#[tokio::test]
async fn access_log_sample_is_a_share_of_successes() {
    let logs = logs();
    let app = guarded(track().sample(0.5));
    for _ in 0..400 {
        text(app.clone().oneshot(local("/livez")).await.unwrap()).await;
    }
    let lines = logs.calls().len();
    // Ten standard deviations to either side.
    assert!((100..300).contains(&lines), "{lines}");
}

#[tokio::test]
async fn access_log_can_be_off() {
    let logs = logs();
    let app = guarded(track().access_log(false));
    text(app.oneshot(local("/status/500")).await.unwrap()).await;
    assert_eq!(logs.calls().len(), 0);
}

#[tokio::test]
async fn access_log_redacts_credentials() {
    let logs = logs();
    let names = [
        "user-agent",
        "Authorization",
        "cookie",
        "x-absent",
        "x-tenant",
    ];
    let address = serve(guarded(track().log_headers(names))).await;
    for (_, client) in both_versions() {
        let mut request = get(address, "/livez");
        for (name, value) in [
            ("user-agent", "test/1"),
            ("authorization", "Bearer hush"),
            ("cookie", "session=hush"),
            ("x-tenant", "acme"),
            ("x-private", "hush"),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        text(client.request(request).await.unwrap()).await;
    }
    let expected = r#"user-agent="test/1" authorization=REDACTED cookie=REDACTED x-tenant="acme""#;
    for line in logs.calls() {
        assert_eq!(line.get("headers"), expected);
        assert!(!format!("{line:?}").contains("hush"));
    }
}

#[tokio::test]
async fn redact_adds_and_removes_header_names() {
    let logs = logs();
    let names = ["idempotency-key", "api-key", "x-account", "forwarded"];
    let track = track()
        .log_headers(names)
        .unredact_headers(["idempotency-key"])
        .redact_headers(["x-account"]);
    let mut request = local("/livez");
    for (name, value) in [
        ("idempotency-key", "k1"),
        ("api-key", "hush"),
        ("x-account", "hush"),
        ("forwarded", "for=a"),
        ("forwarded", "for=b"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }
    text(guarded(track).oneshot(request).await.unwrap()).await;
    assert_eq!(
        logs.only_call().get("headers"),
        r#"idempotency-key="k1" api-key=REDACTED x-account=REDACTED forwarded="for=a" forwarded="for=b""#
    );
}

// ---- slow calls

/// Answers after the milliseconds that the path says.
fn sleepy(track: TrackBuilder) -> Router {
    let sleep = async |Path(millis): Path<u64>| {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        "late"
    };
    let slow_body = async |Path(millis): Path<u64>| {
        let slow = async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, Infallible>("late")
        };
        Body::from_stream(futures_util::stream::once(slow))
    };
    Router::new()
        .route("/sleep/{millis}", on_get(sleep))
        .route("/body/{millis}", on_get(slow_body))
        .route("/export/{millis}", on_get(sleep))
        .layer(observe("shop").track(track.build().unwrap()).server())
}

#[tokio::test(start_paused = true)]
async fn slow_thresholds_are_per_route() {
    let (meter, logs) = (meter(), logs());
    let (warning, critical) = (Duration::from_millis(500), Duration::from_secs(2));
    let app = sleepy(track().slow(warning, critical).slow_route(
        "/export/{millis}",
        Duration::from_secs(30),
        Duration::from_secs(60),
    ));
    for (path, slow) in [
        ("/sleep/499", ""),
        ("/sleep/500", "warning"),
        ("/sleep/2000", "critical"),
        ("/body/499", ""),
        ("/body/600", "warning"),
        ("/export/29999", ""),
        ("/export/30000", "warning"),
        ("/export/60000", "critical"),
    ] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
        let line = logs.only_call();
        assert_eq!(line.get("slow"), slow, "{path}");
        let level = if slow.is_empty() {
            Level::INFO
        } else {
            Level::WARN
        };
        assert_eq!(line.level, level, "{path}");
        logs.clear();
    }
    let count = |target, level| {
        let labels = [("service", "shop"), ("target", target), ("level", level)];
        meter.sum("tower_keep_slow_calls_total", &labels)
    };
    assert_eq!(count("/sleep/{millis}", "warning"), Some(1.0));
    assert_eq!(count("/sleep/{millis}", "critical"), Some(1.0));
    assert_eq!(count("/body/{millis}", "warning"), Some(1.0));
    assert_eq!(count("/export/{millis}", "critical"), Some(1.0));
    assert_eq!(meter.series("tower_keep_slow_calls_total").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn duration_ends_with_body_and_head_time_is_optional() {
    let (meter, logs) = (meter(), logs());
    let app = sleepy(track().time_to_head(true));
    text(app.clone().oneshot(local("/sleep/40")).await.unwrap()).await;
    text(app.oneshot(local("/body/3000")).await.unwrap()).await;
    let sum = |metric: &str, route| meter.sum(metric, &[("http_route", route)]);
    let duration = format!("{DURATION}_sum");
    assert_eq!(sum(&duration, "/sleep/{millis}"), Some(0.04));
    assert_eq!(sum(&duration, "/body/{millis}"), Some(3.0));
    let head = "http_server_time_to_head_seconds_sum";
    assert_eq!(sum(head, "/sleep/{millis}"), Some(0.04));
    assert_eq!(sum(head, "/body/{millis}"), Some(0.0));
    let lines = logs.calls();
    assert_eq!(lines[1].get("duration_ms"), "3000.0");
    assert_eq!(lines[1].get("time_to_head_ms"), "0.0");
}

#[tokio::test(start_paused = true)]
async fn server_timing_header_is_by_predicate() {
    let app = sleepy(track());
    let response = app.oneshot(local("/sleep/12")).await.unwrap();
    assert!(!response.headers().contains_key("server-timing"));
    assert!(!response.headers().contains_key("x-response-time"));

    let asks = |head: &tower_keep::context::RequestHead<'_>| head.headers.contains_key("x-debug");
    let app = sleepy(track().server_timing(asks).response_time(asks));
    let response = app.clone().oneshot(local("/sleep/12")).await.unwrap();
    assert!(!response.headers().contains_key("server-timing"));
    let mut request = local("/sleep/12");
    request
        .headers_mut()
        .insert("x-debug", HeaderValue::from_static("1"));
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(header(&response, "server-timing"), Some("total;dur=12.0"));
    assert_eq!(header(&response, "x-response-time"), Some("12.0ms"));
}

#[tokio::test]
async fn busy_time_excludes_waiting() {
    const WORK: Duration = Duration::from_millis(5);
    let (meter, logs) = (meter(), logs());
    let track = track().poll_time(true).build().unwrap();
    let service =
        observe("shop")
            .track(track)
            .server()
            .layer(service_fn(async |_: Request<Body>| {
                std::thread::sleep(WORK);
                tokio::time::sleep(WORK * 4).await;
                std::thread::sleep(WORK);
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }));
    service.oneshot(local("/")).await.unwrap();
    let line = logs.only_call();
    let millis = |field| Duration::from_secs_f64(line.get(field).parse::<f64>().unwrap() / 1e3);
    assert!(millis("poll_time_ms") >= WORK * 2, "{line:#?}");
    assert!(
        millis("duration_ms") - millis("poll_time_ms") >= WORK * 3,
        "{line:#?}"
    );
    assert_eq!(meter.count("http_server_poll_time_seconds", &[]), 1.0);
}

/// Where the figure is kept apart, it was once missing for calls that no service was polled for.
#[tokio::test]
async fn busy_time_of_rejected_call_is_zero() {
    let meter = meter();
    let track = track().poll_time(true).build().unwrap();
    let guards = GuardLayer::server((track, Fuse::blown()));
    let app = shop().layer(guards);
    let rejected = app.oneshot(local("/orders/7")).await.unwrap();
    drop(rejected);
    assert_eq!(meter.count("http_server_poll_time_seconds", &[]), 1.0);
    assert_eq!(
        meter.sum("http_server_poll_time_seconds_sum", &[]),
        Some(0.0)
    );
}

/// Ready when it is told to be.
#[derive(Clone)]
struct Gate(Arc<Mutex<bool>>);

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), Infallible>> {
        match *self.0.lock().unwrap() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(Response::new(Body::empty())))
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_wait_is_measured_by_option() {
    let (meter, logs) = (meter(), logs());
    let open = Arc::new(Mutex::new(false));
    let track = track().readiness_wait(true).build().unwrap();
    let layer = observe("shop").track(track).server();
    let mut service = layer.layer(Gate(open.clone()));
    let not_yet = tokio::time::timeout(Duration::from_millis(300), service.ready()).await;
    assert!(not_yet.is_err());
    *open.lock().unwrap() = true;
    service
        .ready()
        .await
        .unwrap()
        .call(local("/"))
        .await
        .unwrap();
    assert_eq!(logs.only_call().get("readiness_wait_ms"), "300.0");
    let wait = "http_server_readiness_wait_seconds_sum";
    assert_eq!(meter.sum(wait, &[]), Some(0.3));
    logs.clear();
    service
        .ready()
        .await
        .unwrap()
        .call(local("/"))
        .await
        .unwrap();
    assert_eq!(logs.only_call().get("readiness_wait_ms"), "0.0");
}

// ---- spans

#[tokio::test]
async fn span_accepts_fields_of_handler() {
    let logs = logs();
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(async || {
                tracing::info!(target: "shop", "in the handler");
                tokio::task::yield_now().await;
                tracing::info!(target: "shop", "after a wait");
            }),
        )
        .layer(observe("shop").track(track().build().unwrap()).server());
    let address = serve(app).await;
    for (version, client) in both_versions() {
        let response = client.request(get(address, "/orders/7")).await.unwrap();
        let request_id = header(&response, "x-request-id").unwrap();
        let spans = logs.call_spans();
        let span = spans.last().unwrap();
        for (field, value) in [
            ("otel.name", "GET /orders/{id}"),
            ("otel.kind", "server"),
            ("http.request.method", "GET"),
            ("http.route", "/orders/{id}"),
            ("http.response.status_code", "200"),
            ("url.path", "/orders/7"),
            ("url.scheme", "http"),
            ("network.protocol.version", version),
            ("outcome", "success"),
            ("request_id", request_id),
            ("error.type", ""),
            ("otel.status_code", ""),
        ] {
            assert_eq!(span.get(field), value, "{field} over {version}");
        }
        assert_eq!((span.level, span.closed), (Level::INFO, true));
    }
    let positions: BTreeSet<_> = logs.events("shop").iter().map(|event| event.span).collect();
    assert_eq!(logs.events("shop").len(), 4);
    assert_eq!(positions.len(), 2, "each call has a span of its own");
    assert!(!positions.contains(&None));
}

#[tokio::test]
async fn span_records_error() {
    let logs = logs();
    let address = serve(guarded(track())).await;
    for (path, error, status) in [
        ("/status/500", "500", "ERROR"),
        ("/panics", "panic", "ERROR"),
        ("/status/404", "", ""),
    ] {
        text(http1().request(get(address, path)).await.unwrap()).await;
        let spans = logs.call_spans();
        let span = spans.last().unwrap();
        assert_eq!(span.get("error.type"), error, "{path}");
        assert_eq!(span.get("otel.status_code"), status, "{path}");
    }
}

#[tokio::test]
async fn span_level_is_configurable_with_hooks() {
    for (level, expected) in [
        (SpanLevel::Info, vec![Level::INFO]),
        (SpanLevel::Debug, vec![Level::DEBUG]),
        (SpanLevel::Off, vec![]),
    ] {
        let logs = logs();
        let seen = Arc::new(Mutex::new(0));
        let see = seen.clone();
        let hook = move |span: &tracing::Span| {
            assert!(Context::current().is_some());
            span.record("outcome", "seen by the hook");
            *see.lock().unwrap() += 1;
        };
        let app = guarded(track().span_level(level).on_span(hook));
        let response = app.oneshot(local("/orders/7")).await.unwrap();
        assert_eq!(logs.call_spans().len(), expected.len());
        assert!(
            logs.call_spans()
                .iter()
                .all(|span| span.get("outcome") == "seen by the hook")
        );
        text(response).await;
        let levels: Vec<_> = logs.call_spans().iter().map(|span| span.level).collect();
        assert_eq!(levels, expected);
        assert_eq!(*seen.lock().unwrap(), expected.len());
        assert_eq!(logs.calls().len(), 1);
    }
}

// ---- errors

#[tokio::test]
async fn errors_go_to_configured_error_tracker() {
    let errors = ErrorTracker::default();
    let app = guarded(track().errors(errors.clone()));
    let logs = logs();
    for path in ["/status/500", "/status/404", "/status/503", "/status/504"] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
    }
    let mut kinds: Vec<_> = errors
        .groups()
        .iter()
        .map(|group| group.kind().to_owned())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["500", "504"]);
    let lines = logs.calls();
    let groups: BTreeSet<_> = errors
        .groups()
        .iter()
        .map(|group| group.fingerprint().to_string())
        .collect();
    assert!(groups.contains(lines[0].get("error_group")));
    assert_eq!(lines[1].get("error_group"), "");
    logs.clear();

    let app = guarded(track().errors(None));
    text(app.oneshot(local("/status/500")).await.unwrap()).await;
    assert_eq!(logs.only_call().get("error_group"), "");
    assert_eq!(logs.only_call().get("error_type"), "500");
    assert_eq!(errors.total(), 2);
}

#[tokio::test]
async fn tracker_of_any_service_is_used() {
    let (meter, errors) = (meter(), ErrorTracker::default());
    let track = Track::builder("two").errors(errors.clone());
    let layer = observe("one").track(track.build().unwrap()).any();
    let fails = async |()| Err::<(), _>(std::io::Error::other("torn"));
    assert!(layer.layer(service_fn(fails)).oneshot(()).await.is_err());
    assert_eq!(errors.total(), 1);
    let labels = [("operation", "two"), ("kind", "service")];
    assert_eq!(meter.count("operation_duration_seconds", &labels), 1.0);
}

// ---- clones and settings

#[tokio::test]
async fn tracker_is_shared_by_its_layers() {
    let meter = meter();
    let track = track().max_targets(2).build().unwrap();
    let app = |route: &str| {
        let router = Router::new().route(route, on_get(async || ()));
        router.layer(GuardLayer::server((Correlate::default(), track.clone())))
    };
    for route in ["/a", "/b", "/c"] {
        app(route).oneshot(local(route)).await.unwrap();
    }
    assert_eq!(meter.count(DURATION, &[("http_route", "_OTHER")]), 1.0);
}

#[test]
fn invalid_track_settings_are_named() {
    let said = |track: TrackBuilder| track.build().unwrap_err().to_string();
    assert_eq!(
        said(track().sample(50.0)),
        r#"tracker "shop": sample is 50, must be 0 to 1 (a fraction; did you mean 0.5?)"#
    );
    let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
    for (track, field) in [
        (track().sample(f64::NAN), "sample"),
        (track().sample(-0.1), "sample"),
        (track().slow(two, one), "slow"),
        (track().slow(Duration::ZERO, one), "slow"),
        (track().slow_route("/", two, one), "slow_route"),
        (track().max_targets(0), "max_targets"),
        (track().max_series(0), "max_series"),
        (track().log_headers(["not a name"]), "log_headers"),
        (track().log_headers(vec!["x"; 17]), "log_headers"),
        (track().redact_headers(["not a name"]), "redact_headers"),
        (track().unredact_headers(vec!["x"; 17]), "unredact_headers"),
    ] {
        assert_eq!(track.build().unwrap_err().field(), field);
    }
}

/// A body that panics when it is dropped, as a poisoned lock would make it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

impl http_body::Body for Bomb {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Cx<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// The future was left undropped, and the gauge up for ever.
#[tokio::test]
async fn in_flight_drops_rejected_call_with_panicking_request() {
    let meter = meter();
    let breaker = tower_keep::CircuitBreaker::builder("shut").build().unwrap();
    breaker.force_open();
    let mut service = GuardLayer::server((track().build().unwrap(), breaker)).layer(service_fn(
        async |_: Request<Bomb>| Ok::<_, Infallible>(Response::new(Body::empty())),
    ));
    let response = service.ready().await.unwrap().call(Request::new(Bomb));
    assert_eq!(
        response.await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(meter.sum(ACTIVE, &[]), Some(0.0));
    assert_eq!(meter.calls(&[("outcome", "rejected")]), 1.0);
}
