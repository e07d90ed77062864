//! Clones, addresses and invalid settings.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, routing::get as on_get};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    ErrorTracker, GuardLayer, Track,
    context::{Correlate, Propagate},
    observe,
    track::TrackBuilder,
};

use super::{ACTIVE, DURATION, track};
use crate::support::{local, logs::logs, meter::meter};

#[tokio::test]
async fn server_address_option_fills_missing_authority() {
    let (meter, logs) = (meter(), logs());
    let track = track().server_address("told.example:9").build().unwrap();
    let answer = async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()));
    let client = GuardLayer::client(track.clone()).layer(service_fn(answer));
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
    let client = GuardLayer::grpc_client(track).layer(service_fn(answer));
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

/// A client whose tracker stood in a pair of guards counted as a server: the tracker had to be told its side.
#[tokio::test]
async fn tracker_has_side_of_its_layer() {
    let (meter, logs) = (meter(), logs());
    let answer = async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()));
    let track = track().build().unwrap();
    let pair = (Propagate::default(), track.clone());
    let client = GuardLayer::client(pair).layer(service_fn(answer));
    client.oneshot(local("/")).await.unwrap();
    let server = GuardLayer::server(track.clone()).layer(service_fn(answer));
    server.oneshot(local("/")).await.unwrap();
    let any = GuardLayer::any(track).layer(service_fn(answer));
    any.oneshot(local("/")).await.unwrap();

    assert_eq!(meter.count(DURATION, &[]), 1.0);
    assert_eq!(
        meter.count("http_client_request_duration_seconds", &[]),
        2.0
    );
    let kinds: Vec<_> = logs
        .calls()
        .iter()
        .map(|call| call.get("kind").to_owned())
        .collect();
    assert_eq!(kinds, ["client", "server", "client"]);
    let spans = logs.call_spans();
    let kinds: Vec<_> = spans.iter().map(|span| span.get("otel.kind")).collect();
    assert_eq!(kinds, ["client", "server", "client"]);
}

#[tokio::test]
async fn ignored_call_leaves_ids_and_nothing_else() {
    let (meter, logs) = (meter(), logs());
    let errors = ErrorTracker::default();
    let built = Track::builder("shop").errors(errors.clone());
    let built = built.ignore(|head| head.uri.path() == "/livez");
    let outer = built.build().unwrap();
    let fails = async |_: Request<Body>| {
        let answer = Response::builder().status(500).body(Body::empty());
        Ok::<_, Infallible>(answer.unwrap())
    };
    // A tracker of the same name further in, which ignores nothing.
    let inner = Track::builder("shop").errors(errors.clone()).build();
    let service = GuardLayer::server(inner.unwrap()).layer(service_fn(fails));
    let service = observe(outer).server().layer(service);

    let response = service.clone().oneshot(local("/livez")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.headers().contains_key("x-request-id"));
    drop(response);
    assert_eq!(meter.count(DURATION, &[]), 0.0);
    assert_eq!(meter.calls(&[]), 0.0);
    assert_eq!(meter.sum(ACTIVE, &[]), None);
    assert_eq!((logs.calls().len(), logs.call_spans().len()), (0, 0));
    assert_eq!(errors.total(), 0);

    drop(service.oneshot(local("/orders")).await.unwrap());
    assert_eq!(meter.calls(&[]), 1.0);
    assert_eq!((logs.calls().len(), logs.call_spans().len()), (1, 1));
    assert_eq!(errors.total(), 1);
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
