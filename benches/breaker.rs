//! What a circuit breaker adds to a service that does nothing.
//!
//! `cargo bench --bench breaker`. All rows of a block take turns, so that a busy machine slows them alike: look at
//! what a row adds to the first of its block, and how many times that it is. Medians of many turns.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/noop_guard.rs"]
mod noop_guard;
#[path = "support/poll.rs"]
mod poll;

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use noop_guard::NoopGuard;
use tower::{Layer, Service, service_fn};
use tower_keep::{
    CircuitBreaker, GuardLayer, Outcome, breaker::CircuitBreakerBuilder, call::CallClock,
    guard::Admit,
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const TURNS: usize = 61;
const CALLS: u32 = 20_000;

/// Runs so many calls on each of so many threads that share what it is about; the nanoseconds that one call took.
type Run<'a> = Box<dyn Fn(u32) -> f64 + 'a>;

struct Row<'a> {
    name: String,
    run: Run<'a>,
    allocations: f64,
}

/// A row of one thread.
fn row<'a, F: FnMut() + 'a>(name: &str, make: impl Fn() -> F + 'a) -> Row<'a> {
    let (allocations, _) = allocations::per_call(make());
    let run = move |calls| {
        let mut call = make();
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    Row {
        name: name.to_owned(),
        run: Box::new(run),
        allocations,
    }
}

/// The same by two threads at once.
fn pair<'a, F: FnMut() + 'a>(name: &str, make: impl Fn() -> F + Sync + 'a) -> Row<'a> {
    let (allocations, _) = allocations::per_call(make());
    let run = move |calls| {
        let barrier = Barrier::new(2);
        let work = || {
            let mut call = make();
            barrier.wait();
            let began = Instant::now();
            (0..calls).for_each(|_| call());
            began.elapsed().as_nanos() as f64 / f64::from(calls)
        };
        std::thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            let took = threads.map(|thread| thread.join().expect("no panic"));
            (took[0] + took[1]) / 2.0
        })
    };
    Row {
        name: name.to_owned(),
        run: Box::new(run),
        allocations,
    }
}

fn block(title: &str, rows: &[Row<'_>]) {
    let mut turns = vec![Vec::new(); rows.len()];
    for _ in 0..TURNS {
        for (row, turns) in rows.iter().zip(&mut turns) {
            turns.push((row.run)(CALLS));
        }
    }
    println!(
        "\n{title:<44} {:>8} {:>8} {:>8} {:>12}",
        "ns", "added", "times", "allocations"
    );
    let mut first = None;
    for (row, mut turns) in rows.iter().zip(turns) {
        turns.sort_by(f64::total_cmp);
        let ns = turns[TURNS / 2];
        let first = *first.get_or_insert(ns);
        let (name, allocations) = (&row.name, row.allocations);
        let (added, times) = (ns - first, ns / first);
        println!("{name:<44} {ns:>8.1} {added:>8.1} {times:>8.1} {allocations:>12.2}");
    }
}

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

async fn answer(n: u64) -> Result<u64, Infallible> {
    Ok(n)
}

fn one(service: &mut impl Service<u64, Response = u64>) {
    let _ = black_box(poll::call(service, black_box(7)).ok());
}

/// The calls of one handle, and of a clone for each call, as servers do it.
macro_rules! calls {
    ($row:ident, $name:expr, $service:expr) => {{
        let service = $service;
        $row($name, move || {
            let mut service = service.clone();
            move || one(&mut service)
        })
    }};
    ($row:ident, cloned $name:expr, $service:expr) => {{
        let service = $service;
        $row($name, move || {
            let service = service.clone();
            move || one(&mut service.clone())
        })
    }};
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

/// What the parts cost of which a breaker is made.
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
