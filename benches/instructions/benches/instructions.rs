//! The instructions of a call, counted by callgrind: the same on a busy machine as on a quiet one.
//!
//! `.ci/instructions` runs it and compares with `benches/instructions.txt`. Each row makes so many calls after a
//! warm-up that is not counted.

#[path = "setup/axum_calls.rs"]
mod axum_calls;
#[path = "../../support/noop_guard.rs"]
mod noop_guard;
#[path = "../../support/poll.rs"]
mod poll;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use axum_calls::{axum, axum_body, axum_failing, axum_headers, observed, route};
use gungraun::{library_benchmark, library_benchmark_group, main};
use http::{HeaderMap, HeaderValue, Request, Response, Version, request};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use noop_guard::NoopGuard;
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_keep::{
    Balance, Bulkhead, CircuitBreaker, GuardLayer, Prioritizer, RateLimit, Throttle, Track,
    adaptive::AdaptiveSettings,
    breaker::CircuitBreakerBuilder,
    cache::{Cache, CacheLayer, HttpCacheLayer},
    coalesce::{Coalesce, CoalesceLayer},
    context::Correlate,
    logging::{self, LogFormat},
    observe, operation,
    rate_limit::{KeyedRateLimit, RateLimitBuilder},
    retry::{Retry, RetryLayer},
    timeout::TimeoutLayer,
    track::CallTable,
};
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// The number of calls by which `.ci/instructions` divides.
const CALLS: usize = 1_000;
/// Windows are full after it, and everything that is resolved once is.
const WARM_UP: usize = 300;
const SECOND: Duration = Duration::from_secs(1);

type Call = Box<dyn FnMut()>;

fn warm(mut call: Call) -> Call {
    PrometheusBuilder::new()
        .install_recorder()
        .expect("the only recorder of this process");
    (0..WARM_UP).for_each(|_| call());
    call
}

fn answer(n: u64) -> Ready<Result<u64, Infallible>> {
    ready(Ok(black_box(n)))
}

fn bare() -> impl Service<u64, Response = u64, Error = Infallible, Future: Send> + Clone {
    service_fn(answer as fn(u64) -> Ready<Result<u64, Infallible>>)
}

fn plain(service: impl Service<u64, Response = u64> + 'static) -> Call {
    let mut service = service;
    Box::new(move || drop(black_box(poll::call(&mut service, black_box(7)))))
}

fn cloned(service: impl Service<u64, Response = u64> + Clone + 'static) -> Call {
    Box::new(move || drop(black_box(poll::call(&mut service.clone(), black_box(7)))))
}

fn guarded() -> impl Service<u64, Response = u64> {
    GuardLayer::any(NoopGuard).layer(bare())
}

fn twice() -> impl Service<u64, Response = u64> {
    GuardLayer::any((NoopGuard, NoopGuard)).layer(bare())
}

fn count_window() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("count").count_window(100)
}

fn time_window() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("time").time_window(600 * SECOND, 10)
}

fn built(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("sound settings")
}

fn layered(builder: CircuitBreakerBuilder) -> impl Service<u64, Response = u64> + Clone {
    built(builder).layer().any().layer(bare())
}

fn run(builder: CircuitBreakerBuilder) -> Call {
    let breaker = built(builder);
    Box::new(move || drop(black_box(breaker.run(|| Ok::<_, Infallible>(black_box(7))))))
}

fn open() -> CircuitBreaker {
    let breaker = built(count_window());
    breaker.open_for(3_600 * SECOND);
    breaker
}

fn rejected_permit() -> Call {
    let breaker = open();
    Box::new(move || drop(black_box(breaker.try_acquire())))
}

fn three() -> Call {
    let retry = Retry::builder("bench").budget(None).build();
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::any(retry.expect("sound settings")))
        .layer(built(count_window()).layer().any())
        .layer(TimeoutLayer::any(SECOND))
        .service(bare());
    plain(stack)
}

