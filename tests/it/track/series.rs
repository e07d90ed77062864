//! Label sets are bounded, whoever asks, and each recorder gets handles of its own.

use std::{sync::mpsc, thread, time::Duration};

use axum::{
    Router,
    body::Body,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::{any as on_any, get as on_get},
};
use http::{Method, Request, StatusCode, Version};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceExt;
use tower_keep::{
    observe, operation,
    track::{MetricNaming, TrackBuilder},
};

use super::{DURATION, track};
use crate::support::{local, meter::meter, text};

const STREAM: &str = "http_server_stream_duration_seconds";
const RPC: &str = "rpc_server_call_duration_seconds";
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

fn guarded(app: Router, track: TrackBuilder) -> Router {
    let track = track.build().expect("a tracker");
    app.layer(observe(track).server())
}

async fn ask(app: &Router, request: Request<Body>) {
    text(app.clone().oneshot(request).await.expect("an answer")).await;
}

fn with_method(method: Method, path: &str) -> Request<Body> {
    let mut request = local(path);
    *request.method_mut() = method;
    request
}

/// A route for each number, which answers with that status.
fn numbered(status: StatusCode, routes: std::ops::Range<usize>) -> Router {
    routes.fold(Router::new(), |app, n| {
        app.route(
            &format!("/{status}/{n}", status = status.as_u16()),
            on_any(async move || status),
        )
    })
}

async fn events() -> Sse<impl futures_util::Stream<Item = Result<Event, std::convert::Infallible>>>
{
    let event = Event::default().data("tick");
    Sse::new(tokio_stream::once(Ok(event))).keep_alive(KeepAlive::default())
}

// ---- what finds no room

/// The series that takes what found no room had the name of whoever came first.
#[tokio::test]
async fn overflow_series_is_named_by_its_content() {
    let meter = meter();
    let app = numbered(StatusCode::OK, 0..5).route("/events", on_get(events));
    let app = guarded(app, track().max_series(1));
    ask(&app, local("/200/0")).await;
    ask(&app, local("/events")).await;
    for path in ["/200/1", "/200/2", "/200/3"] {
        ask(&app, local(path)).await;
    }
    assert_eq!(meter.count(STREAM, &[OVERFLOW]), 1.0);
    assert_eq!(meter.count(DURATION, &[OVERFLOW]), 3.0);
    assert_eq!(meter.count(RPC, &[]), 0.0);
    assert_eq!(meter.calls(&[("outcome", "success")]), 5.0);
}

#[tokio::test]
async fn overflow_of_failures_is_separate() {
    let meter = meter();
    let app =
        numbered(StatusCode::OK, 0..10).merge(numbered(StatusCode::INTERNAL_SERVER_ERROR, 0..40));
    let app = guarded(app, track().max_series(4));
    for n in 0..10 {
        ask(&app, local(&format!("/200/{n}"))).await;
    }
    for n in 0..40 {
        ask(&app, local(&format!("/500/{n}"))).await;
    }
    let first = [("http_route", "/500/0"), ("error_type", "500")];
    assert_eq!(meter.count(DURATION, &first), 1.0);
    let good = [OVERFLOW];
    let bad = [OVERFLOW, ("error_type", "_OTHER")];
    assert!(meter.count(DURATION, &bad) > 0.0);
    assert_eq!(
        meter.count(DURATION, &good) - meter.count(DURATION, &bad),
        6.0
    );
    assert_eq!(meter.count(DURATION, &[]), 50.0);
    let series = meter.series(&format!("{DURATION}_count")).len();
    assert!(series <= 4 + 16 + 2, "{series}");
}

#[tokio::test]
async fn overflow_of_failures_with_classic_names() {
    let meter = meter();
    let app = numbered(StatusCode::INTERNAL_SERVER_ERROR, 0..40);
    let app = guarded(app, track().naming(MetricNaming::Classic).max_series(1));
    for n in 0..40 {
        ask(&app, local(&format!("/500/{n}"))).await;
    }
    let bad = [OVERFLOW, ("status", "5xx")];
    assert!(meter.sum("http_requests_total", &bad) > Some(0.0));
    assert_eq!(meter.sum("http_requests_total", &[]), Some(40.0));
}

