//! Calls through guards, and without services.

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_keep::{
    Bulkhead, CircuitBreaker, Context, GuardLayer,
    breaker::KeyedBreaker,
    call::CallClock,
    context::Trust,
    guard::Admit,
    priority::Prioritizer,
    rate_limit::{KeyedRateLimit, RateLimit, RateLimitLayer},
};

use super::{HOUR, allocations, answer, ask, order, poll, seven};

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

/// Failures are counted under the lock, but only a change of state allocates.
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
