//! reqwest's client under the layers, over real connections.

mod errors;
mod requests;
mod retries;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    response::Redirect,
    routing::{get, put},
};
use http::{HeaderMap, StatusCode};
use tower_keep::retry::{Backoff, Retry, RetryLayer};

use crate::support::serve;

/// A peer that redirects, echoes, tells the headers that it got, and fails as often as it is told to.
async fn peer(failures: u32) -> (SocketAddr, Arc<AtomicU32>) {
    let calls = Arc::<AtomicU32>::default();
    let counted = calls.clone();
    let unreliable = move |body: Bytes| async move {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        if call < failures {
            return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
        }
        (StatusCode::OK, body)
    };
    let hang = || std::future::pending::<()>();
    let app = Router::new()
        .route("/old", get(|| async { Redirect::temporary("/new") }))
        .route("/old", put(|| async { Redirect::temporary("/echo") }))
        .route("/new", get(|| async { Json(vec!["an order"]) }))
        .route("/echo", put(|body: Bytes| async { body }))
        .route("/headers", get(headers))
        .route("/hang", get(hang))
        .route("/away", get(|| async { Redirect::temporary("ftp://x/") }))
        .route("/", get(unreliable.clone()).put(unreliable));
    (serve(app).await, calls)
}

async fn headers(headers: HeaderMap) -> String {
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text")));
    lines.collect()
}

/// Three attempts, one right after the other.
fn retry() -> RetryLayer<tower_keep::protocol::Client> {
    let retry = Retry::builder("reqwest")
        .max_attempts(3)
        .backoff(Backoff::constant(Duration::ZERO))
        .budget(None);
    RetryLayer::client(retry.build().expect("valid settings"))
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}