// ---- what strangers choose

/// 60 routes, 10 methods, 2 versions and 2 schemes filled the histogram until the restart.
#[tokio::test]
async fn scheme_version_and_unknown_method_add_no_series() {
    let meter = meter();
    let app = Router::new().route("/orders/{id}", on_get(async || "an order"));
    let app = guarded(app, track());
    for method in ["GET", "PUT", "DELETE", "PATCH", "MADE-UP"] {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            for origin in ["", "http://shop.test", "https://shop.test"] {
                for path in ["/orders/7", "/nowhere"] {
                    let method = Method::from_bytes(method.as_bytes()).expect("a method");
                    let mut request = with_method(method, &format!("{origin}{path}"));
                    *request.version_mut() = version;
                    ask(&app, request).await;
                }
            }
        }
    }
    let series: Vec<_> = meter.series(&format!("{DURATION}_count"));
    let labels: Vec<_> = series.iter().map(|(labels, _)| labels.as_str()).collect();
    let expected = [
        r#"http_request_method="GET",http_response_status_code="200",http_route="/orders/{id}",url_scheme="http""#,
        r#"http_request_method="_OTHER",http_response_status_code="404",url_scheme="http""#,
        r#"http_request_method="_OTHER",http_response_status_code="405",url_scheme="http""#,
    ];
    assert_eq!(labels, expected);
    let active = meter.series("http_server_active_requests");
    assert_eq!(active.len(), 5, "{active:?}");
}

/// A place that found no room had lost its thresholds.
#[tokio::test(start_paused = true)]
async fn slow_route_threshold_holds_beyond_max_targets() {
    let meter = meter();
    let slow = async || tokio::time::sleep(Duration::from_secs(2)).await;
    let app = numbered(StatusCode::OK, 0..5).route("/export", on_get(slow));
    let second = Duration::from_secs(1);
    let track = track()
        .max_targets(1)
        .slow_route("/export", second, 60 * second);
    let app = guarded(app, track);
    for n in 0..5 {
        ask(&app, local(&format!("/200/{n}"))).await;
    }
    ask(&app, local("/export")).await;
    let slow = [("target", "/export"), ("level", "warning")];
    assert_eq!(meter.sum("tower_keep_slow_calls_total", &slow), Some(1.0));
    assert_eq!(meter.count(DURATION, &[("http_route", "/200/0")]), 1.0);
}

// ---- recorders

/// Recorders were told apart by their address, which one that is dropped passes on.
#[test]
fn recorder_at_reused_address_gets_its_own_handles() {
    for round in 0..4 {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            let work = operation("rounds").errors(None);
            work.call(|| Ok::<_, std::io::Error>(())).expect("ok");
        });
        let text = recorder.handle().render();
        let count = r#"operation_duration_seconds_count{operation="rounds",kind="internal",outcome="success"} 1"#;
        assert!(text.contains(count), "round {round}: {text}");
    }
}

/// Works on an operation whenever it is asked for a handle.
struct Busy;

impl Busy {
    fn work() {
        let work = operation("registers").errors(None);
        work.call(|| Ok::<_, std::io::Error>(())).expect("ok");
    }
}

impl Recorder for Busy {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Busy::work();
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Busy::work();
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Busy::work();
        Histogram::noop()
    }
}

/// That thread waited for itself.
#[test]
fn recorder_may_run_operation_of_same_name() {
    let (done, waits) = mpsc::channel();
    thread::spawn(move || {
        with_local_recorder(&Busy, Busy::work);
        done.send(())
    });
    let safety_net = Duration::from_secs(20);
    waits
        .recv_timeout(safety_net)
        .expect("the thread comes back");
}
