//! What each observing layer adds to a service that does nothing: time (criterion) and allocations.
//!
//! `cargo bench --bench layers --features axum`. Compare within one run only. The comparison with other crates is
//! a package of its own: `benches/comparison`.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/noop_guard.rs"]
mod noop_guard;
#[path = "support/poll.rs"]
mod poll;

use std::{convert::Infallible, hint::black_box};

use axum::{Router, body::Body, routing::get};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use noop_guard::NoopGuard;
use tower::{Layer, service_fn};
use tower_keep::{
    GuardLayer, Track,
    context::{Correlate, InheritContext, Propagate},
    observe, operation,
    retry::{Retry, RetryLayer},
    track::DURATION_BUCKETS,
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// What tower's own retry asks for: three attempts, no wait, no budget.
#[derive(Clone)]
struct Towers(u32);

impl<Req: Clone, Res, E> tower::retry::Policy<Req, Res, E> for Towers {
    type Future = std::future::Ready<()>;
    fn retry(&mut self, _: &mut Req, result: &mut Result<Res, E>) -> Option<Self::Future> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(std::future::ready(()))
    }
    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

fn recorder() -> PrometheusHandle {
    let matcher = Matcher::Suffix("_seconds".into());
    PrometheusBuilder::new()
        .set_buckets_for_metric(matcher, &DURATION_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .expect("the only recorder")
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    handle: PrometheusHandle,
    rows: Vec<(String, f64, f64)>,
}

impl Bench<'_> {
    fn row(&mut self, name: &str, mut call: impl FnMut()) {
        let (allocations, bytes) = allocations::per_call(&mut call);
        self.rows.push((name.to_owned(), allocations, bytes));
        let handle = &self.handle;
        self.criterion.bench_function(name, |bencher| {
            bencher.iter(&mut call);
            // Histograms grow until somebody empties them.
            handle.run_upkeep();
        });
    }

    fn print(&self) {
        println!("\n{:<44} {:>12} {:>12}", "per call", "allocations", "bytes");
        for (name, allocations, bytes) in &self.rows {
            println!("{name:<44} {allocations:>12.2} {bytes:>12.0}");
        }
    }
}

fn plain(bench: &mut Bench<'_>) {
    let inner = service_fn(|n: u64| async move { Ok::<_, Infallible>(n) });
    macro_rules! row {
        ($name:literal, $service:expr) => {
            let mut service = $service;
            bench.row($name, || {
                black_box(poll::call(&mut service, black_box(7))).ok();
            });
        };
    }
    row!("any: bare", inner);
    row!(
        "any: a guard that does nothing",
        GuardLayer::any(NoopGuard).layer(inner)
    );
    row!(
        "any: two guards that do nothing",
        GuardLayer::any((NoopGuard, NoopGuard)).layer(inner)
    );
    row!("any: context", GuardLayer::any(InheritContext).layer(inner));
    row!("any: observe", observe("bench").any().layer(inner));
    row!(
        "any: tower's own retry",
        tower::retry::RetryLayer::new(Towers(2)).layer(inner)
    );
    row!(
        "any: retry",
        RetryLayer::any(Retry::new("bench")).layer(inner)
    );
    let retry = Retry::new("bench");
    bench.row("retry: run", || {
        let work = |_| async { Ok::<_, Infallible>(7) };
        black_box(poll::finish(retry.run(work))).ok();
    });
    bench.row("operation: run", || {
        let work = async { Ok::<_, Infallible>(7) };
        black_box(poll::finish(operation("bench").run(work))).ok();
    });
}

fn http_service(bench: &mut Bench<'_>) {
    let inner = service_fn(|_: Request<Body>| async move {
        Ok::<_, Infallible>(Response::new(Body::from("hello")))
    });
    macro_rules! row {
        ($name:literal, $service:expr) => {
            let mut service = $service;
            bench.row($name, || {
                black_box(poll::exchange(&mut service, Request::new(Body::empty())));
            });
        };
    }
    row!("http: bare", inner);
    row!(
        "http: a guard that does nothing",
        GuardLayer::server(NoopGuard).layer(inner)
    );
    row!(
        "http: context",
        GuardLayer::server(Correlate::default()).layer(inner)
    );
    row!(
        "http: track",
        GuardLayer::server(Track::new("bench")).layer(inner)
    );
    row!("http: observe", observe("bench").server().layer(inner));
    row!(
        "http: propagate",
        GuardLayer::client(Propagate::default()).layer(inner)
    );
    row!(
        "http: observe a client",
        observe("bench").client().layer(inner)
    );
}

/// A head of five headers and a body of one piece.
fn retried(bench: &mut Bench<'_>) {
    type Order = http_body_util::Full<bytes::Bytes>;
    let order = |method: http::Method| {
        let mut builder = Request::builder().method(method).uri("/orders/7");
        for name in [
            "accept",
            "authorization",
            "content-type",
            "host",
            "user-agent",
        ] {
            builder = builder.header(name, http::HeaderValue::from_static("something"));
        }
        builder.body(Order::from("an order")).expect("a request")
    };
    async fn answer<B>(_: Request<B>) -> Result<Response<Order>, Infallible> {
        Ok(Response::new(Order::from("hello")))
    }
    macro_rules! row {
        ($name:literal, $method:ident, $service:expr) => {
            let mut service = $service;
            bench.row($name, || {
                let request = order(http::Method::$method);
                black_box(poll::exchange(&mut service, request));
            });
        };
    }
    let layer = || RetryLayer::client(Retry::new("bench"));
    row!("order: bare", PUT, service_fn(answer::<Order>));
    row!(
        "order: tower's own retry",
        PUT,
        tower::retry::RetryLayer::new(Towers(2)).layer(service_fn(answer::<Order>))
    );
    row!("order: retry", PUT, layer().layer(service_fn(answer)));
    row!(
        "order: retry of what is sent once",
        POST,
        layer().retry_unsent(false).layer(service_fn(answer))
    );
}

fn axum_route(bench: &mut Bench<'_>) {
    let router = || -> Router { Router::new().route("/orders/{id}", get(|| async { "hello" })) };
    let request = || {
        Request::get("/orders/7")
            .body(Body::empty())
            .expect("a request")
    };
    macro_rules! row {
        ($name:literal, $service:expr) => {
            // As `axum::serve` does once: without it, each call builds the route and its layers anew.
            let mut service = $service.with_state(());
            bench.row($name, || {
                black_box(poll::exchange(&mut service, request()));
            });
        };
    }
    row!("axum: bare", router());
    row!(
        "axum: a guard that does nothing",
        router().layer(GuardLayer::server(NoopGuard))
    );
    row!("axum: observe", router().layer(observe("bench").server()));
}

fn benches(criterion: &mut Criterion) {
    let mut bench = Bench {
        criterion,
        handle: recorder(),
        rows: Vec::new(),
    };
    plain(&mut bench);
    http_service(&mut bench);
    retried(&mut bench);
    axum_route(&mut bench);
    bench.print();
}

criterion_group! {
    name = group;
    config = Criterion::default().sample_size(30).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(1));
    targets = benches
}
criterion_main!(group);
