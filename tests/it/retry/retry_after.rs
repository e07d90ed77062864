//! A peer that says when it may be asked again.

use std::{future::ready, io::Error, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_keep::retry::{Backoff, RetryLayer};

use super::{GRPC, Sent, WAIT, constant_backoff};

/// `Retry-After: 0` made three attempts in no time, whatever the backoff.
#[tokio::test(start_paused = true)]
async fn retry_after_does_not_shorten_the_backoff() {
    let layer = || RetryLayer::client(constant_backoff().max_attempts(3).build().unwrap());
    assert_eq!(
        measure_wait(layer(), &[("retry-after", "0")]).await,
        2 * WAIT
    );
    let past = &[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")];
    assert_eq!(measure_wait(layer(), past).await, 2 * WAIT);
    let longer = measure_wait(layer(), &[("retry-after", "1")]).await;
    assert_eq!(longer, Duration::from_secs(2));
    // gRPC's pushback takes its place.
    let pushback = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "0")];
    assert_eq!(measure_wait(layer(), pushback).await, Duration::ZERO);
}

/// A peer that is asked to come back at once again and again does not keep its clients' backoff at its beginning.
#[tokio::test(start_paused = true)]
async fn retry_after_lets_the_backoff_grow() {
    let doubling = Backoff::exponential(WAIT).jitter(tower_keep::retry::Jitter::None);
    let retry = constant_backoff()
        .max_attempts(4)
        .backoff(doubling)
        .build()
        .unwrap();
    let waits = measure_wait(RetryLayer::client(retry), &[("retry-after", "0")]).await;
    assert_eq!(waits, 7 * WAIT);
}

#[tokio::test(start_paused = true)]
async fn retry_after_reader_is_configurable() {
    let layer = || {
        let retry = constant_backoff().max_attempts(2).build().unwrap();
        RetryLayer::client(retry).read_retry_after(|head| {
            let wait = head.headers.get("retry-after-ms")?.to_str().ok()?;
            let wait = Duration::from_millis(wait.parse().ok()?);
            Some(tower_keep::retry::RetryAfter::NotBefore(wait))
        })
    };
    let both = &[("retry-after-ms", "700"), ("retry-after", "3")];
    assert_eq!(
        measure_wait(layer(), both).await,
        Duration::from_millis(700)
    );
    let other = &[("retry-after-ms", "soon"), ("retry-after", "3")];
    assert_eq!(measure_wait(layer(), other).await, Duration::from_secs(3));
    let retry = constant_backoff().max_attempts(2).build().unwrap();
    let panics = RetryLayer::client(retry).read_retry_after(|_| panic!("a bug"));
    assert_eq!(
        measure_wait(panics, &[("retry-after", "3")]).await,
        Duration::from_secs(3)
    );
}

/// Waits until three attempts were made, each answered with this status and these headers.
async fn measure_wait<S>(
    layer: impl Layer<Peer, Service = S>,
    headers: &'static [(&'static str, &'static str)],
) -> Duration
where
    S: Service<Request<Full<Bytes>>>,
{
    let began = Instant::now();
    let mut request = Request::put("/").body(Full::default()).unwrap();
    if headers.iter().any(|(name, _)| name.starts_with("grpc")) {
        request
            .headers_mut()
            .insert("content-type", GRPC.parse().unwrap());
    }
    drop(layer.layer(Peer(headers)).oneshot(request).await);
    began.elapsed()
}

#[derive(Clone)]
struct Peer(&'static [(&'static str, &'static str)]);

impl Service<Request<Sent>> for Peer {
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = std::future::Ready<Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Sent>) -> Self::Future {
        let mut response = Response::builder();
        if !self.0.iter().any(|(name, _)| name.starts_with("grpc")) {
            response = response.status(503);
        }
        for (name, value) in self.0 {
            response = response.header(*name, *value);
        }
        ready(Ok(response.body(Full::default()).unwrap()))
    }
}
