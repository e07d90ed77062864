//! A service with its operations console: `cargo run --example console --features ops-logs,logging` prints the link.

use axum::{Router, extract::Path, routing::get};
use tower_keep::{
    BoxError, observe,
    ops::{Access, Ops, health::Check},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let filter = tower_keep::logging::builder().install_reloadable()?;
    let ops = Ops::builder("orders")
        .version(env!("CARGO_PKG_VERSION"))
        .check(Check::tcp("self", "127.0.0.1:3000").critical())
        .log_filter(filter)
        .allow_control(true)
        .build()?;
    ops.install()?;
    let access = Access::login_links();
    println!("http://127.0.0.1:3000/ops/{}", access.login_link()?);
    let app = Router::new()
        .route(
            "/orders/{id}",
            get(async |Path(id): Path<u32>| format!("order {id}\n")),
        )
        .layer(observe("orders").server())
        .merge(ops.probes())
        .nest_service("/ops", ops.console::<()>(access)); // after the layer: what the console is asked is no call
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
