//! Breakers, and the three of timeout, breaker and retry: what they add to a service that answers at once, beside the
//! crates that people use for it today. Prints Markdown tables.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench resilience`
//!
//! All rows of a table are measured in turns in one run. Services are built outside of the timed loops, and futures are
//! polled by hand: no executor is measured.

#[path = "../../support/allocations.rs"]
mod allocations;
#[path = "../../support/poll.rs"]
mod poll;

use std::{
    convert::Infallible, future::Ready, future::ready, hint::black_box, io, sync::Arc,
    time::Duration,
};

use axum::body::Body;
use failsafe::{CircuitBreaker as _, Config, backoff, failure_policy};
use http::{Request, Response};
use recloser::Recloser;
use seatbelt::{RecoveryInfo, ResilienceContext, breaker::Breaker};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_keep::{
    Bulkhead, CircuitBreaker, GuardLayer, Outcome,
    adaptive::AdaptiveSettings,
    breaker::CircuitBreakerBuilder,
    retry::{Retry, RetryLayer},
    timeout::TimeoutLayer,
};
use tower_keep_comparison::{Calls, Row, compare};
use tower_resilience_adaptive::{AdaptiveLimiterLayer, Gradient2};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};
use tower_resilience_retry::RetryLayer as TheirRetryLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;
use tower_service::Service;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const SECOND: Duration = Duration::from_secs(1);

type Answer = Result<u64, io::Error>;

fn answer(request: u64) -> Ready<Answer> {
    ready(Ok(black_box(request)))
}

fn bare() -> impl Service<u64, Response = u64, Error = io::Error, Future = Ready<Answer>>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(answer as fn(u64) -> Ready<Answer>)
}

fn repeat(mut call: impl FnMut() + Send + 'static) -> Calls {
    Box::new(move |calls| (0..calls).for_each(|_| call()))
}

fn count_window() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("count").count_window(100)
}

fn time_window() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("time").time_window(10 * SECOND, 10)
}

fn built(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("settings")
}

