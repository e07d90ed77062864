//! The sending side: one pooled client for HTTP/1.1 and one for HTTP/2, chosen by the request's version.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::BoxError;
use super::http2_unsupported::Http2Unsupported;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Shorter than what servers commonly use, so that the pool seldom hands out a connection that is being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(15);
/// An HTTP/2 upstream that vanished is noticed after one interval and one answer time.
const PING_EVERY: Duration = Duration::from_secs(10);
/// The bytes that one HTTP/2 stream may have under way: as much waits here for a client that does not read.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all streams of a connection. Everybody's calls share it, so it must never be what they wait for: a few
/// clients that do not read would hold up all others.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Sends requests to wherever their URI says; clones share their connections.
///
/// Generic over the request's body, so that a layer may replay or wrap it.
pub struct UpstreamClient<B> {
    http1: Client<HttpConnector, B>,
    http2: Client<HttpConnector, B>,
    /// True if the upstream ever did.
    speaks_http2: Arc<AtomicBool>,
}

impl<B> UpstreamClient<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        Self {
            http1: pooled().build(connector.clone()),
            http2: pooled().http2_only(true).build(connector),
            speaks_http2: Arc::default(),
        }
    }
}

fn pooled() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_LIMIT)
        .pool_max_idle_per_host(64)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY);
    builder
}

impl<B> Clone for UpstreamClient<B> {
    fn clone(&self) -> Self {
        Self {
            http1: self.http1.clone(),
            http2: self.http2.clone(),
            speaks_http2: Arc::clone(&self.speaks_http2),
        }
    }
}

impl<B> Service<Request<B>> for UpstreamClient<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.version() != Version::HTTP_2 {
            let answer = self.http1.request(request);
            return Box::pin(async move { Ok(answer.await?) });
        }
        let answer = self.http2.request(request);
        let spoken = Arc::clone(&self.speaks_http2);
        Box::pin(async move {
            match answer.await {
                Ok(response) => {
                    spoken.store(true, Ordering::Relaxed);
                    Ok(response)
                }
                Err(error) if error.is_connect() || spoken.load(Ordering::Relaxed) => {
                    Err(error.into())
                }
                Err(error) => Err(Http2Unsupported(error.into()).into()),
            }
        })
    }
}
