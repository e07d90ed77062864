//! Slow calls, the time to the head, and the time spent in polls and in waiting.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context as Cx, Poll},
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response, header::HeaderValue};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{GuardLayer, observe};
use tracing::Level;

use super::{DURATION, shop, sleepy, track};
use crate::support::{guards::Fuse, header, local, logs::logs, meter::meter, text};

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

#[tokio::test(start_paused = true)]
async fn busy_time_excludes_waiting() {
    const WORK: Duration = Duration::from_millis(5);
    let (meter, logs) = (meter(), logs());
    let track = track().poll_time(true).build().unwrap();
    let service = observe(track)
        .server()
        .layer(service_fn(async |_: Request<Body>| {
            // Within a poll, unlike the sleep between two.
            tokio::time::advance(WORK).await;
            tokio::time::sleep(WORK * 4).await;
            tokio::time::advance(WORK).await;
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

/// The figure, where it is kept apart, was once missing for calls that no service was polled for.
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
    let layer = observe(track).server();
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
