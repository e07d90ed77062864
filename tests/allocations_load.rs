//! The same as `allocations.rs` for what shares, keeps, spreads and limits calls.

#[path = "../benches/support/allocations.rs"]
mod allocations;
#[path = "../benches/support/poll.rs"]
mod poll;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_keep::{
    Balance, Bulkhead, GuardLayer, Throttle,
    adaptive::{AdaptiveSettings, Algorithm},
    cache::{Cache, CacheLayer, HttpCacheLayer},
    coalesce::{Coalesce, CoalesceLayer},
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const HOUR: Duration = Duration::from_secs(3_600);

/// Allocations of one call.
fn allocations(call: impl FnMut()) -> f64 {
    allocations::per_call(call).0
}

#[test]
fn cache_hit_does_not_allocate() {
    let cache = Cache::builder("costs").ttl(HOUR).build();
    let cache = cache.expect("valid settings");
    let mut service = CacheLayer::any(cache.clone(), |n: &u64| Some(*n)).layer(bare());
    let work = || {
        let run = cache.run(7_u64, ready(Ok::<_, std::io::Error>(7_u32)));
        black_box(poll::finish(run)).expect("a result");
    };
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
    assert_eq!(allocations(work), 0.0);
    assert_eq!(cache.stats().misses, 2);
}

#[test]
fn cache_hit_over_http_allocates_eight_times() {
    let cache = Cache::new("costs");
    let mut service = HttpCacheLayer::client(cache.clone()).layer(service_fn(cacheable));
    let request = || {
        let request = Request::get("http://stock/items/7").body(Full::<Bytes>::default());
        request.expect("a request")
    };
    let exchange = || {
        black_box(poll::exchange(&mut service, request()));
    };
    let with = allocations(exchange);
    assert_eq!(cache.stats().misses, 1);
    let asked = allocations(|| drop(black_box(request())));
    assert_eq!(with - asked, 8.0);
}

#[test]
fn coalesced_call_allocates_four_times_and_not_while_disabled() {
    let coalesce = Coalesce::new("costs");
    let layer = CoalesceLayer::any(coalesce.clone(), |n: &u64| Some(*n));
    let mut service = layer.layer(bare());
    assert_eq!(allocations(|| ask(&mut service)), 4.0);
    coalesce.disable();
    assert_eq!(allocations(|| ask(&mut service)), 0.0);
}

#[test]
fn balanced_call_does_not_allocate() {
    let mut balancer = Balance::new("costs").any(|_: &u32| bare());
    balancer.endpoints().set([1, 2, 3]);
    assert_eq!(allocations(|| ask(&mut balancer)), 0.0);
}

#[test]
fn adaptive_limit_does_not_allocate_within_a_window() {
    // No window ends, since the clock stands still.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    for algorithm in [
        Algorithm::Correlation,
        Algorithm::Gradient2,
        Algorithm::Vegas,
        Algorithm::Aimd,
    ] {
        let mut settings = AdaptiveSettings::default();
        settings.algorithm = algorithm;
        let bulkhead = Bulkhead::builder("costs").adaptive(settings).build();
        let bulkhead = bulkhead.expect("valid settings");
        let mut guard = GuardLayer::any(bulkhead.clone()).layer(bare());
        let mut layer = bulkhead.layer().any().layer(bare());
        assert_eq!(allocations(|| ask(&mut guard)), 0.0);
        assert_eq!(allocations(|| ask(&mut layer)), 0.0);
    }
}

#[test]
fn throttle_of_admitted_calls_does_not_allocate() {
    let mut guard = GuardLayer::any(Throttle::new("costs")).layer(bare());
    assert_eq!(allocations(|| ask(&mut guard)), 0.0);
}

fn bare()
-> impl Service<u64, Response = u64, Error = Infallible, Future = Ready<Result<u64, Infallible>>> + Clone
{
    service_fn(|n: u64| ready(Ok(n)))
}

fn ask<S: Service<u64, Response = u64>>(service: &mut S) {
    assert_eq!(poll::call(service, black_box(7)).ok(), Some(7));
}

async fn cacheable(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder().header("cache-control", "max-age=3600");
    Ok(response.body(Full::from("hello")).expect("a response"))
}
