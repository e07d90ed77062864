//! `grpc-timeout`, as a stack of layers sends it.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt, service_fn, util::MapRequestLayer};
use tower_keep::{
    CircuitBreaker,
    retry::{Backoff, ReplayBody, Retry, RetryLayer},
    timeout::TimeoutLayer,
};

use super::SECOND;

const WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct Writes(Arc<AtomicU32>);

impl Writes {
    /// Counts the requests whose `grpc-timeout` was written since the last of these layers. Each marks the value, and one that is
    /// written anew has no mark.
    fn layer<B>(&self) -> MapRequestLayer<impl Fn(Request<B>) -> Request<B> + Clone + use<B>> {
        let writes = self.0.clone();
        MapRequestLayer::new(move |mut request: Request<B>| {
            let value = request.headers_mut().get_mut("grpc-timeout");
            let value = value.expect("a time limit");
            writes.fetch_add(u32::from(!value.is_sensitive()), Ordering::Relaxed);
            value.set_sensitive(true);
            request
        })
    }
}

/// Calls a peer that is away at first through the README's stack. Returns how often `grpc-timeout` was written, by the caller
/// too, and what the peer got.
async fn writes_of_two_attempts(timeout: Option<&str>) -> (u32, Vec<String>) {
    let (writes, seen) = (Writes::default(), std::sync::Mutex::default());
    let peer = |request: Request<ReplayBody<Full<Bytes>>>| {
        let left = request.headers()["grpc-timeout"].to_str().expect("text");
        let mut seen = seen.lock().expect("no panic");
        Vec::push(&mut *seen, left.to_owned());
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", if seen.len() == 1 { "14" } else { "0" });
        ready(Ok::<_, Infallible>(
            response.body(Full::<Bytes>::default()).expect("a response"),
        ))
    };
    let retry = Retry::builder("peer").backoff(Backoff::constant(WAIT));
    let retry = RetryLayer::grpc_client(retry.build().expect("settings"));
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::grpc_client(10 * SECOND).send_limit())
        .layer(writes.layer())
        .layer(retry.retry_if_request(|_| true))
        .layer(writes.layer())
        .layer(CircuitBreaker::new("peer").layer().grpc_client())
        .layer(writes.layer())
        .layer(TimeoutLayer::grpc_client(20 * SECOND).send_limit())
        .layer(writes.layer())
        .service(service_fn(peer));
    let mut request =
        Request::post("/shop.Stock/Reserve").header("content-type", "application/grpc");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let request = request.body(Full::default()).expect("a request");
    let response = stack.oneshot(request).await.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "0");
    let count = writes.0.load(Ordering::Relaxed);
    (count, seen.into_inner().expect("no panic"))
}

#[tokio::test(start_paused = true)]
async fn grpc_timeout_is_written_once_for_each_attempt() {
    for (timeout, sent) in [
        (None, ["10000000u", "9000000u"]),
        (Some("1H"), ["10000000u", "9000000u"]),
        (Some("5S"), ["5S", "4000000u"]),
    ] {
        let (writes, seen) = writes_of_two_attempts(timeout).await;
        assert_eq!(seen, sent);
        // The caller's own counts as that of the first attempt where nothing is shorter.
        assert_eq!(writes, 2, "{timeout:?}");
    }
}
