//! The cost of a call that succeeds at once: no allocation, as far as that is possible.

#[path = "../benches/support/allocations.rs"]
mod allocations;
#[path = "../benches/support/poll.rs"]
mod poll;

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_keep::{
    Bulkhead, CircuitBreaker, Context, GuardLayer,
    breaker::KeyedBreaker,
    call::CallClock,
    chaos::{Chaos, ChaosLayer},
    context::Trust,
    fallback::{FailedCall, Fallback, FallbackLayer},
    guard::Admit,
    hedge::{Hedge, HedgeLayer},
    priority::Prioritizer,
    protocol::Client,
    rate_limit::{KeyedRateLimit, RateLimit, RateLimitLayer},
    retry::{ReplayBody, Retry, RetryLayer},
    timeout::TimeoutLayer,
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Allocations of one call.
fn allocations(call: impl FnMut()) -> f64 {
    allocations::per_call(call).0
}

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
fn prioritizer_of_admitted_calls_does_not_allocate() {
    let prioritizer = Prioritizer::new("costs");
    let mut service = prioritizer.layer().any().layer(service_fn(seven));
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
    let guard = prioritizer.by_header(Trust::always());
    let mut request = Request::new(());
    let value = http::HeaderValue::from_static("high;level=42");
    request.headers_mut().insert("x-request-priority", value);
    // The context of the call gets its priority in place.
    request.extensions_mut().insert(Context::new_root());
    let admit = || {
        let permit = guard.admit(&mut request, &CallClock::default());
        drop(black_box(permit).expect("admitted"));
    };
    assert_eq!(allocations(admit), 0.0);
}

/// So high that no test reaches it.
fn rate_limit() -> tower_keep::rate_limit::RateLimitBuilder {
    RateLimit::builder("costs").rate(1_000_000, std::time::Duration::from_secs(1))
}

#[test]
fn rate_limit_of_admitted_calls_does_not_allocate() {
    let limit = rate_limit().build().expect("valid settings");
    let keyed = KeyedRateLimit::builder(rate_limit()).build();
    let keyed = keyed.expect("valid settings");
    assert_eq!(allocations(|| limit.check().expect("room")), 0.0);
    assert_eq!(allocations(|| keyed.check("tenant").expect("room")), 0.0);
    let inner = || service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    let mut guarded = limit.layer().any().layer(inner());
    let mut by_key = keyed
        .keyed_by(|n: &u64| Some(*n))
        .layer()
        .any()
        .layer(inner());
    let mut waiting = RateLimitLayer::any(limit.clone()).layer(inner());
    let all = [
        allocations(|| drop(black_box(poll::call(&mut guarded, black_box(7))))),
        allocations(|| drop(black_box(poll::call(&mut by_key, black_box(7))))),
        allocations(|| drop(black_box(poll::call(&mut waiting, black_box(7))))),
    ];
    assert_eq!(all, [0.0; 3]);
}

#[test]
fn keyed_rate_limit_with_a_million_keys_stays_within_its_bound() {
    const KEYS: usize = 1_000_000;
    let hourly = RateLimit::builder("million").rate(1, std::time::Duration::from_secs(3_600));
    let keyed = KeyedRateLimit::builder(hourly).max_keys(KEYS).build();
    let keyed = keyed.expect("valid settings");
    let before = allocations::live();
    let admitted = (0..KEYS + 100_000)
        .filter(|key| keyed.check(key).is_ok())
        .count();
    // One more from the bucket that all share for which there is no room.
    assert_eq!((keyed.len(), admitted), (KEYS, KEYS + 1));
    let bytes = allocations::live() - before;
    assert!(bytes <= 33 * KEYS as i64, "{bytes}");
    // Keys may be of any length.
    let long = "x".repeat(10_000);
    keyed
        .check(&*long)
        .expect_err("no room, and the shared bucket is empty");
    assert!(allocations::live() - before <= 33 * KEYS as i64 + 11_000);
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

#[test]
fn breaker_does_not_allocate_for_any_window() {
    let windows = [
        CircuitBreaker::builder("costs").count_window(100),
        CircuitBreaker::builder("costs").time_window(HOUR, 10),
        CircuitBreaker::builder("costs")
            .slow_call(HOUR)
            .slow_rate(0.5),
        CircuitBreaker::classic("costs"),
    ];
    for builder in windows {
        let breaker = builder.build().unwrap();
        let mut service = breaker.layer().any().layer(service_fn(seven));
        assert_eq!(allocations(|| ask(&mut service)), 0.0);
        // As servers do it.
        assert_eq!(allocations(|| ask(&mut service.clone())), 0.0);
        let called = || {
            let answer = poll::finish(breaker.call(seven(7)));
            assert_eq!(answer.ok(), Some(7));
        };
        assert_eq!(allocations(called), 0.0);
        let direct = || drop(black_box(breaker.run(|| Ok::<_, std::io::Error>(7))));
        assert_eq!(allocations(direct), 0.0);
        let permit = || {
            breaker
                .try_acquire()
                .unwrap()
                .complete(tower_keep::Outcome::Success)
        };
        assert_eq!(allocations(permit), 0.0);
        let dropped = || drop(breaker.try_acquire().unwrap());
        assert_eq!(allocations(dropped), 0.0);
        assert!(breaker.counts().calls > 0, "it has counted all the while");
    }
}

/// Failures are counted under the lock, but only a change of state allocates.
#[test]
fn bulkhead_does_not_allocate_for_a_call_that_gets_a_slot() {
    let bulkhead = Bulkhead::builder("costs").queue_limit(10);
    let bulkhead = bulkhead.build().expect("valid settings");
    let mut guard = GuardLayer::any(bulkhead.clone()).layer(service_fn(seven));
    let mut layer = bulkhead.layer().any().layer(service_fn(seven));
    let permit = || drop(black_box(bulkhead.try_acquire()));
    let acquire = || drop(black_box(poll::finish(bulkhead.acquire())));
    let call = || {
        let call = bulkhead.call(ready(Ok::<_, std::io::Error>(7)));
        drop(black_box(poll::finish(call)));
    };
    assert_eq!(allocations(permit), 0.0);
    assert_eq!(allocations(acquire), 0.0);
    assert_eq!(allocations(call), 0.0);
    assert_eq!(allocations(|| ask(&mut guard)), 0.0);
    assert_eq!(allocations(|| ask(&mut layer)), 0.0);
    assert_eq!(bulkhead.stats().rejected, 0);
}

#[test]
fn breaker_failure_while_closed_does_not_allocate() {
    let builder = || CircuitBreaker::builder("costs").failure_rate(None);
    let windows = [
        builder().count_window(100),
        builder(),
        builder().slow_call(HOUR).slow_rate(0.5),
    ];
    for builder in windows {
        let breaker = builder.build().unwrap();
        let failing = || {
            breaker
                .try_acquire()
                .unwrap()
                .complete(tower_keep::Outcome::Failure)
        };
        assert_eq!(allocations(failing), 0.0);
        assert!(breaker.counts().failures > 0);
    }
}

#[test]
fn allocation_counter_counts() {
    let counted = allocations::per_call(|| drop(black_box(Box::new([7_u64; 4]))));
    assert_eq!(counted, (1.0, 32.0));
}

#[test]
fn rejected_permit_does_not_allocate() {
    let breaker = CircuitBreaker::builder("costs").build().unwrap();
    breaker.force_open();
    assert_eq!(allocations(|| drop(black_box(breaker.try_acquire()))), 0.0);
}

#[test]
fn rejection_allocates_once_and_five_times_over_http() {
    let breaker = CircuitBreaker::builder("costs").build().unwrap();
    // The values of `Retry-After` that most breakers give are kept ready.
    breaker.open_for(HOUR / 60);
    let mut service = breaker.layer().any().layer(service_fn(seven));
    let rejected = || assert!(poll::call(&mut service, 7).is_err());
    assert_eq!(allocations(rejected), 1.0);
    let inner = service_fn(answer::<Full<Bytes>>);
    let mut server = breaker.layer().server().layer(inner);
    let request = allocations(|| drop(black_box(order())));
    let rejected = allocations(|| {
        black_box(poll::exchange(&mut server, order()));
    });
    // The map of headers twice, that of extensions three times: the rejection goes along in it.
    assert_eq!(rejected - request, 5.0);
}

#[test]
fn guards_of_any_number_do_not_allocate() {
    let breaker = || CircuitBreaker::builder("costs").build().unwrap();
    let mut one = GuardLayer::any(breaker()).layer(service_fn(seven));
    assert_eq!(allocations(|| ask(&mut one)), 0.0);
    let three = (breaker(), (breaker(), Some(breaker())));
    let mut three = GuardLayer::any(three).layer(service_fn(seven));
    assert_eq!(allocations(|| ask(&mut three)), 0.0);
}

#[test]
fn keyed_breaker_known_key_does_not_allocate() {
    let template = CircuitBreaker::builder("costs");
    let keyed = KeyedBreaker::<u32>::builder(template).build().unwrap();
    assert_eq!(allocations(|| drop(black_box(keyed.get(&7)))), 0.0);
}

#[test]
fn authority_key_in_normal_form_does_not_allocate() {
    let template = CircuitBreaker::builder("costs");
    let guard = KeyedBreaker::builder(template)
        .build()
        .unwrap()
        .keyed_by_authority();
    for uri in [
        "http://api.example/",
        "http://joe@api.example:80/",
        "http://[::1]:81/",
    ] {
        let mut request = Request::get(uri).body(()).unwrap();
        let admit = || {
            let permit = guard.admit(&mut request, &CallClock::default());
            drop(black_box(permit.unwrap()));
        };
        assert_eq!(allocations(admit), 0.0, "{uri}");
    }
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

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

fn seven(_: u64) -> std::future::Ready<Result<u64, Infallible>> {
    ready(Ok(7))
}

fn ask<S: Service<u64, Response = u64>>(service: &mut S) {
    assert_eq!(poll::call(service, black_box(7)).ok(), Some(7));
}

fn pending_once() -> impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<()> {
    let mut polled = false;
    move |_| match std::mem::replace(&mut polled, true) {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    }
}

fn order() -> Request<Full<Bytes>> {
    request(Method::POST, Bytes::from_static(b"an order"))
}

fn request(method: Method, body: Bytes) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri("/orders");
    let builder = builder.header("x-tenant", "acme");
    builder.body(Full::from(body)).expect("a request")
}

/// Returns how many allocations the layer adds to a request that a service reads and answers.
fn http(layer: RetryLayer<Client>, method: Method, body: &'static str) -> f64 {
    added_by(
        layer.layer(service_fn(answer::<ReplayBody<Full<Bytes>>>)),
        method,
        body,
    )
}

fn http_hedged(layer: HedgeLayer<Client>, method: Method, body: &'static str) -> f64 {
    added_by(
        layer.layer(service_fn(answer::<ReplayBody<Full<Bytes>>>)),
        method,
        body,
    )
}

/// Allocations that a layer adds to a call.
fn added_by<S, B>(mut layered: S, method: Method, body: &'static str) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body + Unpin,
    S::Error: std::fmt::Debug,
{
    let request = || request(method.clone(), Bytes::from_static(body.as_bytes()));
    let mut bare = service_fn(answer::<Full<Bytes>>);
    let with = allocations(|| exchange(&mut layered, request()));
    with - allocations(|| exchange(&mut bare, request()))
}

fn exchange<S, B>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body + Unpin,
    S::Error: std::fmt::Debug,
{
    black_box(poll::exchange(service, request));
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: http_body::Body + Unpin,
{
    let mut body = request.into_body();
    while http_body_util::BodyExt::frame(&mut body).await.is_some() {}
    Ok(Response::new(Full::default()))
}
