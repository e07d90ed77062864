//! The cost of a bulkhead around a service that does nothing, and in a stack that does more, beside tower's limit.
//!
//! `cargo bench --bench bulkhead`. All rows of a block take turns, so that a busy machine slows them alike: look at
//! what a row adds to the first of its block, and how many times that it is. Medians of many turns.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/noop_guard.rs"]
mod noop_guard;
#[path = "support/poll.rs"]
mod poll;
#[path = "support/rows.rs"]
mod rows;

use std::{convert::Infallible, hint::black_box, sync::Arc};

use http::{Request, Response};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use noop_guard::NoopGuard;
use rows::{Row, answer, block, pair, row};
use tokio::sync::Semaphore;
use tower::{Layer, limit::GlobalConcurrencyLimitLayer, service_fn};
use tower_keep::{
    Bulkhead, CircuitBreaker, GuardLayer, Throttle, Track, adaptive::AdaptiveSettings,
    priority::Prioritizer,
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

fn bulkhead() -> Bulkhead {
    Bulkhead::new("bench")
}

/// A limit that every call which ends in a second has a part in.
fn adaptive() -> Bulkhead {
    let builder = Bulkhead::builder("bench").adaptive(AdaptiveSettings::default());
    builder.build().expect("valid settings")
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new("bench")
}

macro_rules! layers {
    ($row:ident) => {{
        let tower = GlobalConcurrencyLimitLayer::new(25);
        vec![
            calls!($row, "bare", service_fn(answer)),
            calls!($row, "a guard that does nothing", GuardLayer::any(NoopGuard).layer(service_fn(answer))),
            calls!($row, "tower's limit", tower.layer(service_fn(answer))),
            calls!($row, "bulkhead, as a guard", GuardLayer::any(bulkhead()).layer(service_fn(answer))),
            calls!($row, "bulkhead that adapts itself, as a guard", GuardLayer::any(adaptive()).layer(service_fn(answer))),
            calls!($row, "throttle, as a guard", GuardLayer::any(Throttle::new("bench")).layer(service_fn(answer))),
            calls!($row, "prioritizer, as a guard", GuardLayer::any(Prioritizer::new("bench")).layer(service_fn(answer))),
            calls!($row, "bulkhead, as a layer that may wait", bulkhead().layer().any().layer(service_fn(answer))),
            calls!($row, cloned "tower's limit, cloned for each call", tower.layer(service_fn(answer))),
            calls!($row, cloned "bulkhead as a layer, cloned for each call", bulkhead().layer().any().layer(service_fn(answer))),
        ]
    }};
}

/// A row of HTTP calls, whose bodies are read to their end.
macro_rules! exchanges {
    ($row:ident, $name:expr, $guards:expr) => {{
        let inner = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from("hello")))
        });
        let service = GuardLayer::server($guards).layer(inner);
        $row($name, move || {
            let mut service = service.clone();
            move || {
                black_box(poll::exchange(&mut service, Request::new(())));
            }
        })
    }};
}

macro_rules! stacks {
    ($row:ident) => {{
        let track = || {
            let builder = Track::builder("bench").access_log(false);
            builder.build().expect("valid settings")
        };
        vec![
            exchanges!($row, "tracker and breaker", (track(), breaker())),
            exchanges!(
                $row,
                "tracker, bulkhead and breaker",
                (track(), (bulkhead(), breaker()))
            ),
            exchanges!(
                $row,
                "tracker, adaptive bulkhead and breaker",
                (track(), (adaptive(), breaker()))
            ),
            exchanges!(
                $row,
                "tracker, throttle and breaker",
                (track(), (Throttle::new("bench"), breaker()))
            ),
        ]
    }};
}

fn permits() -> Vec<Row<'static>> {
    let (semaphore, own) = (Arc::new(Semaphore::new(25)), bulkhead());
    let (full, permit) = (Bulkhead::builder("full").limit(1), own.clone());
    let full = full.build().expect("valid settings");
    std::mem::forget(full.try_acquire().expect("free"));
    vec![
        row("a permit of tokio's semaphore", move || {
            let semaphore = semaphore.clone();
            move || drop(black_box(semaphore.clone().try_acquire_owned()))
        }),
        row("a permit of the bulkhead", move || {
            let permit = permit.clone();
            move || drop(black_box(permit.try_acquire()))
        }),
        row("a call of a future", move || {
            let own = own.clone();
            move || {
                let _ = black_box(poll::finish(own.call(answer(7))));
            }
        }),
        row("a rejection", move || {
            let full = full.clone();
            move || drop(black_box(full.try_acquire()))
        }),
    ]
}

fn main() {
    println!("without a recorder");
    blocks();
    PrometheusBuilder::new()
        .install_recorder()
        .expect("the only recorder");
    println!("\nwith the recorder of metrics-exporter-prometheus");
    blocks();
}

fn blocks() {
    block("one thread", &layers!(row));
    block("two threads on one bulkhead", &layers!(pair));
    block("fused, one thread", &stacks!(row));
    block("fused, two threads", &stacks!(pair));
    block("without a service", &permits());
}
