//! Calls through layers that change them.

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_keep::{
    CircuitBreaker, Context,
    chaos::{Chaos, ChaosLayer},
    fallback::{FailedCall, Fallback, FallbackLayer},
    retry::{ReplayBody, Retry, RetryLayer},
    timeout::TimeoutLayer,
};

use super::{HOUR, allocations, answer, ask, exchange, http, order, poll, seven};

#[test]
fn pipeline_of_successful_work_does_not_allocate() {
    let time = std::time::Duration::from_secs(1);
    let pipeline = tower_keep::Pipeline::builder("costs")
        .total_limit(time)
        .retry(|retry| retry)
        .breaker(|breaker| breaker)
        .attempt_limit(time)
        .build()
        .expect("valid settings");
    let work = || {
        let run = pipeline.run(|| ready(Ok::<_, std::io::Error>(7)));
        black_box(poll::finish(run)).expect("an answer");
    };
    assert_eq!(allocations(work), 0.0);
    let with_fallbacks = || {
        let run = pipeline.run(|| ready(Ok::<_, std::io::Error>(7)));
        let run = run.fallback_with(async |error| Err(error));
        let run = run.fallback_if(|error| error.elapsed().is_some(), async |_| Ok(8));
        black_box(poll::finish(run.fallback_value(9))).expect("an answer");
    };
    assert_eq!(allocations(with_fallbacks), 0.0);
}

#[test]
fn stack_of_retry_breaker_timeout_does_not_allocate() {
    let breaker = CircuitBreaker::builder("costs").build().unwrap();
    let mut service = ServiceBuilder::new()
        .layer(FallbackLayer::any(Fallback::new("costs")).with(|_| 8))
        .layer(TimeoutLayer::any(HOUR))
        .layer(RetryLayer::any(Retry::new("costs")))
        .layer(breaker.layer().any())
        .layer(TimeoutLayer::any(HOUR))
        .service(service_fn(seven));
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
}

#[test]
fn chaos_that_is_off_or_leaves_a_call_alone_does_not_allocate() {
    let chaos = Chaos::builder("costs").error_rate(1.0).build().unwrap();
    let mut service = ChaosLayer::any(&chaos).layer(service_fn(seven));
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
    assert_eq!(allocations(|| ask(&mut service.clone())), 0.0);
    let mut bare = service_fn(answer::<Full<Bytes>>);
    let mut client = ChaosLayer::client(&chaos).layer(bare);
    let with = allocations(|| exchange(&mut client, order()));
    assert_eq!(with, allocations(|| exchange(&mut bare, order())));
    chaos.enable();
    let mut service = ChaosLayer::any(&chaos)
        .only(|n| *n != 7)
        .layer(service_fn(seven));
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
}

#[tokio::test]
async fn timeout_timer_is_not_allocated() {
    let mut service = TimeoutLayer::any(HOUR).layer(service_fn(|_: u64| async {
        std::future::poll_fn(pending_once()).await;
        Ok::<_, Infallible>(7)
    }));
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
}

#[test]
fn timeout_over_http_does_not_allocate() {
    let bare = service_fn(answer::<Full<Bytes>>);
    let exchange = |mut service| allocations(move || exchange(&mut service, order()));
    let cost = exchange(bare);
    let mut timed = TimeoutLayer::server(HOUR).layer(bare);
    let timed = allocations(|| {
        black_box(poll::exchange(&mut timed, order()));
    });
    assert_eq!(timed, cost);
}

#[test]
fn fallback_over_http_does_not_allocate() {
    let fallback = || FallbackLayer::client(Fallback::new("costs"));
    let bare = || {
        let mut bare = service_fn(answer::<Full<Bytes>>);
        allocations(|| exchange(&mut bare, order()))
    };
    let spare = |_: &FailedCall<'_>| Response::new(Full::new(Bytes::new()));
    let mut closure = fallback()
        .with(spare)
        .layer(service_fn(answer::<Full<Bytes>>));
    let closure = allocations(|| {
        black_box(poll::exchange(&mut closure, order()));
    });
    assert_eq!(closure, bare());
    // A copy of the head, and what keeps the body.
    let replayed = || service_fn(answer::<ReplayBody<Full<Bytes>>>);
    let mut service = fallback().service(replayed()).layer(replayed());
    let service = allocations(|| {
        black_box(poll::exchange(&mut service, order()));
    });
    // Within a context: a retry begins one for all of its attempts where there is none.
    let retried = Context::new_root().run(|| {
        http(
            RetryLayer::client(Retry::new("costs")),
            Method::PUT,
            "an order",
        )
    });
    assert_eq!(service - bare(), retried);
}

fn pending_once() -> impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<()> {
    let mut polled = false;
    move |_| match std::mem::replace(&mut polled, true) {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    }
}
