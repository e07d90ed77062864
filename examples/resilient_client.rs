//! A hyper client that is hard to bring down: time limits, retries within a budget, a circuit breaker, a fallback.
//!
//! `cargo run --example resilient_client --all-features`. Its peer fails every other time, is then taken away, and comes
//! back in good health: watch what the caller gets.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, CircuitBreaker, FallbackLayer,
    fallback::{FailedCall, Fallback, FallbackInfo},
    registry,
    retry::{Retry, RetryLayer},
    timeout::{TimeoutLayer, Timeouts},
};

/// Answers for as long as the future is polled; if it is flaky, it fails every other time.
async fn peer(listener: TcpListener, flaky: bool) -> Result<(), BoxError> {
    let calls = Arc::new(AtomicU32::new(0));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let calls = calls.clone();
        let answer = service_fn(move |_: Request<Incoming>| {
            let number = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                let mut response = Response::new(Full::new(Bytes::from("fresh")));
                if flaky && number.is_multiple_of(2) {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok::<_, Infallible>(response)
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// Better than nothing.
fn stale(_: &FailedCall<'_>) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from("this morning's")))
}

/// Calls a few times, and prints what each call came to.
async fn ask<S, B>(client: &mut S, address: SocketAddr, times: usize) -> Result<(), BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = BoxError>,
    B: http_body::Body<Data = Bytes, Error = BoxError>,
{
    for _ in 0..times {
        let request = Request::get(format!("http://{address}/")).body(Empty::new())?;
        let response = client.ready().await?.call(request).await?;
        let instead = response
            .extensions()
            .get::<FallbackInfo>()
            .map(FallbackInfo::outcome);
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body);
        match instead {
            Some(outcome) => println!("  {status} {body:?}, a fallback for: {outcome}"),
            None => println!("  {status} {body:?}"),
        }
    }
    for guard in registry::snapshots() {
        if guard.kind() == "circuit_breaker" {
            println!("  the circuit is {}", guard.state());
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;

    let timeouts = Timeouts::builder("quotes")
        .attempt(Duration::from_secs(1))
        .total(Duration::from_secs(5))
        .build()?;
    let breaker = CircuitBreaker::builder("quotes")
        .consecutive_failures(5)
        .open_time(Duration::from_millis(200))
        .build()?;
    // Outermost first.
    let mut client = ServiceBuilder::new()
        .layer(FallbackLayer::client(Fallback::new("quotes")).with(stale))
        .layer(TimeoutLayer::client(timeouts.total()))
        .layer(RetryLayer::client(Retry::new("quotes")))
        .layer(breaker.layer().client())
        .layer(TimeoutLayer::client(timeouts.attempt()))
        .service(Client::builder(TokioExecutor::new()).build_http());

    println!("the peer fails every other time:");
    let running = tokio::spawn(peer(listener, true));
    ask(&mut client, address, 4).await?;

    println!("the peer is gone:");
    running.abort();
    let _ = running.await;
    ask(&mut client, address, 4).await?;

    println!("the peer is back:");
    tokio::spawn(peer(TcpListener::bind(address).await?, false));
    sleep(Duration::from_millis(400)).await;
    ask(&mut client, address, 4).await
}
