//! The cost of each observing layer around a service that does nothing: time (criterion) and allocations.
//!
//! `cargo bench --bench layers --features axum`. Compare within one run only. The comparison with other crates is
//! a package of its own: `benches/comparison`.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/noop_guard.rs"]
mod noop_guard;
#[path = "support/poll.rs"]
mod poll;

use std::{convert::Infallible, hint::black_box, time::Duration};

use axum::{Router, body::Body, routing::get};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use noop_guard::NoopGuard;
use tower::{Layer, service_fn};
use tower_keep::{
    Bulkhead, GuardLayer, Outcome, RateLimit, Throttle, Track,
    adaptive::AdaptiveSettings,
    coalesce::{Coalesce, CoalesceLayer},
    context::{Correlate, InheritContext, Propagate, Trust},
    hedge::{Hedge, HedgeLayer},
    observe, operation,
    priority::Prioritizer,
    retry::{Retry, RetryLayer},
    track::DURATION_BUCKETS,
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// The policy that tower's own retry asks for: three attempts, no wait, no budget.
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

fn adaptive_bulkhead() -> Bulkhead {
    let builder = Bulkhead::builder("bench").adaptive(AdaptiveSettings::default());
    builder.build().expect("valid settings")
}

/// A limit that admits every call.
fn rate_limit() -> RateLimit {
    let limit = RateLimit::builder("bench").rate(1_000_000, Duration::from_secs(1));
    limit.burst(u32::MAX).build().expect("valid settings")
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
        "any: bulkhead",
        GuardLayer::any(Bulkhead::new("bench")).layer(inner)
    );
    row!(
        "any: bulkhead whose limit adapts itself",
        GuardLayer::any(adaptive_bulkhead()).layer(inner)
    );
    row!(
        "any: throttle",
        GuardLayer::any(Throttle::new("bench")).layer(inner)
    );
    row!(
        "any: rate limit",
        GuardLayer::any(rate_limit()).layer(inner)
    );
    row!(
        "any: tower's own retry",
        tower::retry::RetryLayer::new(Towers(2)).layer(inner)
    );
    row!(
        "any: retry",
        RetryLayer::any(Retry::new("bench")).layer(inner)
    );
    let coalesce = CoalesceLayer::any(Coalesce::new("bench"), |n: &u64| Some(*n));
    row!("any: coalesce", coalesce.layer(inner));
    #[cfg(feature = "cache")]
    {
        use tower_keep::cache::{Cache, CacheLayer};
        let cache = CacheLayer::any(Cache::new("bench"), |n: &u64| Some(*n));
        row!("any: cache that has the response", cache.layer(inner));
    }
    row!(
        "any: hedge",
        HedgeLayer::any(Hedge::new("bench")).layer(inner)
    );
    #[cfg(feature = "balance")]
    {
        let balancer = tower_keep::Balance::new("bench").any(move |_: &u32| inner);
        balancer.endpoints().set(0..3);
        row!("any: balancer of three endpoints", balancer);
    }
    let retry = Retry::new("bench");
    bench.row("retry: run", || {
        let work = |_| async { Ok::<_, Infallible>(7) };
        black_box(poll::finish(retry.run(work))).ok();
    });
    let throttle = Throttle::new("bench");
    bench.row("throttle: permit", || {
        let permit = throttle.try_acquire().expect("the peer is healthy");
        permit.complete(black_box(Outcome::Success));
    });
    let limit = rate_limit();
    bench.row("rate limit: check", || {
        black_box(limit.check()).expect("of the burst");
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
    let by_header = Prioritizer::new("bench").by_header(Trust::always());
    row!(
        "http: prioritizer by a header",
        GuardLayer::server(by_header).layer(inner)
    );
    row!(
        "http: propagate",
        GuardLayer::client(Propagate::default()).layer(inner)
    );
    row!(
        "http: observe a client",
        observe("bench").client().layer(inner)
    );
}

fn shared(bench: &mut Bench<'_>) {
    let inner = service_fn(|_: Request<Body>| async move {
        let mut response = Response::new(Body::from("hello"));
        let fresh = http::HeaderValue::from_static("max-age=3600");
        response.headers_mut().insert("cache-control", fresh);
        Ok::<_, Infallible>(response)
    });
    macro_rules! row {
        ($name:literal, $service:expr) => {
            let mut service = $service;
            bench.row($name, || {
                black_box(poll::exchange(&mut service, Request::new(Body::empty())));
            });
        };
    }
    let coalesce = CoalesceLayer::server(Coalesce::new("bench"));
    row!("http: coalesce", coalesce.layer(inner));
    #[cfg(feature = "cache")]
    {
        use tower_keep::cache::{Cache, HttpCacheLayer};
        let cache = HttpCacheLayer::server(Cache::new("bench"));
        row!("http: cache that has the response", cache.layer(inner));
    }
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
    let hedge = || HedgeLayer::client(Hedge::new("bench"));
    row!("order: hedge", PUT, hedge().layer(service_fn(answer)));
    row!(
        "order: hedge of what is sent once",
        POST,
        hedge().layer(service_fn(answer))
    );
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
    shared(&mut bench);
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
