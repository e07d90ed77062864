//! The end of a call that was retried: what its budget learns of it, and what the caller is told.

use std::{
    future::ready,
    io::Error,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker,
    call::CallClock,
    retry::{Attempt, Budget, Retry, RetryLayer},
    testing::ScriptedBody,
};

use super::{GRPC, Sent, constant_backoff};
use crate::support::meter::meter;

// ---- budgets are settled when the call ends

/// The reader of a body, and whether it is a success.
type Case = (&'static str, fn() -> ScriptedBody, bool, bool);

fn whole() -> ScriptedBody {
    ScriptedBody::new().data("an answer")
}
fn breaks_off() -> ScriptedBody {
    whole().without_size_hint().error("reset")
}
fn breaks_off_later() -> ScriptedBody {
    whole().without_size_hint().pending(1).error("reset")
}
fn ends_with_code(code: &'static str) -> ScriptedBody {
    whole().trailers([("grpc-status", code)])
}

fn cases(grpc: bool) -> Vec<Case> {
    if grpc {
        return vec![
            ("ok", || ends_with_code("0"), true, true),
            ("unavailable", || ends_with_code("14"), true, false),
            ("no status", whole, true, false),
            ("breaks", breaks_off, true, false),
            ("left", || ends_with_code("14"), false, true),
        ];
    }
    vec![
        ("whole", whole, true, true),
        ("empty", ScriptedBody::new, true, true),
        ("breaks", breaks_off, true, false),
        ("breaks later", breaks_off_later, true, false),
        ("left", breaks_off_later, false, true),
    ]
}

async fn call(retry: &Retry, grpc: bool, fails: u32, case: Case) {
    let (_, body, read, _) = case;
    let calls = AtomicU32::new(0);
    let peer = service_fn(|_: Request<Sent>| {
        let failed = calls.fetch_add(1, Ordering::Relaxed) < fails;
        let mut response = Response::new(if failed { ScriptedBody::new() } else { body() });
        if grpc {
            response
                .headers_mut()
                .insert("content-type", GRPC.parse().unwrap());
        }
        if failed {
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        }
        ready(Ok::<_, Error>(response))
    });
    let mut request = Request::put("/").body(Full::default()).unwrap();
    if grpc {
        *request.method_mut() = http::Method::POST;
        let headers = request.headers_mut();
        headers.insert("content-type", GRPC.parse().unwrap());
        headers.insert("idempotency-key", "7".parse().unwrap());
    }
    let answer = RetryLayer::client(retry.clone())
        .layer(peer)
        .oneshot(request);
    let body = answer.await.unwrap().into_body();
    if read {
        drop(body.collect().await);
    }
}

/// 500 good heads whose bodies broke filled a bucket to the brim.
#[tokio::test(start_paused = true)]
async fn budget_bucket_is_refilled_by_success_only() {
    let now = CallClock::default();
    for (grpc, case) in [false, true]
        .into_iter()
        .flat_map(|grpc| cases(grpc).into_iter().map(move |case| (grpc, case)))
    {
        let (name, _, _, good) = case;
        let bucket = Budget::bucket()
            .cost(1)
            .timeout_cost(1)
            .capacity(9)
            .build()
            .unwrap();
        (0..9).for_each(|_| {
            drop(
                bucket
                    .reserve(tower_keep::Outcome::Failure, &now)
                    .unwrap()
                    .spend(),
            )
        });
        let retry = constant_backoff().budget(bucket.clone()).build().unwrap();
        for _ in 0..5 {
            call(&retry, grpc, 0, case).await;
        }
        let expected = if good { 5 } else { 0 };
        assert_eq!(
            bucket.available(&now),
            Some(expected),
            "{name}, gRPC {grpc}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn budget_throttle_counts_body_failures() {
    for (grpc, case) in [false, true]
        .into_iter()
        .flat_map(|grpc| cases(grpc).into_iter().map(move |case| (grpc, case)))
    {
        let (name, _, _, good) = case;
        let throttle = Budget::throttle().build().unwrap();
        let retry = constant_backoff().budget(throttle.clone()).build().unwrap();
        for _ in 0..5 {
            call(&retry, grpc, 0, case).await;
        }
        let allows = throttle
            .reserve(tower_keep::Outcome::Failure, &CallClock::default())
            .is_some();
        assert_eq!(allows, good, "{name}, gRPC {grpc}");
    }
}

#[tokio::test(start_paused = true)]
async fn recovered_is_counted_at_good_body_end() {
    for (grpc, case) in [false, true]
        .into_iter()
        .flat_map(|grpc| cases(grpc).into_iter().map(move |case| (grpc, case)))
    {
        let (name, _, _, good) = case;
        let meter = meter();
        let retry = constant_backoff().budget(None).build().unwrap();
        call(&retry, grpc, 1, case).await;
        let recovered = meter.sum("tower_keep_retries_recovered_total", &[]);
        assert_eq!(
            recovered,
            Some(f64::from(u8::from(good))),
            "{name}, gRPC {grpc}"
        );
    }
}

/// A retry that succeeds costs a bucket nothing: one that breaks off later does.
#[tokio::test(start_paused = true)]
async fn budget_keeps_token_if_body_breaks() {
    let now = CallClock::default();
    for (body, left) in [(whole as fn() -> ScriptedBody, 100), (breaks_off, 99)] {
        let bucket = Budget::bucket().build().unwrap();
        let retry = constant_backoff().budget(bucket.clone()).build().unwrap();
        call(&retry, false, 1, ("", body, true, true)).await;
        assert_eq!(bucket.available(&now), Some(left));
    }
}

// ---- what this process rejected

/// An open circuit emptied the bucket: 100 attempts that reached nobody cost 500 tokens.
#[tokio::test(start_paused = true)]
async fn budget_token_returned_on_breaker_rejection() {
    let bucket = Budget::bucket().build().unwrap();
    let breaker = CircuitBreaker::builder("peer")
        .consecutive_failures(1)
        .build()
        .unwrap();
    let reached = AtomicU32::new(0);
    let retry = constant_backoff().budget(bucket.clone()).build().unwrap();
    let service = ServiceBuilder::new()
        .layer(RetryLayer::any(retry))
        .layer(breaker.layer().any())
        .service(service_fn(|()| {
            reached.fetch_add(1, Ordering::Relaxed);
            ready(Err::<(), _>(Error::other("down")))
        }));
    for _ in 0..100 {
        assert!(service.clone().oneshot(()).await.is_err());
    }
    assert_eq!(reached.load(Ordering::Relaxed), 1);
    assert_eq!(bucket.available(&CallClock::default()), Some(100));
}

/// A minute behind an open circuit earned retries by the thousand, to be made when it closed.
#[tokio::test(start_paused = true)]
async fn budget_earns_nothing_from_rejected_calls() {
    let breaker = CircuitBreaker::builder("peer").build().unwrap();
    breaker.force_open();
    let retry = Retry::new("peer");
    let service = ServiceBuilder::new()
        .layer(RetryLayer::any(retry.clone()))
        .layer(breaker.layer().any())
        .service(service_fn(|()| ready(Ok::<_, Error>(()))));
    for _ in 0..1_000 {
        assert!(service.clone().oneshot(()).await.is_err());
    }
    let left = || retry.budget().unwrap().available(&CallClock::default());
    assert_eq!(left(), Some(100), "10 a second for 10 s");
    breaker.reset();
    for _ in 0..5 {
        assert!(service.clone().oneshot(()).await.is_ok());
    }
    assert_eq!(left(), Some(101));
}

// ---- what the caller is told

#[tokio::test(start_paused = true)]
async fn response_extension_has_attempt_number() {
    let calls = AtomicU32::new(0);
    let peer = service_fn(|_: Request<Sent>| {
        let status = match calls.fetch_add(1, Ordering::Relaxed) {
            0 => 503,
            1 => 412,
            _ => 204,
        };
        let response = Response::builder()
            .status(status)
            .body(Full::<Bytes>::default());
        ready(Ok::<_, Error>(response.unwrap()))
    });
    let retry = constant_backoff().build().unwrap();
    let ask = async || {
        let request = Request::put("/").body(Full::default()).unwrap();
        let answer = RetryLayer::client(retry.clone())
            .layer(peer)
            .oneshot(request);
        answer.await.unwrap().into_parts().0
    };
    let lost = ask().await;
    assert_eq!(lost.status, 412, "the first may have been done");
    assert_eq!(lost.extensions.get().map(Attempt::number), Some(2));
    assert_eq!(ask().await.extensions.get::<Attempt>(), None);

    let retry = constant_backoff().max_attempts(3).build().unwrap();
    for (failures, status, number) in [(1, 204, 2), (2, 204, 3), (9, 503, 3)] {
        calls.store(0, Ordering::Relaxed);
        let peer = service_fn(|_: Request<Sent>| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            let status = if call < failures { 503 } else { 204 };
            let response = Response::builder()
                .status(status)
                .body(Full::<Bytes>::default());
            ready(Ok::<_, Error>(response.unwrap()))
        });
        let request = Request::put("/").body(Full::default()).unwrap();
        let layered = RetryLayer::client(retry.clone()).layer(peer);
        let response = layered.oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        let attempt = response.extensions().get::<Attempt>().unwrap();
        assert_eq!(attempt.number(), number);
    }
}

// ---- settings

/// A template for ten peers gave them one allowance.
#[test]
fn budget_is_separate_for_cloned_builders() {
    let template = Retry::builder("peer");
    let (one, other) = (template.clone().build().unwrap(), template.build().unwrap());
    let now = CallClock::default();
    let taken = one
        .budget()
        .unwrap()
        .reserve(tower_keep::Outcome::Failure, &now);
    assert!(taken.is_some());
    let left = |retry: &Retry| retry.budget().unwrap().available(&now);
    assert_eq!((left(&one), left(&other)), (Some(99), Some(100)));

    let shared = Budget::window().build().unwrap();
    let template = Retry::builder("peer").budget(shared);
    let (one, other) = (template.clone().build().unwrap(), template.build().unwrap());
    let taken = one
        .budget()
        .unwrap()
        .reserve(tower_keep::Outcome::Failure, &now);
    assert!(taken.is_some());
    assert_eq!((left(&one), left(&other)), (Some(99), Some(99)));
}
