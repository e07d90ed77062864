//! The type of an error, and the group that it is counted in.

use std::{collections::BTreeSet, convert::Infallible};

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    ErrorTracker, GuardLayer, Outcome, Rejection, Track, observe, protocol::WireFormat,
};
use tracing::Level;

use super::{guarded, track};
use crate::support::{local, logs::logs, meter::meter, text};

#[tokio::test]
async fn overload_error_has_error_type() {
    let (meter, logs) = (meter(), logs());
    let errors = ErrorTracker::default();
    let track = Track::builder("peer").errors(errors.clone());
    let layer = GuardLayer::client(track.build().unwrap());
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
    let layer = observe(track.build().unwrap()).any();
    let fails = async |()| Err::<(), _>(std::io::Error::other("torn"));
    assert!(layer.layer(service_fn(fails)).oneshot(()).await.is_err());
    assert_eq!(errors.total(), 1);
    let labels = [("operation", "two"), ("kind", "service")];
    assert_eq!(meter.count("operation_duration_seconds", &labels), 1.0);
}
