//! The observing stack on an axum route against what people pick today: tower-http's `SetRequestId`, `Trace` and
//! `PropagateRequestId` with axum-prometheus. Same router, same recorder, one run.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml`

#[path = "../../support/counting.rs"]
mod counting;
#[path = "../../support/drive.rs"]
mod drive;

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use axum::{Router, body::Body, routing::get};
use axum_prometheus::PrometheusMetricLayer;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceBuilder;
use tower_http::{
    ServiceBuilderExt,
    request_id::MakeRequestUuid,
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tower_keep::{logging::Format, observe};
use tracing::Level;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

type Metrics = PrometheusMetricLayer<'static>;

fn bare() -> Router {
    Router::new().route("/orders/{id}", get(|| async { "hello" }))
}

fn todays_pick(metrics: &Metrics) -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    let layers = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .layer(trace)
        .propagate_x_request_id()
        .layer(metrics.clone());
    bare().layer(layers)
}

fn ours() -> Router {
    bare().layer(observe("orders").server())
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    handle: PrometheusHandle,
    allocations: BTreeMap<String, (f64, f64)>,
}

impl Bench<'_> {
    fn row(&mut self, name: &str, mut router: Router) {
        let mut call = || {
            let request = Request::get("/orders/7")
                .body(Body::empty())
                .expect("a request");
            black_box(drive::exchange(&mut router, request));
        };
        let counted = counting::per_call(&mut call);
        self.allocations.insert(name.to_owned(), counted);
        let handle = &self.handle;
        self.criterion.bench_function(name, |bencher| {
            bencher.iter(&mut call);
            // Histograms grow until somebody empties them.
            handle.run_upkeep();
        });
    }

    fn rows(&mut self, mode: &str, metrics: &Metrics) {
        self.row(&format!("bare, {mode}"), bare());
        self.row(&format!("today's pick, {mode}"), todays_pick(metrics));
        self.row(&format!("tower-keep, {mode}"), ours());
    }
}

fn json() -> impl tracing::Subscriber {
    tracing_subscriber::fmt()
        .json()
        .with_max_level(Level::INFO)
        .with_writer(std::io::sink)
        .finish()
}

/// The lines of this crate's own logging, which do not work through the fields of spans.
fn own_json() -> impl tracing::Subscriber {
    let logging = tower_keep::logging::builder()
        .format(Format::Json)
        .level("info")
        .writer(std::io::sink);
    tracing_subscriber::registry()
        .with(logging.layer().expect("a layer"))
        .with(LevelFilter::INFO)
}

fn benches(criterion: &mut Criterion) {
    // axum-prometheus starts a task for its upkeep; it never runs here.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let (metrics, handle) = PrometheusMetricLayer::pair();
    let mut bench = Bench {
        criterion,
        handle,
        allocations: BTreeMap::new(),
    };
    bench.rows("no subscriber", &metrics);
    tracing::subscriber::with_default(json(), || bench.rows("JSON lines", &metrics));
    tracing::subscriber::with_default(own_json(), || {
        bench.row("tower-keep, JSON lines of its own", ours());
    });
    println!("\n{:<36} {:>12} {:>12}", "per call", "allocations", "bytes");
    for (name, (allocations, bytes)) in &bench.allocations {
        println!("{name:<36} {allocations:>12.2} {bytes:>12.0}");
    }
}

criterion_group! {
    name = group;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = benches
}
criterion_main!(group);
