//! The cost of a circuit breaker around a service that does nothing.
//!
//! `cargo bench --bench breaker`. All rows of a block take turns, so that a busy machine slows them alike: look at
//! what a row adds to the first of its block, and how many times that it is. Medians of many turns.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/noop_guard.rs"]
mod noop_guard;
#[path = "support/poll.rs"]
mod poll;
#[path = "support/rows.rs"]
mod rows;

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use noop_guard::NoopGuard;
use rows::{Row, answer, block, pair, row};
use tower::{Layer, service_fn};
use tower_keep::{
    CircuitBreaker, GuardLayer, Outcome, breaker::CircuitBreakerBuilder, call::CallClock,
    guard::Admit,
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Closed, with so many calls in its window.
fn closed(builder: CircuitBreakerBuilder, calls: u32) -> CircuitBreaker {
    let breaker = builder.build().expect("sound");
    for _ in 0..calls {
        breaker
            .try_acquire()
            .expect("closed")
            .complete(Outcome::Success);
    }
    assert_eq!(breaker.counts().calls, u64::from(calls));
    breaker
}

fn builder() -> CircuitBreakerBuilder {
    // Long enough to hold all that is put into it.
    CircuitBreaker::builder("bench").time_window(Duration::from_secs(600), 10)
}

fn opened() -> CircuitBreaker {
    let breaker = builder().build().expect("sound");
    breaker.open_for(Duration::from_secs(3_600));
    breaker
}

macro_rules! closed_rows {
    ($row:ident) => {{
        let any = |breaker: CircuitBreaker| breaker.layer().any().layer(service_fn(answer));
        let ten = || closed(builder().count_window(10), 10);
        vec![
            calls!($row, "bare", service_fn(answer)),
            calls!($row, "a guard that does nothing", GuardLayer::any(NoopGuard).layer(service_fn(answer))),
            calls!($row, "count window, 10 calls", any(ten())),
            calls!($row, "count window, 10,000 calls", any(closed(builder().count_window(10_000), 10_000))),
            calls!($row, "time window, 10 calls", any(closed(builder(), 10))),
            calls!($row, "time window, 100,000 calls", any(closed(builder(), 100_000))),
            calls!($row, "time window, slow calls looked at", any(closed(builder().slow_call(Duration::from_secs(9)), 10))),
            calls!($row, cloned "count window, cloned for each call", any(ten())),
            calls!($row, cloned "time window, cloned for each call", any(closed(builder(), 10))),
        ]
    }};
}

/// Measures the parts of which a breaker is made.
fn yardsticks() -> Vec<Row<'static>> {
    let shared = Arc::new(AtomicU64::new(0));
    let cloned = shared.clone();
    vec![
        calls!(row, "bare", service_fn(answer)),
        row("a clock reading", || {
            || _ = black_box(tokio::time::Instant::now())
        }),
        row("an atomic add", move || {
            let shared = shared.clone();
            move || _ = black_box(shared.fetch_add(1, Ordering::AcqRel))
        }),
        row("an Arc cloned and dropped", move || {
            let cloned = cloned.clone();
            move || drop(black_box(cloned.clone()))
        }),
    ]
}

fn rejections() -> Vec<Row<'static>> {
    let breaker = opened();
    let service = breaker.layer().any().layer(service_fn(answer));
    let admit = move || {
        let breaker = breaker.clone();
        let now = CallClock::default();
        now.now();
        move || {
            let rejected = Admit::<()>::admit(&breaker, &mut (), &now);
            let _ = black_box(rejected.is_err());
        }
    };
    vec![
        calls!(row, "bare", service_fn(answer)),
        row("rejected by admit, the time known", admit),
        calls!(row, "rejected with a boxed error", service),
    ]
}

fn http_rejections() -> Vec<Row<'static>> {
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from("hello")))
    });
    macro_rules! http {
        ($name:expr, $service:expr) => {{
            let service = $service;
            row($name, move || {
                let mut service = service.clone();
                move || {
                    black_box(poll::exchange(&mut service, Request::new(())));
                }
            })
        }};
    }
    let closed = closed(builder(), 10);
    vec![
        http!("HTTP, bare", inner),
        http!(
            "a guard that does nothing",
            GuardLayer::server(NoopGuard).layer(inner)
        ),
        http!("closed", closed.layer().server().layer(inner)),
        http!(
            "rejected with an answer",
            opened().layer().server().layer(inner)
        ),
    ]
}

fn main() {
    PrometheusBuilder::new()
        .install_recorder()
        .expect("the only recorder");
    block("yardsticks", &yardsticks());
    block("closed, one thread", &closed_rows!(row));
    block("closed, two threads on one breaker", &closed_rows!(pair));
    block("open", &rejections());
    block("HTTP, the body read to its end", &http_rejections());
}
