//! The parts that several of the integration tests use: servers and clients on the loopback, a guard that tells how calls
//! ended, one that rejects, a storm of calls, and a subscriber and a recorder that remember.

#[path = "../../support/callsites.rs"]
pub mod callsites;
#[cfg(all(feature = "hyper", feature = "tonic"))]
pub mod frames;
pub mod guards;
pub mod listing;
pub mod logs;
pub mod meter;
#[path = "../../support/nobody.rs"]
mod nobody;
pub mod scripted;
pub mod storm;

use std::{
    env,
    future::Future,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::Service;
use tower_keep::BoxError;

pub use nobody::nobody;

/// Set in the process of a test that has one of its own.
const ALONE: &str = "TOWER_KEEP_ALONE";

/// Does the work of a test, which it names by its path, in a process of its own. Its stderr is not shown: what nobody
/// hears of a panic goes there.
pub fn alone(test: &str, work: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return work();
    }
    let program = env::current_exe().expect("this program");
    let child = Command::new(program)
        .args([test, "--exact"])
        .env(ALONE, "1")
        .stderr(Stdio::null())
        .output();
    let output = child.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("1 passed"), "{said}");
}

/// The same for a test under a paused clock.
pub fn alone_paused(test: &str, work: impl AsyncFnOnce()) {
    alone(test, || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(work());
    });
}

/// A safety net, never a way to wait.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("within 20 s")
}

/// Serves HTTP/1.1 and HTTP/2 on a free port of the loopback until the test ends.
pub async fn serve(app: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Serves on hyper alone.
pub async fn serve_hyper<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

pub type HyperClient = Client<HttpConnector, Body>;

pub fn http1() -> HyperClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// With prior knowledge, as there is no TLS to agree on it.
pub fn http2() -> HyperClient {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

/// Both versions, with what metrics and logs call them.
pub fn both_versions() -> [(&'static str, HyperClient); 2] {
    [("1.1", http1()), ("2", http2())]
}

/// One connection of HTTP/1.1, for what a pool would hide.
pub async fn connect1(to: SocketAddr) -> http1::SendRequest<Body> {
    let stream = TcpStream::connect(to).await.expect("a connection");
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    tokio::spawn(connection.with_upgrades());
    sender
}

/// One connection of HTTP/2.
pub async fn connect2(to: SocketAddr) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(to).await.expect("a connection");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    sender
}

pub fn get(to: SocketAddr, path: &str) -> Request<Body> {
    Request::get(format!("http://{to}{path}"))
        .body(Body::empty())
        .expect("a request")
}

/// A request for a service that is called without any connection.
pub fn local(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

pub async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let body = within(response.into_body().collect()).await;
    let bytes = body.expect("a whole body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

pub fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("text"))
}
