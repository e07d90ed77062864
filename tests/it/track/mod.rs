//! The measures, log lines and marks of each call, over real connections where they matter.

mod access_log;
mod apply;
mod bodies;
mod errors;
mod metrics;
mod series;
mod settings;
mod spans;
mod stacks;
mod streams;
mod times;

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Path,
    routing::{any as on_any, get as on_get, post as on_post},
};
use http::StatusCode;
use tower_keep::{ErrorTracker, Track, observe, track::TrackBuilder};

const DURATION: &str = "http_server_request_duration_seconds";

const ACTIVE: &str = "http_server_active_requests";

/// Settings with an error tracker of their own.
fn track() -> TrackBuilder {
    Track::builder("shop").errors(ErrorTracker::default())
}

/// A router with a route for each way to answer.
fn shop() -> Router {
    Router::new()
        .route(
            "/orders/{id}",
            on_any(async |Path(id): Path<u32>| format!("order {id}")),
        )
        .route("/status/{code}", on_get(status))
        .route(
            "/panics",
            on_get(async || -> () { panic!("the ink ran out") }),
        )
        .route("/livez", on_get(async || "alive"))
        .route("/echo", on_post(async |body: axum::body::Bytes| body))
}

async fn status(Path(code): Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}

fn guarded(track: TrackBuilder) -> Router {
    let track = track.build().expect("a tracker");
    shop().layer(observe(track).server())
}

/// Answers after the milliseconds that the path says.
fn sleepy(track: TrackBuilder) -> Router {
    let sleep = async |Path(millis): Path<u64>| {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        "late"
    };
    let slow_body = async |Path(millis): Path<u64>| {
        let slow = async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, Infallible>("late")
        };
        Body::from_stream(futures_util::stream::once(slow))
    };
    Router::new()
        .route("/sleep/{millis}", on_get(sleep))
        .route("/body/{millis}", on_get(slow_body))
        .route("/export/{millis}", on_get(sleep))
        .layer(observe(track.build().unwrap()).server())
}