/// One row of a service: its calls, what they allocate, and how large their future is.
fn service<S>(name: &'static str, threads: usize, service: S) -> Row
where
    S: Service<u64, Response: Send> + Clone + Send + 'static,
{
    let mut one = service.clone();
    let counted = allocations::per_call(|| drop(black_box(poll::call(&mut one, 7))));
    let size = size_of::<S::Future>();
    let thread = || {
        let mut service = service.clone();
        repeat(move || drop(black_box(poll::call(&mut service, black_box(7)))))
    };
    Row::new(name, (0..threads).map(|_| thread()).collect())
        .allocations(counted)
        .future_size(size)
}

/// The same, cloned for each call as servers do it.
fn cloned<S>(name: &'static str, threads: usize, service: S) -> Row
where
    S: Service<u64> + Clone + Send + 'static,
{
    let thread = || {
        let service = service.clone();
        repeat(move || drop(black_box(poll::call(&mut service.clone(), black_box(7)))))
    };
    Row::new(name, (0..threads).map(|_| thread()).collect())
}

/// One row of a function that is called directly.
fn direct(name: &'static str, threads: usize, call: impl Fn() + Clone + Send + 'static) -> Row {
    let counted = allocations::per_call(&call);
    let thread = || repeat(call.clone());
    Row::new(name, (0..threads).map(|_| thread()).collect()).allocations(counted)
}

fn work() -> Result<u64, io::Error> {
    Ok(black_box(7))
}

fn with_seatbelt()
-> impl Service<u64, Response = u64, Error = io::Error, Future: Send> + Clone + Send + 'static {
    let clock = tick::Clock::new_tokio();
    let context: ResilienceContext<u64, Answer> = ResilienceContext::new(&clock);
    ServiceBuilder::new()
        .layer(
            Breaker::layer("bench", &context)
                .recovery_with(|answer: &Answer, _| match answer {
                    Ok(_) => RecoveryInfo::never(),
                    Err(_) => RecoveryInfo::retry(),
                })
                .rejected_input_error(|_, _| io::Error::other("open")),
        )
        .service(bare())
}

fn closed(threads: usize) {
    let recloser = Arc::new(Recloser::custom().error_rate(0.5).closed_len(100).build());
    let policy = failure_policy::consecutive_failures(5, backoff::constant(SECOND));
    let failsafe = Config::new().failure_policy(policy).build();
    let ours = built(count_window());
    let direct_rows = vec![
        direct("bare closure", threads, || drop(black_box(work()))),
        direct("tower-keep, count window of 100", threads, {
            let ours = ours.clone();
            move || drop(black_box(ours.run(work)))
        }),
        direct("tower-keep, time window of 10 s", threads, {
            let ours = built(time_window());
            move || drop(black_box(ours.run(work)))
        }),
        direct("recloser, ring of 100", threads, move || {
            drop(black_box(recloser.call(work)))
        }),
        direct("failsafe, 5 in a row", threads, move || {
            drop(black_box(failsafe.call(work)))
        }),
    ];
    compare(
        &format!("A closed breaker round a closure, {threads} thread(s) on one instance"),
        direct_rows,
    );

    let theirs = |builder: tower_resilience_circuitbreaker::CircuitBreakerConfigBuilder<_>| {
        builder
            .failure_rate_threshold(0.5)
            .build()
            .expect("settings")
    };
    let by_time = CircuitBreakerLayer::builder()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(10 * SECOND);
    let rows = vec![
        service("bare service", threads, bare()),
        service(
            "tower-keep, count window of 100",
            threads,
            ours.layer().any().layer(bare()),
        ),
        cloned(
            "the same, cloned for each call",
            threads,
            ours.layer().any().layer(bare()),
        ),
        service(
            "tower-keep, time window of 10 s",
            threads,
            built(time_window()).layer().any().layer(bare()),
        ),
        service(
            "tower-keep, with a limit for slow calls",
            threads,
            built(count_window().slow_call(SECOND).slow_rate(0.5))
                .layer()
                .any()
                .layer(bare()),
        ),
        service("seatbelt, time window of 30 s", threads, with_seatbelt()),
        service(
            "tower-resilience, count window of 100",
            threads,
            theirs(CircuitBreakerLayer::builder().sliding_window_size(100)).layer(bare()),
        ),
        service(
            "tower-resilience, time window of 10 s",
            threads,
            theirs(by_time).layer(bare()),
        ),
    ];
    compare(
        &format!("A closed breaker as a layer, {threads} thread(s) on one instance"),
        rows,
    );
}

/// Measures whether the cost of a call depends on how many there were.
fn full_windows() {
    let with = |calls: u64| {
        let breaker = built(CircuitBreaker::builder("full").time_window(600 * SECOND, 10));
        for _ in 0..calls {
            breaker
                .try_acquire()
                .expect("closed")
                .complete(Outcome::Success);
        }
        breaker.layer().any().layer(bare())
    };
    let rows = vec![
        service("bare service", 1, bare()),
        service("tower-keep, 10 calls in the window", 1, with(10)),
        service("tower-keep, 100,000 calls in the window", 1, with(100_000)),
    ];
    compare("A time window, by the calls in it, 1 thread", rows);
}

/// Open for a while, so that its answers say how long.
fn rejecting_server() -> impl Service<u64, Response: Send> + Clone + Send + 'static {
    let breaker = built(count_window());
    breaker.open_for(90 * SECOND);
    let handler = |_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(Body::empty())));
    ServiceBuilder::new()
        .map_request(|_: u64| Request::new(Body::empty()))
        .layer(breaker.layer().server())
        .service(service_fn(handler))
}

fn open() {
    let ours = built(count_window());
    ours.force_open();
    let recloser = Arc::new(
        Recloser::custom()
            .closed_len(1)
            .half_open_len(1)
            .open_wait(3_600 * SECOND)
            .build(),
    );
    for _ in 0..3 {
        let _ = recloser.call(|| Err::<(), _>(io::Error::other("down")));
    }
    let policy = failure_policy::consecutive_failures(1, backoff::constant(3_600 * SECOND));
    let failsafe = Config::new().failure_policy(policy).build();
    let _ = failsafe.call(|| Err::<(), _>(io::Error::other("down")));
    assert!(recloser.call(work).is_err() && failsafe.call(work).is_err());
    let rows = vec![
        direct("bare closure", 1, || drop(black_box(work()))),
        direct("tower-keep, try_acquire", 1, {
            let ours = ours.clone();
            move || drop(black_box(ours.try_acquire()))
        }),
        service(
            "tower-keep, as a layer: a boxed error",
            1,
            ours.layer().any().layer(bare()),
        ),
        service(
            "tower-keep, as a server: an HTTP answer",
            1,
            rejecting_server(),
        ),
        direct("recloser", 1, move || drop(black_box(recloser.call(work)))),
        direct("failsafe", 1, move || drop(black_box(failsafe.call(work)))),
    ];
    compare("A rejection by an open breaker, 1 thread", rows);
}

