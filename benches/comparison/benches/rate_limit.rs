//! Rate limits beside governor, which uses the same algorithm. Prints Markdown tables.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench rate_limit`
//!
//! With the time given, nobody reads a clock. governor's own clock for that counts nanoseconds from its start; with an
//! `Instant`, both have to subtract the start. The burst is so large that every call is admitted.

#[path = "../../support/allocations.rs"]
mod allocations;

use std::{
    hint::black_box,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, FakeRelativeClock},
};
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

/// A clock of governor's that shows one `Instant`, once limits have begun a while before that.
#[derive(Clone, Debug)]
struct Given {
    began: std::time::Instant,
    now: std::time::Instant,
    has_begun: Arc<AtomicBool>,
}

impl Given {
    fn new() -> Self {
        let now = std::time::Instant::now();
        Given {
            began: now - Duration::from_millis(1_234),
            now,
            has_begun: Arc::default(),
        }
    }

    fn go_on(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }
}

impl Clock for Given {
    type Instant = std::time::Instant;

    fn now(&self) -> std::time::Instant {
        match self.has_begun.load(Ordering::Relaxed) {
            true => black_box(self.now),
            false => self.began,
        }
    }
}

fn single(threads: usize) {
    let limit = ours().build().expect("settings");
    let theirs = Arc::new(RateLimiter::direct_with_clock(
        quota(),
        FakeRelativeClock::default(),
    ));
    let clock = Given::new();
    let with_instant = Arc::new(RateLimiter::direct_with_clock(quota(), clock.clone()));
    clock.go_on();
    // After the limits have begun: a moment before that would be subtracted twice.
    let now = Instant::now();
    let rows = vec![
        direct("nothing", threads, || drop(black_box(7))),
        direct("tower-keep, time given", threads, {
            let limit = limit.clone();
            move || limit.check_at(1, black_box(now)).expect("room")
        }),
        direct("governor, nanoseconds given", threads, move || {
            theirs.check().expect("room")
        }),
        direct("governor, an `Instant` given", threads, move || {
            with_instant.check().expect("room")
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
    let limits = KeyedRateLimit::builder(ours()).build().expect("settings");
    let numbers = Arc::new(RateLimiter::dashmap_with_clock(
        quota(),
        FakeRelativeClock::default(),
    ));
    let texts = Arc::new(RateLimiter::dashmap_with_clock(
        quota(),
        FakeRelativeClock::default(),
    ));
    let clock = Given::new();
    let numbers_with_instant = RateLimiter::dashmap_with_clock(quota(), clock.clone());
    let numbers_with_instant = Arc::new(numbers_with_instant);
    let texts_with_instant = RateLimiter::dashmap_with_clock(quota(), clock.clone());
    let texts_with_instant = Arc::new(texts_with_instant);
    clock.go_on();
    let now = Instant::now();
    for key in 0..1_000_u64 {
        numbers_with_instant.check_key(&key).expect("room");
        texts_with_instant
            .check_key(&key.to_string())
            .expect("room");
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
        direct(
            "governor, a number, nanoseconds given",
            threads,
            move || numbers.check_key(&black_box(777)).expect("room"),
        ),
        direct(
            "governor, a number, an `Instant` given",
            threads,
            move || {
                let key = black_box(777);
                numbers_with_instant.check_key(&key).expect("room")
            },
        ),
        direct("tower-keep, a text", threads, {
            let text = text.clone();
            move || limits.check_at(black_box(&text), 1, now).expect("room")
        }),
        direct("governor, a text, nanoseconds given", threads, {
            let text = text.clone();
            move || texts.check_key(black_box(&text)).expect("room")
        }),
        direct("governor, a text, an `Instant` given", threads, move || {
            let key = black_box(&text);
            texts_with_instant.check_key(key).expect("room")
        }),
    ];
    compare(
        &format!("A rate limit for each key, time given, threads: {threads}"),
        rows,
    );
}

fn main() {
    for threads in [1, 2] {
        single(threads);
        keyed(threads);
    }
}
