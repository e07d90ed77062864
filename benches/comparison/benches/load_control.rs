//! Shared calls, caches and balancers: what they add to a service that answers at once, beside the crates that people use
//! for it today. Prints Markdown tables.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench load_control`
//!
//! All rows of a table are measured in turns in one run. Services are built outside of the timed loops, and futures are
//! polled by hand: no executor is measured.

#[path = "../../support/allocations.rs"]
mod allocations;
#[path = "../../support/poll.rs"]
mod poll;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{Request, Response};
use http_body_util::Full;
use tower::{
    Layer,
    balance::p2c,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwmaDiscover, PendingRequestsDiscover},
    service_fn,
};
use tower_keep::{
    Balance,
    cache::{Cache, CacheLayer, HttpCacheLayer},
    coalesce::{Coalesce, CoalesceLayer},
};
use tower_keep_comparison::{Calls, Row, compare};
use tower_service::Service;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const HOUR: Duration = Duration::from_secs(3_600);
/// The number of entries of each cache, of which one is asked for.
const ENTRIES: u64 = 1_000;
const ENDPOINTS: [u32; 3] = [1, 2, 3];

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

/// One row of a call that each thread makes with what it has made for itself.
fn row<F: FnMut() + Send + 'static>(
    name: &'static str,
    threads: usize,
    make: impl Fn() -> F,
) -> Row {
    let counted = allocations::per_call(make());
    Row::new(name, (0..threads).map(|_| repeat(make())).collect()).allocations(counted)
}

/// One row of a service that all threads share.
fn service<S>(name: &'static str, threads: usize, service: S) -> Row
where
    S: Service<u64, Response: Send> + Clone + Send + 'static,
{
    let size = size_of::<S::Future>();
    row(name, threads, move || {
        let mut service = service.clone();
        move || drop(black_box(poll::call(&mut service, black_box(7))))
    })
    .future_size(size)
}

/// One row of a service that is not `Clone`.
fn lone<S>(name: &'static str, make: impl Fn() -> S) -> Row
where
    S: Service<u64, Response = u64> + Send + 'static,
{
    row(name, 1, || {
        let mut service = make();
        move || drop(black_box(poll::call(&mut service, black_box(7))))
    })
    .future_size(size_of::<S::Future>())
}

/// Calls that no other one joins.
fn shared_calls() {
    let threads = 1;
    let coalesce = Coalesce::new("bench");
    let layer = CoalesceLayer::any(coalesce.clone(), |n: &u64| Some(*n));
    let off = Coalesce::new("off");
    off.disable();
    let off = CoalesceLayer::any(off, |n: &u64| Some(*n));
    let rows = vec![
        service("bare service", threads, bare()),
        service(
            "tower-keep: a call that leads",
            threads,
            layer.layer(bare()),
        ),
        row("the same, of a future", threads, || {
            let coalesce = coalesce.clone();
            move || {
                drop(black_box(poll::finish(
                    coalesce.run(black_box(7_u64), answer(7)),
                )))
            }
        }),
        service("the same layer, disabled", threads, off.layer(bare())),
    ];
    compare("A shared call that no other one joins, 1 thread", rows);
}

/// Hits of a cache.
fn hits(threads: usize) {
    let cache = Cache::builder("bench").ttl(HOUR).build().expect("settings");
    let service_hit = CacheLayer::any(cache.clone(), |n: &u64| Some(*n)).layer(bare());
    let quick = Arc::new(quick_cache::sync::Cache::new(10_000));
    let moka = moka::sync::Cache::new(10_000);
    let expiring = moka::sync::Cache::builder().max_capacity(10_000);
    let expiring = expiring.time_to_live(HOUR).build();
    let map = Arc::new(Mutex::new(std::collections::HashMap::new()));
    for key in 0..ENTRIES {
        let _ = poll::finish(cache.run(key, answer(key)));
        let _ = poll::call(&mut service_hit.clone(), key);
        quick.insert(key, key);
        moka.insert(key, key);
        expiring.insert(key, key);
        map.lock().expect("no panic").insert(key, key);
    }
    let rows = vec![
        row("nothing", threads, || {
            || {
                black_box(7);
            }
        }),
        service("tower-keep: a hit, as a layer", threads, service_hit),
        row("the same, of a future", threads, || {
            let cache = cache.clone();
            move || {
                drop(black_box(poll::finish(
                    cache.run(black_box(7_u64), answer(7)),
                )))
            }
        }),
        row("quick_cache: get", threads, || {
            let quick = quick.clone();
            move || {
                black_box(quick.get(&black_box(7)));
            }
        }),
        row("moka: get", threads, || {
            let moka = moka.clone();
            move || {
                black_box(moka.get(&black_box(7)));
            }
        }),
        row("moka: get, with a time to live", threads, || {
            let moka = expiring.clone();
            move || {
                black_box(moka.get(&black_box(7)));
            }
        }),
        row("std: a map under a lock", threads, || {
            let map = map.clone();
            move || {
                let map = map.lock().expect("no panic");
                black_box(map.get(&black_box(7)).copied());
            }
        }),
    ];
    compare(&format!("A hit of a cache, {threads} thread(s)"), rows);
}

fn cacheable()
-> impl Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(|_: Request<Body>| {
        let response = Response::builder().header("cache-control", "max-age=3600");
        ready(Ok(response.body(Full::from("hello")).expect("a response")))
    })
}

fn exchanges<S, B>(name: &'static str, service: S) -> Row
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug>,
    S: Clone + Send + 'static,
    B: http_body::Body,
{
    row(name, 1, move || {
        let mut service = service.clone();
        move || {
            let request = Request::get("http://stock/items/7").body(Body::empty());
            black_box(poll::exchange(&mut service, request.expect("a request")));
        }
    })
}

fn http_hits() {
    let cache = HttpCacheLayer::client(Cache::new("bench"));
    let rows = vec![
        exchanges("bare service", cacheable()),
        exchanges("tower-keep: a hit", cache.layer(cacheable())),
    ];
    compare(
        "A response from a cache, over HTTP without a network, 1 thread",
        rows,
    );
}

fn balancers() {
    let balancer = Balance::new("bench").any(|_: &u32| bare());
    balancer.endpoints().set(ENDPOINTS);
    let endpoints = || ServiceList::new(ENDPOINTS.map(|_| bare()));
    let completion = CompleteOnResponse::default;
    let decay = Duration::from_secs(10);
    let rows = vec![
        service("bare service", 1, bare()),
        service("tower-keep: a call of one of three", 1, balancer),
        lone("tower: p2c by pending requests", || {
            p2c::Balance::new(PendingRequestsDiscover::new(endpoints(), completion()))
        }),
        lone("tower: p2c by latency (peak EWMA)", || {
            let rtt = Duration::from_millis(1);
            let endpoints = PeakEwmaDiscover::new::<u64>(endpoints(), rtt, decay, completion());
            p2c::Balance::new(endpoints)
        }),
    ];
    compare("A call of one of three endpoints, 1 thread", rows);
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    shared_calls();
    for threads in [1, 2] {
        hits(threads);
    }
    http_hits();
    balancers();
}
