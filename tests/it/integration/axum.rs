//! The layer in axum routers, over real connections: round a route, a nested router, the whole app.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{get as on_get, post as on_post},
};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{Notify, mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, ErrorTracker, GuardLayer, Outcome, Rejection, Track, context::Correlate, observe,
    track::RouteLayer,
};

use crate::support::{
    HyperClient, both_versions, connect1, connect2, get,
    guards::{Fuse, Told, witness},
    header, listen, local,
    logs::logs,
    meter::meter,
    serve, text, within,
};

/// A tracker with an error tracker of its own.
fn tracked(name: &'static str) -> (Track, ErrorTracker) {
    let errors = ErrorTracker::default();
    let track = Track::builder(name).errors(errors.clone()).build();
    (track.expect("a tracker"), errors)
}

async fn order(Path(id): Path<u32>) -> String {
    format!("order {id}")
}

async fn fails() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn panics() -> StatusCode {
    panic!("the ink ran out")
}

fn is_infallible<S: Service<Request<Body>, Error = Infallible>>(_: &S) {}

// ---- where the layer may stand

#[tokio::test]
async fn router_is_tracked_in_every_http_version() {
    let (meter, logs) = (meter(), logs());
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .layer(observe("shop").server());
    let address = serve(app).await;

    for (calls, (version, client)) in [1.0, 2.0].into_iter().zip(both_versions()) {
        let response = client.request(get(address, "/orders/7")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-length"), Some("7"));
        assert_eq!(text(response).await, "order 7");
        let labels = [
            ("http_route", "/orders/{id}"),
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
            ("url_scheme", "http"),
        ];
        let duration = "http_server_request_duration_seconds";
        assert_eq!(meter.count(duration, &labels), calls, "{version}");
    }
    let versions: Vec<_> = logs
        .calls()
        .iter()
        .map(|call| call.get("version").to_owned())
        .collect();
    assert_eq!(versions, ["1.1", "2"]);
    assert!(!meter.render().contains("/orders/7"));
}

#[tokio::test]
async fn router_error_stays_infallible() {
    let layer = GuardLayer::server(Fuse::blown());
    let handler = layer.layer_of(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    is_infallible(&handler);
    // As a route, as a nested service, as a fallback and round a handler: axum takes it everywhere.
    let app: Router = Router::new()
        .route_service("/service", handler.clone())
        .nest_service("/nested", handler.clone())
        .route("/handler", on_get(order.layer(layer.clone())))
        .route("/method", on_get(order).layer(layer.clone()))
        .route_layer(layer.clone())
        .fallback_service(handler)
        .layer(layer);
    let response = app.oneshot(local("/nowhere")).await.unwrap();
    assert_eq!(response.status(), 503);
}

/// `tower::Layer` is not in scope by that name, since `Handler::layer` is.
trait LayerOf<S>: tower::Layer<S> {
    fn layer_of(&self, inner: S) -> Self::Service {
        tower::Layer::layer(self, inner)
    }
}
impl<S, L: tower::Layer<S>> LayerOf<S> for L {}

#[tokio::test]
async fn route_layer_tracks_that_route_only() {
    let (meter, logs) = (meter(), logs());
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(order).layer(observe("shop").server()),
        )
        .route("/livez", on_get(|| async { "alive" }));
    let address = serve(app).await;

    for (_, client) in both_versions() {
        for path in ["/orders/7", "/livez", "/nowhere"] {
            text(client.request(get(address, path)).await.unwrap()).await;
        }
    }
    assert_eq!(meter.calls(&[]), 2.0);
    assert_eq!(meter.calls(&[("http_route", "/orders/{id}")]), 2.0);
    assert_eq!(logs.calls().len(), 2);
}

#[tokio::test]
async fn nested_router_route_is_the_whole_template() {
    let meter = meter();
    let order = async |Path((tenant, id)): Path<(String, u32)>| format!("order {id} of {tenant}");
    let shop = Router::new()
        .route("/orders/{id}", on_get(order))
        .layer(observe("shop").server());
    let app = Router::new()
        .nest("/api/{tenant}", shop)
        .route("/livez", on_get(|| async { "alive" }));
    let address = serve(app).await;

    for (_, client) in both_versions() {
        text(client.request(get(address, "/livez")).await.unwrap()).await;
        let response = client.request(get(address, "/api/acme/orders/7")).await;
        assert_eq!(text(response.unwrap()).await, "order 7 of acme");
    }
    assert_eq!(
        meter.calls(&[("http_route", "/api/{tenant}/orders/{id}")]),
        2.0
    );
    assert_eq!(meter.calls(&[]), 2.0);
}

#[tokio::test]
async fn router_tracks_unknown_paths_and_wrong_methods() {
    let meter = meter();
    let app = Router::new()
        .route(
            "/greeting",
            on_get(|State(text): State<&'static str>| async move { text }),
        )
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page") })
        .layer(observe("shop").server())
        .with_state("hello");
    let address = serve(app).await;

    for (_, client) in both_versions() {
        let response = client.request(get(address, "/greeting")).await.unwrap();
        assert_eq!(text(response).await, "hello");
        let response = client.request(get(address, "/made/up/5")).await.unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(text(response).await, "no such page");
        let mut wrong = get(address, "/greeting");
        *wrong.method_mut() = Method::DELETE;
        assert_eq!(client.request(wrong).await.unwrap().status(), 405);
    }
    assert_eq!(
        meter.calls(&[("outcome", "success"), ("http_route", "/greeting")]),
        2.0
    );
    assert_eq!(
        meter.calls(&[("outcome", "client_error"), ("http_route", "/greeting")]),
        2.0
    );
    assert_eq!(meter.calls(&[("outcome", "client_error")]), 4.0);
    assert!(!meter.render().contains("made"));
}

#[tokio::test]
async fn app_layer_learns_the_route_and_tracks_404() {
    let (meter, logs) = (meter(), logs());
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .route("/untold", on_get(|| async { "no slot was filled" }))
        .route("/fails", on_get(fails))
        .route_layer(RouteLayer::matched_path());
    let app = ServiceBuilder::new()
        // `axum::serve` takes axum's own body only.
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .layer(observe("shop").server())
        .service(app);
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, tower::make::Shared::new(app)).await });

    for (calls, (_, client)) in [1.0, 2.0].into_iter().zip(both_versions()) {
        for (path, status) in [("/orders/7", 200), ("/nowhere", 404), ("/fails", 500)] {
            let response = client.request(get(address, path)).await.unwrap();
            assert_eq!(response.status(), status);
            assert!(response.headers().contains_key("x-request-id"));
            text(response).await;
        }
        let of = |route| [("http_route", route)];
        let duration = "http_server_request_duration_seconds";
        assert_eq!(meter.count(duration, &of("/orders/{id}")), calls);
        assert_eq!(meter.count(duration, &of("/fails")), calls);
        let lost = [("http_response_status_code", "404")];
        assert_eq!(meter.count(duration, &lost), calls);
    }
    let routes: Vec<_> = logs
        .calls()
        .iter()
        .map(|call| call.get("route").to_owned())
        .collect();
    assert_eq!(routes[..3], ["/orders/{id}", "", "/fails"]);
    assert!(!meter.render().contains("nowhere"));
}

