//! Rate limits beside governor, which uses the same algorithm. Prints Markdown tables.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench rate_limit`
//!
//! With the time given, nobody reads a clock. The burst is so large that every call is admitted.

#[path = "../../support/allocations.rs"]
mod allocations;

use std::{hint::black_box, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
use tokio::time::Instant;
use tower_keep::rate_limit::{KeyedRateLimit, RateLimit, RateLimitBuilder};
use tower_keep_comparison::{Calls, Row, compare};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const PER_SECOND: u32 = 1_000_000;

fn repeat(mut call: impl FnMut() + Send + 'static) -> Calls {
    Box::new(move |calls| (0..calls).for_each(|_| call()))
}

/// One row of a function that is called by so many threads.
fn direct(name: &'static str, threads: usize, call: impl Fn() + Clone + Send + 'static) -> Row {
    let counted = allocations::per_call(&call);
    let thread = || repeat(call.clone());
    Row::new(name, (0..threads).map(|_| thread()).collect()).allocations(counted)
}

fn ours() -> RateLimitBuilder {
    let limit = RateLimit::builder("bench").rate(PER_SECOND, Duration::from_secs(1));
    limit.burst(u32::MAX)
}

fn quota() -> Quota {
    let rate = NonZeroU32::new(PER_SECOND).expect("above zero");
    Quota::per_second(rate).allow_burst(NonZeroU32::MAX)
}

fn single(threads: usize) {
    let now = Instant::now();
    let limit = ours().build().expect("settings");
    let theirs = Arc::new(RateLimiter::direct_with_clock(
        quota(),
        FakeRelativeClock::default(),
    ));
    let rows = vec![
        direct("nothing", threads, || drop(black_box(7))),
        direct("tower-keep, time given", threads, {
            let limit = limit.clone();
            move || limit.check_at(1, black_box(now)).expect("room")
        }),
        direct("governor, time given", threads, move || {
            theirs.check().expect("room")
        }),
        direct("tower-keep, with its clock", threads, move || {
            limit.check().expect("room")
        }),
        direct("governor, with its clock", threads, {
            let theirs = Arc::new(RateLimiter::direct(quota()));
            move || theirs.check().expect("room")
        }),
    ];
    compare(&format!("One rate limit, threads: {threads}"), rows);
}

fn keyed(threads: usize) {
    let now = Instant::now();
    let limits = KeyedRateLimit::builder(ours()).build().expect("settings");
    let numbers = Arc::new(RateLimiter::dashmap_with_clock(
        quota(),
        FakeRelativeClock::default(),
    ));
    let texts = Arc::new(RateLimiter::dashmap_with_clock(
        quota(),
        FakeRelativeClock::default(),
    ));
    for key in 0..1_000_u64 {
        limits.check(&key).expect("room");
        numbers.check_key(&key).expect("room");
        limits.check(&key.to_string()).expect("room");
        texts.check_key(&key.to_string()).expect("room");
    }
    let text = "777".to_owned();
    let rows = vec![
        direct("nothing", threads, || drop(black_box(7))),
        direct("tower-keep, a number", threads, {
            let limits = limits.clone();
            move || limits.check_at(&black_box(777_u64), 1, now).expect("room")
        }),
        direct("governor, a number", threads, move || {
            numbers.check_key(&black_box(777)).expect("room")
        }),
        direct("tower-keep, a text", threads, {
            let text = text.clone();
            move || limits.check_at(black_box(&text), 1, now).expect("room")
        }),
        direct("governor, a text", threads, move || {
            texts.check_key(black_box(&text)).expect("room")
        }),
    ];
    compare(&format!("A rate limit for each key, time given, threads: {threads}"), rows);
}

fn main() {
    for threads in [1, 2] {
        single(threads);
        keyed(threads);
    }
}