/// Tries again whatever fails, three times.
#[derive(Clone)]
struct Thrice(usize);

impl tower::retry::Policy<u64, u64, io::Error> for Thrice {
    type Future = Ready<()>;
    fn retry(&mut self, _: &mut u64, result: &mut Answer) -> Option<Ready<()>> {
        (result.is_err() && self.0 > 0).then(|| {
            self.0 -= 1;
            ready(())
        })
    }
    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

fn three() {
    let breaker = built(count_window());
    let ours = |retry| {
        ServiceBuilder::new()
            .layer(RetryLayer::any(retry))
            .layer(breaker.layer().any())
            .layer(TimeoutLayer::any(SECOND))
            .service(bare())
    };
    let budgetless = Retry::builder("bench")
        .budget(None)
        .build()
        .expect("settings");
    let theirs = ServiceBuilder::new()
        .layer(TheirRetryLayer::builder().max_attempts(3).build())
        .layer(
            CircuitBreakerLayer::builder()
                .sliding_window_size(100)
                .build()
                .expect("settings"),
        )
        .layer(TimeLimiterLayer::builder().timeout_duration(SECOND).build())
        .service(bare());
    let rows = vec![
        service("bare service", 1, bare()),
        service("tower-keep: retry, breaker, timeout", 1, ours(budgetless)),
        service("the same, with a budget", 1, ours(Retry::new("bench"))),
        service(
            "tower-keep: timeout alone",
            1,
            TimeoutLayer::any(SECOND).layer(bare()),
        ),
        service(
            "tower: timeout alone",
            1,
            tower::timeout::TimeoutLayer::new(SECOND).layer(bare()),
        ),
        service(
            "tower: retry alone",
            1,
            ServiceBuilder::new().retry(Thrice(2)).service(bare()),
        ),
        service(
            "tower: concurrency limit alone",
            1,
            tower::limit::ConcurrencyLimit::new(bare(), 100),
        ),
        service("tower-resilience: retry, breaker, timeout", 1, theirs),
    ];
    compare(
        "Retry, breaker and timeout where nothing goes wrong, 1 thread",
        rows,
    );
}

/// Limits of the calls in flight, those included that adapt themselves.
fn limits(threads: usize) {
    let adaptive = Bulkhead::builder("bench").adaptive(AdaptiveSettings::default());
    let adaptive = adaptive.build().expect("settings");
    let theirs = Gradient2::builder().initial_limit(25).build();
    let theirs = AdaptiveLimiterLayer::new(theirs.expect("settings"));
    let rows = vec![
        service("bare service", threads, bare()),
        service(
            "tower-keep: bulkhead that adapts itself",
            threads,
            GuardLayer::any(adaptive.clone()).layer(bare()),
        ),
        service(
            "the same, as a layer that may wait",
            threads,
            adaptive.layer().any().layer(bare()),
        ),
        service(
            "tower-keep: bulkhead",
            threads,
            GuardLayer::any(Bulkhead::new("bench")).layer(bare()),
        ),
        service(
            "tower: concurrency limit",
            threads,
            tower::limit::GlobalConcurrencyLimitLayer::new(25).layer(bare()),
        ),
        service(
            "tower-resilience: adaptive limit, Gradient2",
            threads,
            theirs.layer(bare()),
        ),
    ];
    compare(
        &format!("A limit of the calls in flight, {threads} thread(s) on one instance"),
        rows,
    );
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    for threads in [1, 2] {
        closed(threads);
    }
    full_windows();
    open();
    three();
    for threads in [1, 2] {
        limits(threads);
    }
}
