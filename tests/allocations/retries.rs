//! Calls that may be made again.

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_keep::{
    Context,
    hedge::{Hedge, HedgeLayer},
    protocol::Client,
    retry::{ReplayBody, Retry, RetryLayer},
};

use super::{added_by, allocations, answer, http, poll, request};

#[test]
fn retry_of_successful_work_does_not_allocate() {
    let retry = Retry::new("costs");
    let work = || {
        let run = retry.run(|_| ready(Ok::<_, std::io::Error>(7)));
        black_box(poll::finish(run)).expect("an answer");
    };
    assert_eq!(allocations(work), 0.0);
    // Nor does it where there is a context that has a deadline.
    let soon = std::time::Duration::from_secs(3_600);
    let call = Context::new_root().with_deadline(tokio::time::Instant::now() + soon);
    assert_eq!(call.run(|| allocations(work)), 0.0);
}

#[test]
fn retry_of_any_request_does_not_allocate() {
    let inner = service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    let mut service = RetryLayer::any(Retry::new("costs")).layer(inner);
    let call = || {
        black_box(poll::call(&mut service, black_box(7))).expect("an answer");
    };
    assert_eq!(allocations(call), 0.0);
}

/// Hedges by the percentile, and after a fixed time.
fn hedges() -> [Hedge; 2] {
    let fixed = Hedge::builder("costs").delay(std::time::Duration::from_secs(1));
    [Hedge::new("costs"), fixed.build().expect("valid settings")]
}

#[test]
fn hedge_of_work_that_is_done_in_time_does_not_allocate() {
    for hedge in hedges() {
        let work = || {
            let run = hedge.run(|_| ready(Ok::<_, std::io::Error>(7)));
            black_box(poll::finish(run)).expect("an answer");
        };
        assert_eq!(allocations(work), 0.0);
        let inner = service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
        let mut service = HedgeLayer::any(hedge.clone()).layer(inner);
        let call = || {
            black_box(poll::call(&mut service, black_box(7))).expect("an answer");
        };
        assert_eq!(allocations(call), 0.0);
        let pipeline = tower_keep::Pipeline::builder("costs").shared_hedge(&hedge);
        let pipeline = pipeline.build().expect("valid settings");
        let work = || {
            let run = pipeline.run(|| ready(Ok::<_, std::io::Error>(7)));
            black_box(poll::finish(run)).expect("an answer");
        };
        assert_eq!(allocations(work), 0.0);
    }
}

/// A retry costs the same: the head that is kept, a context, and the buffer of a body.
#[test]
fn hedge_of_a_request_costs_what_a_retry_costs() {
    let retry = || RetryLayer::client(Retry::new("costs"));
    for hedge in hedges() {
        let layer = || HedgeLayer::client(hedge.clone());
        for (method, body) in [
            (Method::POST, "an order"),
            (Method::GET, ""),
            (Method::PUT, "an order"),
        ] {
            let of_hedge = http_hedged(layer(), method.clone(), body);
            assert_eq!(of_hedge, http(retry(), method, body));
        }
        assert_eq!(http_hedged(layer(), Method::POST, "an order"), 0.0);
    }
}

#[test]
fn retry_of_unrepeatable_request_does_not_allocate() {
    let layer = || RetryLayer::client(Retry::new("costs"));
    assert_eq!(http(layer(), Method::POST, "an order"), 0.0);
    let once = Retry::builder("costs").max_attempts(1).build().unwrap();
    let once = RetryLayer::client(once);
    assert_eq!(http(once.clone(), Method::POST, "an order"), 0.0);
    assert_eq!(http(once, Method::PUT, "an order"), 0.0);
}

/// Its head goes to the service, and what is gone cannot be cloned later.
#[test]
fn retry_of_repeatable_request_copies_its_head() {
    let layer = || RetryLayer::client(Retry::new("costs"));
    let copy = |method: Method| {
        let head = || request(method.clone(), Bytes::new()).into_parts().0;
        let both = allocations(|| drop(black_box((head().clone(), head()))));
        // What its attempts have in common, where there is no context yet.
        let context = allocations(|| drop(black_box(Context::new_root())));
        both - 2.0 * allocations(|| drop(black_box(head()))) + context
    };
    assert_eq!(http(layer(), Method::GET, ""), copy(Method::GET));
    // A body besides: what its sendings share.
    assert_eq!(
        http(layer(), Method::PUT, "an order"),
        copy(Method::PUT) + 1.0
    );
    let free = layer().retry_unsent(true);
    assert_eq!(
        http(free, Method::POST, "an order"),
        copy(Method::POST) + 1.0
    );
    // Within a call that has a context.
    let call = || http(layer(), Method::GET, "");
    let context = allocations(|| drop(black_box(Context::new_root())));
    assert_eq!(Context::new_root().run(call), copy(Method::GET) - context);
}

fn http_hedged(layer: HedgeLayer<Client>, method: Method, body: &'static str) -> f64 {
    added_by(
        layer.layer(service_fn(answer::<ReplayBody<Full<Bytes>>>)),
        method,
        body,
    )
}
