//! An axum app with one layer: correlated, tracked, timed, errors grouped, panics caught.
//!
//! `cargo run --example axum --features axum,logging`, then
//! `curl -i -H 'x-correlation-id: demo-1' 127.0.0.1:3000/orders/7`, and `/broken`, `/panics`, `/errors`.

use std::{error::Error, io, sync::Arc};

use axum::{
    Extension, Router, extract::Path, http::StatusCode, response::IntoResponse, routing::get,
};
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

/// What went wrong so far, grouped.
async fn errors() -> String {
    let groups = ErrorTracker::global().groups();
    let lines = groups.iter().map(|group| {
        let id = group.latest().record().correlation_id().unwrap_or("?");
        format!("{:>4} x {} (last in {id})\n", group.count(), group.why())
    });
    lines.collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tower_keep::logging::init()?;
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .route("/broken", get(broken))
        .route("/panics", get(panics))
        .route("/errors", get(errors))
        .layer(observe("orders").server());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
