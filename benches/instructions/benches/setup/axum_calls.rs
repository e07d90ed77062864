//! Routers, and the requests that are made of them.

use std::hint::black_box;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use http::{Request, StatusCode};
use tower_keep::observe;

use super::{Call, poll};

pub fn route() -> Router {
    let create = post(async |order: Bytes| order.len().to_string());
    Router::new()
        .route("/orders/{id}", get(|| async { "hello" }))
        .route("/orders", create)
        .route(
            "/failing",
            get(|| async { StatusCode::INTERNAL_SERVER_ERROR }),
        )
}

pub fn observed() -> Router {
    route().layer(observe("bench").server())
}

fn exchange(router: Router, request: impl Fn() -> Request<Body> + 'static) -> Call {
    // As `axum::serve` does once: without it, each call builds the route and its layers anew.
    let mut router = router.with_state(());
    Box::new(move || drop(black_box(poll::exchange(&mut router, request()))))
}

pub fn axum(router: Router) -> Call {
    exchange(router, || {
        let request = Request::get("/orders/7").body(Body::empty());
        request.expect("a request")
    })
}

/// A request as a browser sends it through a proxy.
pub fn axum_headers(router: Router) -> Call {
    const HEADERS: [(&str, &str); 10] = [
        ("host", "shop.example"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("accept", "application/json, text/plain, */*"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        (
            "cookie",
            "session=0af7651916cd43dd8448eb211c80319c; theme=dark",
        ),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "6475ea40453185faf95c0f87c4ab98f1"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    exchange(router, || {
        let request = HEADERS
            .iter()
            .fold(Request::get("/orders/7"), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.body(Body::empty()).expect("a request")
    })
}

/// A JSON body of 2 KiB, which the handler reads.
pub fn axum_body(router: Router) -> Call {
    const BODY: &[u8] = &[b' '; 2_048];
    exchange(router, || {
        let request = Request::post("/orders")
            .header("content-type", "application/json")
            .header("content-length", BODY.len())
            .body(Body::from(BODY));
        request.expect("a request")
    })
}

pub fn axum_failing(router: Router) -> Call {
    exchange(router, || {
        let request = Request::get("/failing").body(Body::empty());
        request.expect("a request")
    })
}
