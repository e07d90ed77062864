//! A reqwest client that is hard to bring down: time limits, retries within a budget, a circuit for each host; with
//! reqwest's own requests and responses.
//!
//! `cargo run --example reqwest --features logging,reqwest`. Its peer redirects, and fails every other time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, http::StatusCode, response::Redirect, routing::get};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_keep::{
    BoxError,
    breaker::KeyedBreaker,
    observe,
    reqwest::{LayeredClient, service},
    retry::{Attempt, Retry, RetryLayer},
    timeout::{TimeoutLayer, Timeouts},
};

/// Serves quotes, every other time.
async fn peer() -> Result<SocketAddr, BoxError> {
    let calls = Arc::new(AtomicU32::new(0));
    let quotes = move || async move {
        if calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        Ok(Json([42, 43]))
    };
    let app = Router::new()
        .route("/", get(|| async { Redirect::temporary("/quotes") }))
        .route("/quotes", get(quotes));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tower_keep::logging::install()?;
    let address = peer().await?;

    let timeouts = Timeouts::builder("quotes")
        .attempt(Duration::from_secs(1))
        .total(Duration::from_secs(5))
        .build()?;
    let hosts: KeyedBreaker<String> = KeyedBreaker::new("quotes");
    let http = reqwest::Client::new();
    // Outermost first.
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::client(timeouts.total()))
        .layer(RetryLayer::client(Retry::new("quotes")))
        .layer(hosts.layer().client())
        .layer(observe("quotes").client())
        .layer(TimeoutLayer::client(timeouts.attempt()))
        .service(service(http.clone()));
    let client = LayeredClient::new(stack);

    for page in 1..=3 {
        let request = http.get(format!("http://{address}/"));
        let response = client.send(request.query(&[("page", page)])).await?;
        let attempt = response.extensions().get().map_or(1, Attempt::number);
        let url = response.url().clone();
        let quotes: Vec<u32> = response.error_for_status()?.json().await?;
        println!("{quotes:?} from {url}, attempt {attempt}");
    }
    Ok(())
}