fn breaker_and_track() -> Call {
    let guards = (Track::new("bench"), built(count_window()));
    http(GuardLayer::server(guards).layer(hello()))
}

fn bulkhead_breaker_and_track() -> Call {
    let breaker = built(count_window());
    let guards = (Track::new("bench"), (Bulkhead::new("bench"), breaker));
    http(GuardLayer::server(guards).layer(hello()))
}

fn bulkhead_permit() -> Call {
    let bulkhead = Bulkhead::new("bench");
    Box::new(move || drop(black_box(bulkhead.try_acquire())))
}

fn adaptive_bulkhead() -> Bulkhead {
    let builder = Bulkhead::builder("bench").adaptive(AdaptiveSettings::default());
    builder.build().expect("sound settings")
}

fn adaptive_bulkhead_breaker_and_track() -> Call {
    let guards = (adaptive_bulkhead(), built(count_window()));
    http(GuardLayer::server((Track::new("bench"), guards)).layer(hello()))
}

/// A call that no other one joins.
fn coalesced() -> impl Service<u64, Response = u64> {
    CoalesceLayer::any(Coalesce::new("bench"), |n: &u64| Some(*n)).layer(bare())
}

/// A response that the first call of the warm-up has left.
fn cached() -> impl Service<u64, Response = u64> {
    CacheLayer::any(Cache::new("bench"), |n: &u64| Some(*n)).layer(bare())
}

fn cached_http()
-> impl Service<Request<Body>, Response = Response<impl http_body::Body>, Error = impl std::fmt::Debug>
{
    HttpCacheLayer::client(Cache::new("bench")).layer(cacheable())
}

fn cacheable()
-> impl Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone {
    service_fn(|_: Request<Body>| {
        let response = Response::builder().header("cache-control", "max-age=3600");
        let response = response.body(Full::from("hello"));
        ready(Ok(response.expect("a response")))
    })
}

/// Three endpoints with the same load, of which two are drawn for each call.
fn balanced() -> impl Service<u64, Response = u64> {
    let balance = Balance::builder("bench").seed(1).build();
    let balancer = balance.expect("sound settings").any(|_: &u32| bare());
    balancer.endpoints().set([1, 2, 3]);
    balancer
}

/// A limit that admits every call.
fn admits_all() -> RateLimitBuilder {
    let limit = RateLimit::builder("bench").rate(1_000_000, SECOND);
    limit.burst(u32::MAX)
}

fn rate_limit_check() -> Call {
    let limit = admits_all().build().expect("sound settings");
    Box::new(move || black_box(limit.check()).expect("of the burst"))
}

fn rate_limit_keyed() -> Call {
    let limits = KeyedRateLimit::builder(admits_all()).build();
    let limits = limits.expect("sound settings");
    Box::new(move || limits.check(&black_box(777_u64)).expect("of the burst"))
}

fn operated() -> Call {
    Box::new(|| {
        let work = async { Ok::<_, Infallible>(7) };
        let _ = black_box(poll::finish(operation("bench").run(work)));
    })
}

fn hello()
-> impl Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone {
    service_fn(|_: Request<Body>| ready(Ok(Response::new(Full::from("hello")))))
}

fn http<S, B>(service: S) -> Call
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: http_body::Body,
{
    let mut service = service;
    Box::new(move || {
        black_box(poll::exchange(&mut service, Request::new(Body::empty())));
    })
}

/// A response that takes many polls: the cost of each frame is a share of the row.
fn streaming()
-> impl Service<Request<Body>, Response = Response<Frames>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|_: Request<Body>| ready(Ok(Response::new(Frames(FRAMES)))))
}

const FRAMES: usize = 100;

/// So many pieces of the same five bytes, without an allocation.
struct Frames(usize);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or_default();
        Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(b"hello")))))
    }
}