#[tokio::test]
async fn app_tracker_learns_the_route_of_an_inner_one() {
    let meter = meter();
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .layer(observe("inner").server());
    let app = Router::new()
        .fallback_service(app)
        .layer(observe("outer").server());
    let address = serve(app).await;

    for (_, client) in both_versions() {
        let response = client.request(get(address, "/orders/7")).await.unwrap();
        assert_eq!(text(response).await, "order 7");
    }
    for service in ["inner", "outer"] {
        let labels = [("service", service), ("http_route", "/orders/{id}")];
        assert_eq!(meter.calls(&labels), 2.0, "{service}");
    }
}

// ---- how calls end

#[tokio::test]
async fn body_ends_with_its_last_frame() {
    let (witness, mut ends) = witness();
    let app = Router::new()
        .route("/known", on_get(|| async { "four" }))
        .route("/empty", on_get(|| async {}))
        .route("/nothing", on_get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/fresh",
            on_get(|| async { (StatusCode::NOT_MODIFIED, "unsent") }),
        )
        .route(
            "/streamed",
            on_get(|| async {
                let frames = tokio_stream::iter(["on", "e ", "by one"]);
                Body::from_stream(frames.map(Ok::<_, Infallible>))
            }),
        )
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;

    for (_, client) in both_versions() {
        for (path, status, bytes) in [
            ("/known", 200, 4),
            ("/empty", 200, 0),
            ("/nothing", 204, 0),
            ("/fresh", 304, 0),
            ("/streamed", 200, 10),
        ] {
            let response = client.request(get(address, path)).await.unwrap();
            assert_eq!(response.status(), status);
            text(response).await;
            let told = ends.next().await;
            assert_eq!(told.outcome, Outcome::Success, "{path}");
            assert_eq!(told.status.unwrap(), status);
            assert_eq!(told.response_bytes, bytes, "{path}");
        }
        let mut head = get(address, "/known");
        *head.method_mut() = Method::HEAD;
        let response = client.request(head).await.unwrap();
        assert_eq!(header(&response, "content-length"), Some("4"));
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
    assert_eq!(ends.so_far(), []);
}

#[tokio::test]
async fn client_disconnect_before_head_cancels_call() {
    let (witness, mut ends) = witness();
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let app = Router::new()
        .route(
            "/never",
            on_get(move || async move {
                arrives.notify_one();
                pending::<()>().await
            }),
        )
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        let call = tokio::spawn(client.request(get(address, "/never")));
        within(arrived.notified()).await;
        call.abort();
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.status),
            (Outcome::Cancelled, None),
            "{version}"
        );
    }
}

