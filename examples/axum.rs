//! An axum app with one layer: correlated, tracked, timed, errors grouped, panics caught.
//!
//! `cargo run --example axum --features axum,logging` asks itself for each route, so that there is something to see,
//! and serves until Ctrl-C: `curl -i -H 'x-correlation-id: demo-1' 127.0.0.1:3000/orders/7`. With `-- --demo` it only
//! asks.

use std::{error::Error, io, sync::Arc};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::Path,
    http::{Request, StatusCode},
    response::IntoResponse,
    routing::get,
};
use tower::ServiceExt;
use tower_keep::{Context, ErrorTracker, observe};

async fn order(context: Context, Path(id): Path<u32>) -> String {
    tracing::info!(id, "this line carries the call's IDs");
    format!("order {id}, asked for in {}\n", context.correlation_id())
}

/// Leaves the error behind for the tracker, which would see nothing but a 500 otherwise.
async fn broken() -> impl IntoResponse {
    let error: Arc<dyn Error + Send + Sync> = Arc::new(io::Error::other("the disk is full"));
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        Extension(error),
        "no luck\n",
    )
}

async fn panics() -> &'static str {
    panic!("this order does not exist")
}

/// Lists the faults so far, grouped.
async fn errors() -> String {
    let groups = ErrorTracker::global().groups();
    let lines = groups.iter().map(|group| {
        let record = group.latest().record();
        let id = record.correlation_id().unwrap_or("?");
        let place = record.location().map(|place| format!(", at {place}"));
        let place = place.unwrap_or_default();
        format!(
            "{:>4} x {} (last in {id}{place})\n",
            group.count(),
            group.grouping_key()
        )
    });
    lines.collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tower_keep::logging::install()?;
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .route("/broken", get(broken))
        .route("/panics", get(panics))
        .route("/errors", get(errors))
        .layer(observe("orders").server());

    for path in ["/orders/7", "/broken", "/panics", "/nowhere", "/errors"] {
        let request = Request::get(path).header("x-correlation-id", "demo-1");
        let response = app.clone().oneshot(request.body(Body::empty())?).await?;
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 16).await?;
        let body = String::from_utf8_lossy(&body);
        println!("GET {path}: {status}\n{}\n", body.trim_end());
    }
    if std::env::args().any(|arg| arg == "--demo") {
        return Ok(());
    }

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
