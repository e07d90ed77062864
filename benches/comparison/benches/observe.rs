//! The observing stack on an axum route beside the baseline: tower-http's `SetRequestId`, `Trace` and
//! `PropagateRequestId` with axum-prometheus. Same router, same recorder, one run. Prints Markdown tables.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench observe`
//!
//! All rows of a table are measured in turns, futures and bodies are polled by hand: no executor is measured.

#[path = "../../support/allocations.rs"]
mod allocations;
#[path = "../../support/poll.rs"]
mod poll;

use std::{hint::black_box, io, sync::Arc};

use axum::{Router, body::Body, routing::get};
use axum_prometheus::PrometheusMetricLayer;
use http::Request;
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceBuilder;
use tower_http::{
    ServiceBuilderExt,
    map_response_body::MapResponseBodyLayer,
    request_id::MakeRequestUuid,
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tower_keep::{
    CircuitBreaker, GuardLayer, Track, context::Correlate, logging::LogFormat, observe,
};
use tower_keep_comparison::{Row, compare};
use tracing::{Dispatch, Level, dispatcher};
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

type Metrics = PrometheusMetricLayer<'static>;

fn bare() -> Router {
    Router::new().route("/orders/{id}", get(|| async { "hello" }))
}

/// Wraps the body in another type, which is what any layer costs in axum that does so.
fn boxed_again() -> Router {
    bare().layer(MapResponseBodyLayer::new(|body: Body| {
        http_body_util::BodyExt::map_err(body, io::Error::other)
    }))
}

macro_rules! tower_http {
    () => {
        ServiceBuilder::new()
            .set_x_request_id(MakeRequestUuid)
            .layer(
                TraceLayer::new_for_http()
                    .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
                    .on_response(DefaultOnResponse::new().level(Level::INFO)),
            )
            .propagate_x_request_id()
    };
}

fn baseline(metrics: &Metrics) -> Router {
    bare().layer(tower_http!().layer(metrics.clone()))
}

fn ours() -> Router {
    bare().layer(observe("orders").server())
}

fn with_breaker() -> Router {
    let breaker = CircuitBreaker::builder("orders").count_window(100).build();
    let guards = (
        Correlate::default(),
        (Track::new("orders"), breaker.expect("sound settings")),
    );
    bare().layer(GuardLayer::server(guards))
}

/// The rows of one subscriber.
struct Mode {
    subscriber: Option<Dispatch>,
    handle: Arc<PrometheusHandle>,
}

impl Mode {
    fn row(&self, name: &'static str, router: Router) -> Row {
        // As `axum::serve` does once: without it, each call builds the route and its layers anew.
        let mut router: Router = router.with_state(());
        let mut call = move || {
            let request = Request::get("/orders/7").body(Body::empty());
            black_box(poll::exchange(&mut router, request.expect("a request")));
        };
        let (subscriber, handle) = (self.subscriber.clone(), self.handle.clone());
        let within = |work: &mut dyn FnMut()| match &subscriber {
            Some(subscriber) => dispatcher::with_default(subscriber, work),
            None => work(),
        };
        let mut counted = (0.0, 0.0);
        within(&mut || counted = allocations::per_call(&mut call));
        let (subscriber, mut call) = (self.subscriber.clone(), call);
        let calls = move |calls: u64| {
            let mut work = || (0..calls).for_each(|_| call());
            match &subscriber {
                Some(subscriber) => dispatcher::with_default(subscriber, work),
                None => work(),
            }
        };
        Row::new(name, vec![Box::new(calls)])
            .allocations(counted)
            // Histograms grow until somebody empties them.
            .after_turns(move || handle.run_upkeep())
    }
}

fn json() -> Dispatch {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(Level::INFO)
        .with_writer(io::sink);
    Dispatch::new(subscriber.finish())
}

/// The lines of this crate's own logging, which do not work through the fields of spans.
fn own_json() -> Dispatch {
    let logging = tower_keep::logging::builder()
        .format(LogFormat::Json)
        .level("info")
        .writer(io::sink);
    let layer = logging.layer().expect("a layer");
    Dispatch::new(
        tracing_subscriber::registry()
            .with(layer)
            .with(LevelFilter::INFO),
    )
}

fn main() {
    // axum-prometheus starts a task for its upkeep; it never runs here.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let (metrics, handle) = PrometheusMetricLayer::pair();
    let handle = Arc::new(handle);
    let mode = |subscriber| Mode {
        subscriber,
        handle: handle.clone(),
    };

    // Before there is any subscriber: one that was ever there is asked for its interest.
    let quiet = mode(None);
    compare(
        "An axum route, no subscriber",
        vec![
            quiet.row("bare route", bare()),
            quiet.row("tower-keep: the server stack", ours()),
            quiet.row("the same with a breaker", with_breaker()),
            quiet.row("a layer that only changes the body", boxed_again()),
            quiet.row(
                "tower-http: request ID, trace, propagate",
                bare().layer(tower_http!()),
            ),
            quiet.row("axum-prometheus", bare().layer(metrics.clone())),
            quiet.row("baseline: these two", baseline(&metrics)),
        ],
    );

    let (theirs, own) = (mode(Some(json())), mode(Some(own_json())));
    compare(
        "An axum route, one JSON line for each call",
        vec![
            own.row("bare route", bare()),
            own.row("tower-keep, tower_keep::logging", ours()),
            theirs.row("tower-keep, tracing-subscriber's JSON", ours()),
            theirs.row("baseline, tracing-subscriber's JSON", baseline(&metrics)),
        ],
    );
}