#[tokio::test]
async fn client_disconnect_in_body_cancels_call() {
    let (witness, mut ends) = witness();
    let app = Router::new()
        .route(
            "/ticks",
            on_get(|| async {
                let (sender, ticks) = mpsc::channel(1);
                sender.send(Ok::<_, Infallible>("tick")).await.unwrap();
                // Never closed: only the client can end it.
                tokio::spawn(async move { sender.closed().await });
                Body::from_stream(ReceiverStream::new(ticks))
            }),
        )
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        let mut body = client
            .request(get(address, "/ticks"))
            .await
            .unwrap()
            .into_body();
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "tick");
        drop((body, client));
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Cancelled, "{version}");
        assert_eq!(told.response_bytes, 4);
    }
}

#[tokio::test]
async fn body_error_after_good_head_is_a_failure() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route(
            "/torn",
            on_get(|| async {
                let frames = tokio_stream::iter([Ok("half"), Err(TornPage(7))]);
                Body::from_stream(frames)
            }),
        )
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        assert!(is_cut_short(&client, get(address, "/torn")).await);
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Failure, "{version}");
        assert!(told.cause.contains("page 7 is torn"), "{}", told.cause);
    }
    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    assert_eq!((group.count(), group.route()), (2, Some("/torn")));
    assert_eq!(
        (group.kind(), group.message()),
        ("TornPage", "page <num> is torn")
    );
}

/// HTTP/1.1 may lose the head too: it waits in the same buffer as the first frame.
async fn is_cut_short(client: &HyperClient, request: Request<Body>) -> bool {
    match within(client.request(request)).await {
        Ok(response) => within(response.into_body().collect()).await.is_err(),
        Err(_) => true,
    }
}

#[derive(Debug)]
struct TornPage(u32);

impl fmt::Display for TornPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {} is torn", self.0)
    }
}
impl Error for TornPage {}

