//! Names, labels and bounds of the metrics, and the gauge of calls in flight.

use std::{
    convert::Infallible,
    future::pending,
    sync::Arc,
    task::{Context as Cx, Poll},
};

use axum::{Router, body::Body, routing::get as on_get};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio_stream::StreamExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    GuardLayer, Outcome, observe,
    track::{DURATION_BUCKETS, MetricNaming, RouteLayer, RouteSlot},
};

use super::{ACTIVE, DURATION, guarded, shop, track};
use crate::support::{
    both_versions, get,
    guards::{Fuse, witness},
    http1, local,
    logs::logs,
    meter::{Replaced, meter},
    serve, text, within,
};

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
    let app = app.layer(observe(track).server());
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
    let layer = observe(track().build().unwrap()).server();
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
