//! Several trackers in one stack: of one name, of different names, and around calls of their own.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get as on_get, post as on_post},
};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, ErrorTracker, GuardLayer, Observe, Track, observe,
    retry::{Backoff, Retry, RetryLayer},
    track::RequestBodyLayer,
};

use crate::support::{
    local,
    logs::{Logs, logs},
    meter::{Meter, meter},
    text,
};

const SERVER: &str = "http_server_request_duration_seconds";
const CLIENT: &str = "http_client_request_duration_seconds";

/// Ears for everything that a call leaves.
struct Ears {
    meter: Meter,
    logs: Logs,
    errors: ErrorTracker,
}

fn ears() -> Ears {
    Ears {
        meter: meter(),
        logs: logs(),
        errors: ErrorTracker::default(),
    }
}

impl Ears {
    /// Makes a layer that observes a service of that name.
    fn observe(&self, name: &'static str) -> Observe {
        let track = Track::builder(name).errors(self.errors.clone());
        observe(track.build().expect("a tracker"))
    }

    /// Counts how often a call was timed, counted, logged, given a span and grouped.
    fn heard(&self, duration: &str) -> [f64; 5] {
        [
            self.meter.count(duration, &[]),
            self.meter.calls(&[]),
            self.logs.calls().len() as f64,
            self.logs.call_spans().len() as f64,
            self.errors.total() as f64,
        ]
    }
}

async fn broken(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    Ok(response)
}

async fn unavailable<B>(_: Request<B>) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(response)
}

async fn ask<S>(service: S, path: &str)
where
    S: Service<Request<Body>, Error: std::fmt::Debug, Response = Response<Body>>,
{
    let response = service.oneshot(local(path)).await.expect("an answer");
    text(response).await;
}

/// Each call was two in the one series that both have, and two in its error group.
#[tokio::test]
async fn nested_trackers_of_one_name_count_once() {
    let ears = ears();
    let app = Router::new()
        .route("/", on_get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .layer(ears.observe("shop").server())
        .layer(ears.observe("shop").server());
    ask(app, "/").await;
    assert_eq!(ears.heard(SERVER), [1.0; 5]);
    let active = ears.meter.sum("http_server_active_requests", &[]);
    assert_eq!(active, Some(0.0));
}

#[tokio::test]
async fn outer_tracker_learns_route_of_inner_one() {
    let ears = ears();
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(async || StatusCode::INTERNAL_SERVER_ERROR),
        )
        .layer(ears.observe("shop").server());
    let app = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(ears.observe("shop").server())
        .service(app);
    ask(app, "/orders/7").await;
    assert_eq!(ears.heard(SERVER), [1.0; 5]);
    let of_route = [("http_route", "/orders/{id}")];
    assert_eq!(ears.meter.count(SERVER, &of_route), 1.0);
}

#[tokio::test]
async fn nested_trackers_of_two_names_count_twice() {
    let ears = ears();
    let service = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(ears.observe("shop").server())
        .layer(ears.observe("till").server())
        .layer(ears.observe("shop").server())
        .service(service_fn(broken));
    ask(service, "/").await;
    assert_eq!(ears.heard(SERVER), [2.0; 5]);
    for name in ["shop", "till"] {
        assert_eq!(ears.meter.calls(&[("service", name)]), 1.0);
    }
}