#[tokio::test]
async fn response_error_extension_is_recorded_with_sources() {
    #[derive(Debug)]
    struct NoInvoice(TornPage);
    impl fmt::Display for NoInvoice {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no invoice was printed")
        }
    }
    impl Error for NoInvoice {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    /// As an application's own error type would do it.
    impl IntoResponse for NoInvoice {
        fn into_response(self) -> Response {
            let mut response = StatusCode::BAD_GATEWAY.into_response();
            let error: Arc<dyn Error + Send + Sync> = Arc::new(self);
            response.extensions_mut().insert(error);
            response
        }
    }

    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route(
            "/invoices/{id}",
            on_get(|Path(id): Path<u32>| async move { Err::<(), _>(NoInvoice(TornPage(id))) }),
        )
        .layer(observe("shop").track(track).server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let request = get(address, "/invoices/7");
        assert_eq!(client.request(request).await.unwrap().status(), 502);
    }
    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    let record = group.latest().record();
    assert_eq!((group.kind(), group.count()), ("NoInvoice", 2));
    assert_eq!(record.message(), "no invoice was printed");
    assert_eq!(record.causes().collect::<Vec<_>>(), ["page 7 is torn"]);
    assert_eq!(record.route(), Some("/invoices/{id}"));
    assert_eq!(record.service(), Some("shop"));
}

#[tokio::test]
async fn error_status_is_grouped_by_route_and_status() {
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route("/fails", on_get(fails))
        .layer(observe("shop").track(track).server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        text(client.request(get(address, "/fails")).await.unwrap()).await;
    }
    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    assert_eq!((group.kind(), group.count()), ("500", 2));
    assert_eq!(group.message(), "Internal Server Error");
}

// ---- panics

#[tokio::test]
async fn handler_panic_is_answered_and_connection_survives() {
    let (meter, logs) = (meter(), logs());
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route("/panics", on_get(panics))
        .route("/orders/{id}", on_get(order))
        .layer(observe("shop").track(track).server());
    let address = serve(app).await;

    let mut sender = connect1(address).await;
    let response = sender.send_request(get(address, "/panics")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(
        header(&response, "content-type"),
        Some("application/problem+json")
    );
    let said = text(response).await;
    assert!(
        !said.contains("ink"),
        "the message is nobody's business: {said}"
    );
    within(sender.ready()).await.unwrap();
    let response = sender
        .send_request(get(address, "/orders/1"))
        .await
        .unwrap();
    assert_eq!(text(response).await, "order 1");

    let mut sender = connect2(address).await;
    let response = sender.send_request(get(address, "/panics")).await.unwrap();
    assert_eq!(response.status(), 500);
    let response = sender
        .send_request(get(address, "/orders/2"))
        .await
        .unwrap();
    assert_eq!(text(response).await, "order 2");

    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    assert_eq!(
        (group.kind(), group.message()),
        ("panic", "the ink ran out")
    );
    assert_eq!((group.count(), group.route()), (2, Some("/panics")));
    assert_eq!(meter.calls(&[("outcome", "panicked")]), 2.0);
    let labels = [
        ("error_type", "panic"),
        ("http_response_status_code", "500"),
    ];
    assert_eq!(
        meter.count("http_server_request_duration_seconds", &labels),
        2.0
    );
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(0.0));
    let line = &logs.calls()[0];
    assert_eq!(
        (line.get("error_type"), line.get("error")),
        ("panic", "the ink ran out")
    );
    assert_eq!(line.level, tracing::Level::ERROR);
}

#[tokio::test]
async fn body_panic_ends_that_call_alone() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route(
            "/panics",
            on_get(|| async {
                let frames = tokio_stream::iter(["all is well", "no"]).map(|text| match text {
                    "no" => panic!("the stream ran dry"),
                    text => Ok::<_, Infallible>(text),
                });
                Body::from_stream(frames)
            }),
        )
        .route("/orders/{id}", on_get(order))
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        assert!(is_cut_short(&client, get(address, "/panics")).await);
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Panicked, "{version}");
        assert_eq!(told.cause, "panic: the stream ran dry");
        let response = client.request(get(address, "/orders/1")).await.unwrap();
        assert_eq!(text(response).await, "order 1");
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
    assert_eq!(errors.groups()[0].count(), 2);
}

// ---- rejections

