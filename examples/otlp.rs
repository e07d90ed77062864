//! A service that exports its traces, metrics and logs to an OpenTelemetry collector:
//! `cargo run --example otlp --features logging,ops-otlp`, with a collector such as that of `examples/stack`.
//!
//! The collector is named by the `OTEL_*` variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318`.

use std::time::Duration;

use axum::{Router, extract::Path, routing::get};
use tower_keep::{
    BoxError, logging, observe,
    ops::{
        Ops,
        otlp::{Otlp, Signal},
    },
};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let otlp = Otlp::builder()
        .service("orders")
        .attribute("service.version", env!("CARGO_PKG_VERSION"))
        .build()?;
    let logging = logging::builder();
    tracing_subscriber::registry()
        .with(logging.filter()?) // what it drops is neither logged nor exported
        .with(otlp.layer())
        .with(logging.layer()?)
        .init();
    let ops = Ops::builder("orders").build()?;
    ops.install()?; // the recorder whose metrics are exported

    let app = Router::new()
        .route("/orders/{id}", get(order))
        .layer(observe("orders").server())
        .merge(ops.probes());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;

    if let Err(error) = otlp.shutdown(Duration::from_secs(5)).await {
        eprintln!("{error}");
    }
    println!("traces: {:?}", otlp.stats(Signal::Traces));
    Ok(())
}

async fn order(Path(id): Path<u32>) -> String {
    tracing::info!(id, "this line has the trace of the call");
    format!("order {id}\n")
}