/// A unary gRPC method: one message, and its status in the trailers.
fn unary()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|_: Request<Body>| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let message = Full::new(Bytes::from_static(b"\0\0\0\0\x05hello"));
        let body = Body::new(message.with_trailers(ready(Some(Ok(trailers)))));
        let response = Response::builder().header("content-type", "application/grpc");
        ready(Ok(response.body(body).expect("a response")))
    })
}

fn grpc<S, B>(service: S) -> Call
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: http_body::Body,
{
    let mut service = service;
    Box::new(move || {
        let request = grpc_request().body(Body::empty());
        black_box(poll::exchange(&mut service, request.expect("a request")));
    })
}

/// Calls whose caller says how long it waits.
fn grpc_timed<S, B>(service: S) -> Call
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: http_body::Body,
{
    let mut service = service;
    Box::new(move || {
        let request = grpc_request().header("grpc-timeout", "5S");
        let request = request.body(Body::empty());
        black_box(poll::exchange(&mut service, request.expect("a request")));
    })
}

fn grpc_request() -> request::Builder {
    Request::post("http://stock/shop.Stock/Reserve")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// The README's stack around a gRPC client, whose attempts tell the peer their limit.
fn grpc_stack()
-> impl Service<Request<Body>, Response = Response<impl http_body::Body>, Error = impl std::fmt::Debug>
{
    ServiceBuilder::new()
        .layer(TimeoutLayer::grpc_client(10 * SECOND))
        .layer(RetryLayer::grpc_client(Retry::new("bench")).request_body(Body::new))
        .layer(built(count_window()).layer().grpc_client())
        .layer(observe("bench").grpc_client())
        .layer(TimeoutLayer::grpc_client(9 * SECOND).send_limit())
        .service(unary())
}

fn client<S, B>(service: S) -> Call
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: http_body::Body,
{
    let mut service = service;
    Box::new(move || {
        let request = Request::get("http://stock/items/7").body(Body::empty());
        black_box(poll::exchange(&mut service, request.expect("a request")));
    })
}

fn rejected_http() -> Call {
    http(open().layer().server().layer(hello()))
}

/// With the table of calls in flight.
fn watched(call: Call) -> Call {
    CallTable::global();
    call
}

/// With a filter that can be changed.
fn logged_reloadable(call: Call) -> Call {
    let logging = logging::builder()
        .format(LogFormat::Json)
        .level("info")
        .writer(std::io::sink);
    logging.install_reloadable().expect("the only subscriber");
    call
}

/// With the same filter, which cannot.
fn logged_filtered(call: Call) -> Call {
    let logging = logging::builder()
        .format(LogFormat::Json)
        .level("info")
        .writer(std::io::sink);
    logging.install().expect("the only subscriber");
    call
}

fn logged(call: Call) -> Call {
    let logging = logging::builder()
        .format(LogFormat::Json)
        .level("info")
        .writer(std::io::sink);
    tracing_subscriber::registry()
        .with(logging.layer().expect("sound settings"))
        .with(LevelFilter::INFO)
        .init();
    call
}

#[library_benchmark(setup = warm)]
#[bench::any_bare(plain(bare()))]
#[bench::any_nothing(plain(guarded()))]
#[bench::any_nothing_twice(plain(twice()))]
#[bench::breaker_run_count(run(count_window()))]
#[bench::breaker_run_time(run(time_window()))]
#[bench::breaker_count(plain(layered(count_window())))]
#[bench::breaker_count_cloned(cloned(layered(count_window())))]
#[bench::breaker_time(plain(layered(time_window())))]
#[bench::breaker_rejected_permit(rejected_permit())]
#[bench::breaker_rejected_error(plain(open().layer().any().layer(bare())))]
#[bench::breaker_rejected_http(rejected_http())]
#[bench::bulkhead_guard(plain(GuardLayer::any(Bulkhead::new("bench")).layer(bare())))]
#[bench::bulkhead_layer(plain(Bulkhead::new("bench").layer().any().layer(bare())))]
#[bench::bulkhead_permit(bulkhead_permit())]
#[bench::adaptive_guard(plain(GuardLayer::any(adaptive_bulkhead()).layer(bare())))]
#[bench::priority_admitted(plain(Prioritizer::new("bench").layer().any().layer(bare())))]
#[bench::throttle_guard(plain(GuardLayer::any(Throttle::new("bench")).layer(bare())))]
#[bench::rate_limit_check(rate_limit_check())]
#[bench::rate_limit_keyed(rate_limit_keyed())]
#[bench::timeout(plain(TimeoutLayer::any(SECOND).layer(bare())))]
#[bench::retry_breaker_timeout(three())]
#[bench::coalesce_led(plain(coalesced()))]
#[bench::cache_hit(plain(cached()))]
#[bench::balance_of_three(plain(balanced()))]
#[bench::operation(operated())]
#[bench::operation_watched(watched(operated()))]
#[bench::any_observe(plain(observe("bench").any().layer(bare())))]
#[bench::http_bare(http(hello()))]
#[bench::http_nothing(http(GuardLayer::server(NoopGuard).layer(hello())))]
#[bench::http_context(http(GuardLayer::server(Correlate::default()).layer(hello())))]
#[bench::http_track(http(GuardLayer::server(Track::new("bench")).layer(hello())))]
#[bench::http_track_watched(watched(http(GuardLayer::server(Track::new("bench")).layer(hello()))))]
#[bench::http_breaker(http(built(count_window()).layer().server().layer(hello())))]
#[bench::http_track_and_breaker(breaker_and_track())]
#[bench::http_track_bulkhead_breaker(bulkhead_breaker_and_track())]
#[bench::http_track_adaptive_breaker(adaptive_bulkhead_breaker_and_track())]
#[bench::http_observe(http(observe("bench").server().layer(hello())))]
#[bench::http_frames_bare(http(streaming()))]
#[bench::http_frames_nothing(http(GuardLayer::server(NoopGuard).layer(streaming())))]
#[bench::http_frames_observe(http(observe("bench").server().layer(streaming())))]
#[bench::client_bare(client(hello()))]
#[bench::client_observe(client(observe("bench").client().layer(hello())))]
#[bench::client_cacheable(client(cacheable()))]
#[bench::client_cache_hit(client(cached_http()))]
#[bench::grpc_bare(grpc(unary()))]
#[bench::grpc_observe(grpc(observe("bench").server().layer(unary())))]
#[bench::grpc_client_observe(grpc(observe("bench").grpc_client().layer(unary())))]
#[bench::grpc_timed_bare(grpc_timed(unary()))]
#[bench::grpc_timed_client_stack(grpc_timed(grpc_stack()))]
#[bench::axum_bare(axum(route()))]
#[bench::axum_nothing(axum(route().layer(GuardLayer::server(NoopGuard))))]
#[bench::axum_observe(axum(observed()))]
#[bench::axum_observe_watched(watched(axum(observed())))]
#[bench::axum_observe_filtered(logged_filtered(axum(observed())))]
#[bench::axum_observe_reloadable(logged_reloadable(axum(observed())))]
#[bench::axum_observe_logged(logged(axum(observed())))]
#[bench::axum_headers_bare(axum_headers(route()))]
#[bench::axum_headers_observe(axum_headers(observed()))]
#[bench::axum_body_bare(axum_body(route()))]
#[bench::axum_body_observe(axum_body(observed()))]
#[bench::axum_failing_bare(axum_failing(route()))]
#[bench::axum_failing_observe(axum_failing(observed()))]
fn calls(mut call: Call) -> Call {
    (0..CALLS).for_each(|_| call());
    call
}

library_benchmark_group!(name = per_call, benchmarks = calls);
main!(library_benchmark_groups = per_call);
