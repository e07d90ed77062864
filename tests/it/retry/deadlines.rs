//! Calls whose deadline has passed before they begin.

use std::{
    future::ready,
    io::Error,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{Context, Rejection, RejectionKind, retry::RetryLayer};

use super::{Sent, constant_backoff};

#[tokio::test(start_paused = true)]
async fn deadline_passed_rejects_first_attempt_of_layer() {
    let late = Context::new_root().with_deadline(Instant::now());
    let calls = AtomicU32::new(0);
    let called = || {
        calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Error>(Response::new(Full::<Bytes>::default())))
    };
    let rejected = |error: tower_keep::BoxError| {
        let kind = Rejection::find(&*error).expect("a rejection").kind();
        assert_eq!(kind, RejectionKind::DeadlineExceeded);
    };
    let service =
        RetryLayer::any(constant_backoff().build().unwrap()).layer(service_fn(|()| called()));
    let answer = late.scope(async { service.oneshot(()).await }).await;
    rejected(answer.map(drop).unwrap_err());

    let client = || RetryLayer::client(constant_backoff().build().unwrap());
    let service = client().layer(service_fn(|_: Request<Sent>| called()));
    let request = Request::get("/").body(Full::default()).unwrap();
    let answer = late.scope(async { service.oneshot(request).await }).await;
    rejected(answer.map(drop).unwrap_err());

    // A request may bring its own.
    let service = client().layer(service_fn(|_: Request<Sent>| called()));
    let mut request = Request::get("/").body(Full::default()).unwrap();
    request.extensions_mut().insert(late.clone());
    rejected(service.oneshot(request).await.map(drop).unwrap_err());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_passed_still_runs_work_once() {
    let calls = AtomicU32::new(0);
    let retry = constant_backoff().build().unwrap();
    let work = retry.run(|_| {
        calls.fetch_add(1, Ordering::Relaxed);
        ready(Err::<(), _>(Error::other("down")))
    });
    let answer = work.deadline(Instant::now() - Duration::from_secs(1)).await;
    assert!(answer.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
