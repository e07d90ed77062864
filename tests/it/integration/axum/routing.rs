//! The places where the layer may stand, and the routes that it learns there.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    handler::Handler,
    response::Response,
    routing::get as on_get,
};
use http::{Method, Request, StatusCode};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{GuardLayer, observe, track::RouteLayer};

use super::{fails, order};
use crate::support::{
    both_versions, get, guards::Fuse, header, listen, local, logs::logs, meter::meter, serve, text,
};

fn is_infallible<S: Service<Request<Body>, Error = Infallible>>(_: &S) {}

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
