//! Bounds of what is sent again because nothing of it was sent, on a paused clock.

use std::{
    future::ready,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::retry::{Backoff, Retry, RetryLayer};

use super::Sent;

/// 2,000 calls made 6,500 attempts to connect.
#[tokio::test(start_paused = true)]
async fn unsent_retries_do_not_multiply_an_outage() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let nobody = service_fn(move |_: Request<Sent>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        ready(Err::<Response<Full<Bytes>>, _>(refused))
    });
    let service = RetryLayer::client(Retry::new("peer"))
        .retry_unsent(true)
        .layer(nobody);
    let calls: Vec<_> = (0..2_000)
        .map(|_| {
            let order = Request::post("/").body(Full::from("an order")).unwrap();
            tokio::spawn(service.clone().oneshot(order))
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    let tries = tries.load(Ordering::Relaxed);
    assert!((2_400..=2_550).contains(&tries), "{tries}");
}

/// It waited in vain, and the time limit hid what was wrong.
#[tokio::test(start_paused = true)]
async fn unsent_retry_beyond_timeout_is_not_begun() {
    let limit = Duration::from_millis(20);
    for kind in [
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
    ] {
        let retry = Retry::builder("peer").backoff(Backoff::constant(Duration::from_secs(1)));
        let peer = service_fn(|_: Request<Sent>| {
            ready(Err::<Response<Full<Bytes>>, _>(io::Error::from(kind)))
        });
        let client = tower::ServiceBuilder::new()
            .layer(tower_keep::timeout::TimeoutLayer::client(limit))
            .layer(RetryLayer::client(retry.build().unwrap()).retry_unsent(true))
            .service(peer);
        let (started, request) = (tokio::time::Instant::now(), Request::get("/"));
        let error = client.oneshot(request.body(Full::default()).unwrap()).await;
        let says = error.map(drop).unwrap_err().to_string();
        assert_eq!(says, io::Error::from(kind).to_string());
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