#[tokio::test]
async fn rejection_response_has_ids_and_retry_after() {
    let (meter, logs) = (meter(), logs());
    let (track, errors) = tracked("shop");
    let guards = (Correlate::default(), (track, Fuse::blown()));
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .layer(GuardLayer::server(guards));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        let mut request = get(address, "/orders/7");
        request
            .headers_mut()
            .insert("x-correlation-id", "mine".parse().unwrap());
        let response = client.request(request).await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(header(&response, "x-correlation-id"), Some("mine"));
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(header(&response, "retry-after"), Some("2"));
        assert_eq!(
            header(&response, "content-type"),
            Some("application/problem+json")
        );
        let length = header(&response, "content-length").unwrap().parse();
        let body = text(response).await;
        assert_eq!(length, Ok(body.len()), "{version}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], 503);
        assert!(!body.contains("fuse"), "guards are not named to strangers");
    }
    assert_eq!(meter.calls(&[("outcome", "rejected")]), 2.0);
    assert_eq!(errors.total(), 0, "a rejection is no error");
    let line = &logs.calls()[0];
    assert_eq!(
        (line.get("outcome"), line.get("status")),
        ("rejected", "503")
    );
    assert_eq!(line.level, tracing::Level::WARN);
}

#[tokio::test]
async fn guard_state_is_shared_across_connections() {
    let fuse = Fuse::blows_after(4);
    let sick = Arc::new(AtomicBool::new(true));
    let state = sick.clone();
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .route(
            "/maybe",
            on_get(move || {
                let sick = sick.load(Ordering::SeqCst);
                async move {
                    if sick {
                        StatusCode::INTERNAL_SERVER_ERROR
                    } else {
                        StatusCode::OK
                    }
                }
            }),
        )
        .layer(GuardLayer::server(fuse.clone()));
    let address = serve(app.clone()).await;

    // Two failures without any connection, on two clones of the service...
    for _ in 0..2 {
        let response = app.clone().oneshot(local("/maybe")).await.unwrap();
        assert_eq!(response.status(), 500);
    }
    // ...and one on each of two connections.
    let mut one = connect1(address).await;
    let mut two = connect2(address).await;
    assert_eq!(
        one.send_request(get(address, "/maybe"))
            .await
            .unwrap()
            .status(),
        500
    );
    assert_eq!(
        two.send_request(get(address, "/maybe"))
            .await
            .unwrap()
            .status(),
        500
    );
    assert!(fuse.is_blown());
    state.store(false, Ordering::SeqCst);

    // Everybody is rejected: old connections, new ones, and other routes of the same router.
    within(one.ready()).await.unwrap();
    for path in ["/maybe", "/orders/7"] {
        let response = two.send_request(get(address, path)).await.unwrap();
        assert_eq!(response.status(), 503);
        let response = connect1(address)
            .await
            .send_request(get(address, path))
            .await
            .unwrap();
        assert_eq!(response.status(), 503);
        let response = app.clone().oneshot(local(path)).await.unwrap();
        assert_eq!(response.status(), 503);
    }
    assert_eq!(
        one.send_request(get(address, "/maybe"))
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!((fuse.admitted(), fuse.failures()), (4, 4));
}

#[tokio::test]
async fn handler_can_return_a_rejection() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let closed = async || {
        let why = Rejection::rate_limited("till").with_retry_after(Duration::from_secs(3));
        Err::<(), _>(why)
    };
    let app = Router::new()
        .route("/pay", on_get(closed))
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/pay")).await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after"), Some("3"));
        text(response).await;
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Rejected);
        assert_eq!(told.cause, r#"rejected by "till": rate_limited"#);
    }
    assert_eq!(errors.total(), 0);
}

#[tokio::test]
async fn inner_rejection_is_rejected_for_every_layer() {
    let (outer, mut outer_ends) = witness();
    let (inner, mut inner_ends) = witness();
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(order).layer(GuardLayer::server((inner, Fuse::blown()))),
        )
        .layer(GuardLayer::server(outer));
    let address = serve(app).await;

    for (_, client) in both_versions() {
        text(client.request(get(address, "/orders/7")).await.unwrap()).await;
        for ends in [&mut outer_ends, &mut inner_ends] {
            let Told { outcome, cause, .. } = ends.next().await;
            assert_eq!(outcome, Outcome::Rejected);
            assert_eq!(cause, r#"rejected by "fuse": circuit_open"#);
        }
    }
}

// ---- contexts

