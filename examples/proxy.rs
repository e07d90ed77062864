//! A reverse proxy: an axum app that is observed, in front of a client with time limits, retries and a circuit breaker.
//!
//! `cargo run --example proxy --all-features` starts an upstream that fails every other time and then hangs, sends a few
//! requests through the proxy, and prints what clients get. `-- http://127.0.0.1:9000` forwards to a real server instead,
//! on `127.0.0.1:8080`, until Ctrl-C. `examples/gateway` is a proxy with all that a real one needs: upgrades, trailers,
//! graceful shutdown, metrics, an admin port.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, Uri, Version, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, CircuitBreaker, Rejection,
    call::{Elapsed, find},
    observe,
    retry::{ReplayBody, Retry, RetryLayer},
    timeout::{TimeoutLayer, Timeouts},
};

/// Headers of one connection, which a proxy does not forward.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Builds the proxy in front of one upstream, `http://host:port`.
fn proxy(upstream: &str) -> Result<Router, BoxError> {
    let timeouts = Timeouts::builder("upstream")
        .attempt(Duration::from_millis(500))
        .total(Duration::from_secs(2))
        .build()?;
    let breaker = CircuitBreaker::builder("upstream")
        .consecutive_failures(5)
        .open_time(Duration::from_secs(1))
        .build()?;
    // The outermost layer comes first.
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::client(timeouts.total()))
        .layer(RetryLayer::client(Retry::new("upstream")))
        .layer(breaker.layer().client())
        .layer(observe("upstream").client())
        .layer(TimeoutLayer::client(timeouts.attempt()))
        .service(Client::builder(TokioExecutor::new()).build_http::<ReplayBody<Body>>());
    let upstream: Arc<str> = upstream.trim_end_matches('/').into();
    let forward = move |request| forward(client.clone(), upstream.clone(), request);
    // One layer: IDs, span, metrics, log line, error groups, panics.
    Ok(Router::new()
        .fallback(forward)
        .layer(observe("proxy").server()))
}

/// Forwards one request, and its body as it comes.
async fn forward<S, B>(client: S, upstream: Arc<str>, mut request: Request) -> Response
where
    S: Service<Request, Response = Response<B>, Error = BoxError>,
    B: http_body::Body<Data = bytes::Bytes, Error = BoxError> + Send + 'static,
{
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("{upstream}{path}").parse::<Uri>() else {
        return (StatusCode::BAD_REQUEST, "the path cannot be forwarded\n").into_response();
    };
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    // The client sends the upstream's.
    request.headers_mut().remove(header::HOST);
    strip(request.headers_mut());
    match client.oneshot(request).await {
        Ok(mut response) => {
            strip(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) => failed(error),
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Answers a call that has no response: a rejection of this process, a time limit, or an upstream that cannot be reached.
fn failed(error: BoxError) -> Response {
    if let Some(rejection) = Rejection::find(&*error) {
        return rejection.clone().into_response();
    }
    let status = match find::<Elapsed>(&*error) {
        Some(_) => StatusCode::GATEWAY_TIMEOUT,
        None => StatusCode::BAD_GATEWAY,
    };
    // The tracker reads the cause from here; the client does not see it.
    let cause: Arc<dyn Error + Send + Sync> = error.into();
    (status, Extension(cause), "no response from upstream\n").into_response()
}

/// Starts an upstream with one path that fails every other time and one that hangs.
async fn start_upstream() -> Result<String, BoxError> {
    let calls = AtomicU32::new(0);
    let flaky = move || {
        let fails = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let status = if fails {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        std::future::ready(status)
    };
    let flaky = Arc::new(flaky);
    let app = Router::new()
        .route("/flaky", get(move || flaky()))
        .route("/hang", get(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tower_keep::logging::install()?;
    if let Some(upstream) = std::env::args().nth(1) {
        let listener = TcpListener::bind("127.0.0.1:8080").await?;
        println!("forwarding http://{} to {upstream}", listener.local_addr()?);
        let stop = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        let server = axum::serve(listener, proxy(&upstream)?);
        return Ok(server.with_graceful_shutdown(stop).await?);
    }
    let app = proxy(&start_upstream().await?)?;
    // Each hanging request is tried for as long as the limits allow; after five attempts the circuit opens.
    for path in ["/flaky", "/flaky", "/hang", "/hang", "/hang", "/flaky"] {
        let request = Request::get(path).body(Body::empty())?;
        let response = app.clone().oneshot(request).await?;
        let (status, body) = (response.status(), response.into_body());
        let body = to_bytes(body, 1 << 16).await?;
        println!("GET {path}: {status} {}", String::from_utf8_lossy(&body));
    }
    Ok(())
}
