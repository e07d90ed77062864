//! Checks that each fault has one name, in the metric's label, in the span, in the log line and in the error group.

use std::{io, time::Duration};

use axum::{Router, body::Body, routing::get as on_get};
use http::Response;
use tower::{BoxError, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn};
use tower_keep::{ErrorTracker, Rejection, Track, observe, track::SpanLevel};

use crate::support::{
    local,
    logs::{Logs, logs},
    meter::meter,
};

const CLIENT: &str = "http_client_request_duration_seconds_count";
const SERVER: &str = "http_server_request_duration_seconds_count";

/// Asserts that a call's fault has this name everywhere it is told of.
fn assert_named(metric: &str, logs: &Logs, errors: &ErrorTracker, name: &str, is_grouped: bool) {
    let span = logs.call_spans().pop().expect("a span");
    assert_eq!(logs.only_call().get("error_type"), name, "line");
    assert_eq!(span.get("error.type"), name, "span");
    assert!(
        metric.contains(&format!("error_type=\"{name}\"")),
        "{metric}"
    );
    let groups: Vec<_> = errors
        .groups()
        .iter()
        .map(|g| g.kind().to_owned())
        .collect();
    let expected = if is_grouped {
        vec![name.to_owned()]
    } else {
        vec![]
    };
    assert_eq!(groups, expected);
}

/// Makes one call whose service ends so.
async fn call(end: impl Fn() -> Result<Response<Body>, BoxError>, name: &str, is_grouped: bool) {
    let (meter, logs, errors) = (meter(), logs(), ErrorTracker::default());
    let track = Track::builder("stock")
        .errors(errors.clone())
        .span_level(SpanLevel::Info)
        .build()
        .expect("a tracker");
    let service = ServiceBuilder::new()
        .layer(observe(track).client())
        .service(service_fn(move |_| {
            let end = end();
            async move { end }
        }));
    drop(service.oneshot(local("http://stock/items/7")).await);
    let [(metric, count)] = &meter.series(CLIENT)[..] else {
        panic!("one series expected")
    };
    assert_eq!(*count, 1.0);
    assert_named(metric, &logs, &errors, name, is_grouped);
}

fn answer(status: u16) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status.try_into().expect("a status");
    Ok(response)
}

#[tokio::test]
async fn error_type_of_client_is_the_same_everywhere() {
    let reset = || Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
    call(reset, "io::ConnectionReset", true).await;
    let late = || Err(io::Error::from(io::ErrorKind::TimedOut).into());
    call(late, "io::TimedOut", true).await;
    let status = || Err(tonic::Status::unavailable("the stock is shut").into());
    call(status, "UNAVAILABLE", true).await;
    let rejected = || Err(Rejection::overloaded("shed").into());
    call(rejected, "overloaded", false).await;
    call(|| Err(Overloaded::new().into()), "rejected", false).await;
    call(|| answer(500), "500", true).await;
    call(|| answer(404), "404", false).await;
    call(|| answer(429), "429", false).await;
}

#[tokio::test(start_paused = true)]
async fn timeout_of_any_source_has_error_type_timeout() {
    let never = || tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>());
    let elapsed = std::sync::Mutex::new(Some(never().await.expect_err("time runs out")));
    let take = move || Err(elapsed.lock().expect("one").take().expect("once").into());
    call(take, "timeout", true).await;
    call(
        || Err(tower::timeout::error::Elapsed::new().into()),
        "timeout",
        true,
    )
    .await;
}

#[tokio::test]
async fn error_type_of_server_is_the_same_everywhere() {
    for (path, name) in [("/panics", "panic"), ("/fails", "500")] {
        let (meter, logs, errors) = (meter(), logs(), ErrorTracker::default());
        let track = Track::builder("shop")
            .errors(errors.clone())
            .span_level(SpanLevel::Info)
            .build()
            .expect("a tracker");
        let app = Router::new()
            .route("/panics", on_get(async || -> () { panic!("no ink") }))
            .route(
                "/fails",
                on_get(async || http::StatusCode::INTERNAL_SERVER_ERROR),
            )
            .layer(observe(track).server());
        let response = app.oneshot(local(path)).await.expect("an answer");
        assert_eq!(response.status(), 500);
        drop(response);
        let [(metric, _)] = &meter.series(SERVER)[..] else {
            panic!("one series expected")
        };
        assert_named(metric, &logs, &errors, name, true);
    }
}

/// Codes and messages of a `tonic::Status` divide groups (observe.md 7).
#[test]
fn grpc_status_is_grouped_by_code_and_message() {
    let errors = ErrorTracker::default();
    for status in [
        tonic::Status::internal("database is down"),
        tonic::Status::unavailable("stock refused"),
        tonic::Status::unavailable("stock refused"),
        tonic::Status::data_loss("a page is torn"),
        tonic::Status::unknown("who knows"),
    ] {
        errors.capture(&status);
    }
    let mut groups: Vec<_> = errors
        .groups()
        .iter()
        .map(|group| {
            (
                group.kind().to_owned(),
                group.message().to_owned(),
                group.count(),
            )
        })
        .collect();
    groups.sort_unstable();
    let expected = [
        ("DATA_LOSS", "a page is torn", 1),
        ("INTERNAL", "database is down", 1),
        ("UNAVAILABLE", "stock refused", 2),
        ("UNKNOWN", "who knows", 1),
    ];
    assert_eq!(
        groups,
        expected.map(|(kind, message, count)| (kind.into(), message.into(), count))
    );
}