#[tokio::test]
async fn context_extractors_in_handler_agree() {
    async fn below() -> Option<Context> {
        tokio::task::yield_now().await;
        Context::current()
    }
    let app = Router::new()
        .route(
            "/",
            on_get(
                async |Extension(extension): Extension<Context>,
                       extracted: Context,
                       optional: Option<Context>| {
                    assert_eq!(extension, extracted);
                    assert_eq!(optional.as_ref(), Some(&extracted));
                    assert_eq!(Context::current().as_ref(), Some(&extracted));
                    assert_eq!(below().await.as_ref(), Some(&extracted));
                    extracted.correlation_id().to_owned()
                },
            ),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let mut request = get(address, "/");
        let id = "mine".parse().unwrap();
        request.headers_mut().insert("x-correlation-id", id);
        let response = client.request(request).await.unwrap();
        assert_eq!(text(response).await, "mine");
    }
}

#[tokio::test]
async fn context_extractor_without_layer_names_the_layer() {
    let app = Router::new()
        .route("/must", on_get(async |_: Context| ()))
        .route(
            "/may",
            on_get(async |call: Option<Context>| format!("{}", call.is_none())),
        );
    let response = app.clone().oneshot(local("/must")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(
        text(app.oneshot(local("/may")).await.unwrap()).await,
        "true"
    );
}

// ---- requests

#[tokio::test]
async fn request_body_passes_unchanged() {
    let app = Router::new()
        .route("/echo", on_post(|body: Bytes| async move { body }))
        .layer(observe("shop").server());
    let address = serve(app).await;
    let sent = "x".repeat(300_000);

    for (_, client) in both_versions() {
        let frames = tokio_stream::iter([Ok::<_, Infallible>(sent.clone()), Ok("end".into())]);
        let mut request = get(address, "/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = Body::from_stream(frames);
        let received = text(client.request(request).await.unwrap()).await;
        assert_eq!(received, format!("{sent}end"));
    }
}

/// The content type of a request is its sender's: with it, anybody could make a failure of every good answer, and
/// open the server's breakers.
#[tokio::test]
async fn grpc_content_type_on_plain_route_is_no_failure() {
    let meter = meter();
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .route("/fails", on_get(fails))
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;
    for (_, client) in both_versions() {
        for (path, outcome) in [
            ("/orders/7", Outcome::Success),
            ("/nowhere", Outcome::ClientError),
            ("/fails", Outcome::Failure),
        ] {
            let mut request = get(address, path);
            let grpc = "application/grpc".parse().unwrap();
            request.headers_mut().insert("content-type", grpc);
            text(client.request(request).await.unwrap()).await;
            assert_eq!(ends.next_outcome().await, outcome, "{path}");
        }
    }
    let kinds: Vec<_> = errors
        .groups()
        .iter()
        .map(|group| group.kind().to_owned())
        .collect();
    assert_eq!(kinds, ["500"]);
    // Nor does a path become a method's name by it.
    assert!(!meter.render().contains("orders/7"), "{}", meter.render());
}

#[tokio::test]
async fn graceful_shutdown_waits_for_guarded_bodies() {
    let (witness, mut ends) = witness();
    let (sender, chunks) = mpsc::channel::<Result<&'static str, Infallible>>(1);
    let chunks = Arc::new(std::sync::Mutex::new(Some(chunks)));
    let app = Router::new()
        .route(
            "/slow",
            on_get(move || {
                let chunks = chunks.lock().unwrap().take().unwrap();
                async { Body::from_stream(ReceiverStream::new(chunks)) }
            }),
        )
        .layer(GuardLayer::server(witness));
    let (listener, address) = listen().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let server = axum::serve(listener, app);
        server
            .with_graceful_shutdown(async { stopped.await.unwrap() })
            .await
    });

    let mut sender1 = connect1(address).await;
    let response = sender1.send_request(get(address, "/slow")).await.unwrap();
    stop.send(()).unwrap();
    sender.send(Ok("last words")).await.unwrap();
    drop(sender);
    assert_eq!(text(response).await, "last words");
    assert_eq!(ends.next_outcome().await, Outcome::Success);
    within(server).await.unwrap().unwrap();
}
