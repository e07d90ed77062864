//! No HTTP at all: a plain service inside of one layer, and a piece of work that is tracked by name.
//!
//! `cargo run --example service_fn --features logging`, with `RUST_LOG=debug` for a line per operation.

use std::{io, time::Duration};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{BoxError, ErrorTracker, observe, operation};

async fn look_up(symbol: &'static str) -> io::Result<f64> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    match symbol {
        "KEEP" => Ok(42.0),
        unknown => Err(io::Error::other(format!("no quote for \"{unknown}\""))),
    }
}

async fn quote(symbol: &'static str) -> io::Result<f64> {
    operation("look_up")
        .kind("db")
        .slow(Duration::from_millis(10))
        .input(symbol)
        .run(look_up(symbol))
        .await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tower_keep::logging::install()?;
    let mut quotes = ServiceBuilder::new()
        .layer(observe("quotes").any())
        .service(service_fn(quote));
    for symbol in ["KEEP", "MOAT", "KEEP"] {
        match quotes.ready().await?.call(symbol).await {
            Ok(price) => println!("{symbol}: {price}"),
            Err(error) => println!("{symbol}: {error}"),
        }
    }
    for group in ErrorTracker::global().groups() {
        println!("{} x {}", group.count(), group.grouping_key());
    }
    Ok(())
}