/// Inside of a router no tracker waits for the route, and the outermost leaves no list of trackers in the request.
#[tokio::test]
async fn nested_trackers_of_a_route_count_by_name() {
    let ears = ears();
    let app = Router::new()
        .route("/", on_get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .layer(ears.observe("shop").server())
        .layer(ears.observe("till").server())
        .layer(ears.observe("till").server())
        .layer(ears.observe("shop").server());
    ask(app, "/").await;
    assert_eq!(ears.heard(SERVER), [2.0; 5]);
    for name in ["shop", "till"] {
        assert_eq!(ears.meter.calls(&[("service", name)]), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn tracker_inside_retry_counts_attempts_by_name() {
    for (attempts, counted) in [("attempts", 3.0), ("peer", 0.0)] {
        let ears = ears();
        let backoff = Backoff::constant(Duration::from_millis(1));
        let retry = Retry::builder("peer")
            .max_attempts(3)
            .budget(None)
            .backoff(backoff);
        let client = ServiceBuilder::new()
            .map_response(|response: Response<_>| response.map(Body::new))
            .layer(ears.observe("peer").client())
            .layer(RetryLayer::client(retry.build().expect("sound")))
            .layer(ears.observe(attempts).client())
            .service(service_fn(unavailable));
        ask(client, "http://peer/").await;
        assert_eq!(ears.meter.calls(&[]), 1.0 + counted, "{attempts}");
        assert_eq!(ears.logs.calls().len() as f64, 1.0 + counted);
    }
}

#[tokio::test]
async fn in_process_call_of_handler_counts_itself() {
    let ears = ears();
    let inner = ears.observe("shop").server().layer(service_fn(broken));
    let handler = service_fn(move |_: Request<Body>| {
        let inner = inner.clone();
        async move {
            let response = inner.oneshot(local("/inner")).await?;
            Ok::<_, Infallible>(response.map(Body::new))
        }
    });
    let app = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(ears.observe("shop").server())
        .service(handler);
    ask(app, "/outer").await;
    assert_eq!(ears.heard(SERVER), [2.0; 5]);
}

#[tokio::test]
async fn proxy_client_and_server_count_separately() {
    let ears = ears();
    let client = ears.observe("proxy").client().layer(service_fn(broken));
    // The request is handed on with all that is in its extensions.
    let handler = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let response = client.oneshot(request).await.expect("an answer");
            Ok::<_, Infallible>(response.map(Body::new))
        }
    });
    let app = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(ears.observe("proxy").server())
        .service(handler);
    ask(app, "http://peer/").await;
    for (duration, kind) in [(SERVER, "server"), (CLIENT, "client")] {
        assert_eq!(ears.meter.count(duration, &[]), 1.0);
        assert_eq!(ears.meter.calls(&[("kind", kind)]), 1.0);
    }
    assert_eq!(ears.logs.calls().len(), 2);
}

#[tokio::test]
async fn app_label_separates_applications() {
    let ears = ears();
    for (name, labeled) in [("shop", true), ("till", true), ("old", false)] {
        let track = Track::builder(name)
            .errors(ears.errors.clone())
            .service_label(labeled);
        let guards = GuardLayer::server(track.build().expect("a tracker"));
        let app = Router::new()
            .route("/", on_get(async || "hello"))
            .layer(guards);
        ask(app, "/").await;
    }
    for name in ["shop", "till"] {
        let labels = [("service", name), ("http_route", "/")];
        assert_eq!(ears.meter.count(SERVER, &labels), 1.0, "{name}");
        let active = ears
            .meter
            .sum("http_server_active_requests", &[("service", name)]);
        assert_eq!(active, Some(0.0), "{name}");
    }
    assert_eq!(ears.meter.count(SERVER, &[("service", "old")]), 0.0);
    assert_eq!(ears.meter.count(SERVER, &[]), 3.0);
}

// ---- bytes of requests

fn sized(ears: &Ears, name: &'static str) -> Observe {
    let track = Track::builder(name)
        .errors(ears.errors.clone())
        .body_sizes(true);
    observe(track.build().expect("a tracker"))
}

fn post(to: &str) -> Request<Body> {
    Request::post(to).body("12345".into()).expect("a request")
}

/// The second layer counted the same bytes once more, and the outer tracker got none.
#[tokio::test]
async fn request_bytes_are_counted_once_per_tracker() {
    let ears = ears();
    let app = Router::new()
        .route("/echo", on_post(async |body: Bytes| body))
        .layer(RequestBodyLayer::new(Body::new))
        .layer(RequestBodyLayer::new(Body::new))
        .layer(sized(&ears, "inner").server())
        .layer(sized(&ears, "outer").server());
    let response = app.oneshot(post("/echo")).await.expect("an answer");
    assert_eq!(text(response).await, "12345");
    let lines = ears.logs.calls();
    let told: Vec<_> = lines.iter().map(|line| line.get("request_bytes")).collect();
    assert_eq!(told, ["5", "5"]);
    let sum = "http_server_request_body_size_bytes_sum";
    assert_eq!(ears.meter.sum(sum, &[]), Some(10.0), "two trackers");
}

#[tokio::test]
async fn request_bytes_of_proxy_count_on_both_sides() {
    let ears = ears();
    let client = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(sized(&ears, "proxy").client())
        .layer(RequestBodyLayer::new(Body::new))
        .service(service_fn(async |request: Request<Body>| {
            Ok::<_, BoxError>(Response::new(request.into_body()))
        }));
    let handler = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(client.oneshot(request).await.expect("an answer")) }
    });
    let app = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(sized(&ears, "proxy").server())
        .layer(RequestBodyLayer::new(Body::new))
        .service(handler);
    let response = app.oneshot(post("http://peer/")).await.expect("an answer");
    assert_eq!(text(response).await, "12345");
    for side in ["server", "client"] {
        let sum = format!("http_{side}_request_body_size_bytes_sum");
        assert_eq!(ears.meter.sum(&sum, &[]), Some(5.0), "{side}");
    }
}
