//! The cost of guards where several threads call one instance, beside one thread. Prints a Markdown table.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench threads`
//!
//! The rows "without a recorder's share" have metric handles that do nothing, so that only what this crate itself shares
//! between threads is left. In the rows "for each thread" nothing is shared: what several threads take longer there is the
//! machine's own, such as processors that are two halves of one.

#[path = "../../support/poll.rs"]
mod poll;

use std::{
    convert::Infallible,
    future::ready,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower::{Layer, service_fn};
use tower_keep::{CircuitBreaker, GuardLayer, Track, observe};
use tower_keep_comparison::{Calls, Row, compare_threads, thread_counts};
use tower_service::Service;

/// While it is set, handles are made that do nothing.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The recorder for Prometheus, but for handles that are made while [`SILENT`] is set.
struct PartlySilent(PrometheusRecorder);

struct Nothing;

impl CounterFn for Nothing {
    fn increment(&self, value: u64) {
        black_box(value);
    }
    fn absolute(&self, value: u64) {
        black_box(value);
    }
}

impl GaugeFn for Nothing {
    fn increment(&self, value: f64) {
        black_box(value);
    }
    fn decrement(&self, value: f64) {
        black_box(value);
    }
    fn set(&self, value: f64) {
        black_box(value);
    }
}

impl HistogramFn for Nothing {
    fn record(&self, value: f64) {
        black_box(value);
    }
}

impl Recorder for PartlySilent {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.0.describe_counter(key, unit, help);
    }
    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.0.describe_gauge(key, unit, help);
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.0.describe_histogram(key, unit, help);
    }
    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        match SILENT.load(Ordering::Relaxed) {
            true => Counter::from_arc(Arc::new(Nothing)),
            false => self.0.register_counter(key, metadata),
        }
    }
    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        match SILENT.load(Ordering::Relaxed) {
            true => Gauge::from_arc(Arc::new(Nothing)),
            false => self.0.register_gauge(key, metadata),
        }
    }
    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        match SILENT.load(Ordering::Relaxed) {
            true => Histogram::from_arc(Arc::new(Nothing)),
            false => self.0.register_histogram(key, metadata),
        }
    }
}

/// A handle on cache lines of its own: a service writes to its handle, and those of two threads were allocated side by side.
#[repr(align(128))]
struct Apart<S>(S);

/// The same calls on one thread and on several, each of which has a handle of its own.
fn shared<S, B>(name: &'static str, service: S) -> Vec<Row>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
    S: Clone + Send + 'static,
    B: http_body::Body,
{
    for_each(name, || service.clone())
}

/// Measures as [`shared`] does, with a service that is made anew for each thread.
fn for_each<S, B>(name: &'static str, make: impl Fn() -> S) -> Vec<Row>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
    S: Send + 'static,
    B: http_body::Body,
{
    let thread = || {
        let mut handle = Apart(make());
        Box::new(move |calls: u64| {
            // Borrowed first: the closure would own the service alone, without its alignment.
            let handle = &mut handle;
            (0..calls).for_each(|_| {
                black_box(poll::exchange(&mut handle.0, Request::new(Empty::new())));
            });
        }) as Calls
    };
    rows(name, thread)
}

fn rows(name: &'static str, thread: impl Fn() -> Calls) -> Vec<Row> {
    let counts = thread_counts().into_iter();
    let row = |threads| Row::new(name, (0..threads).map(|_| thread()).collect());
    counts.map(row).collect()
}

/// A service that does with the handles of a recorder what a tracker does with them, and nothing else.
fn counted(
    name: &'static str,
) -> impl Service<
    Request<Empty<Bytes>>,
    Response = Response<Empty<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    let active = metrics::gauge!(name, "method" => "GET");
    let outcomes = metrics::counter!(format!("{name}_total"));
    let duration = metrics::histogram!(format!("{name}_seconds"));
    service_fn(move |_: Request<Empty<Bytes>>| {
        active.increment(1.0);
        active.decrement(1.0);
        outcomes.increment(1);
        duration.record(0.001);
        ready(Ok(Response::new(Empty::new())))
    })
}

/// Measures as [`shared`] does, with a clone of the one handle for each call, as servers and routers make them.
fn cloned<S, B>(name: &'static str, service: S) -> Vec<Row>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
    S: Clone + Send + Sync + 'static,
    B: http_body::Body,
{
    let shared = Arc::new(service);
    let thread = || {
        let shared = shared.clone();
        Box::new(move |calls: u64| {
            (0..calls).for_each(|_| {
                let mut service = S::clone(&shared);
                black_box(poll::exchange(&mut service, Request::new(Empty::new())));
            });
        }) as Calls
    };
    rows(name, thread)
}

/// Makes the metric handles of a service do nothing.
fn silent<S, B>(mut service: S) -> S
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body,
{
    SILENT.store(true, Ordering::Relaxed);
    // The first call of a series makes its handles.
    poll::exchange(&mut service, Request::new(Empty::new()));
    SILENT.store(false, Ordering::Relaxed);
    service
}

fn breaker(name: &str) -> CircuitBreaker {
    let builder = CircuitBreaker::builder(name.to_owned()).count_window(100);
    builder.build().expect("sound settings")
}

fn timed_breaker(name: &str) -> CircuitBreaker {
    let builder = CircuitBreaker::builder(name.to_owned());
    let builder = builder.time_window(Duration::from_secs(10), 10);
    builder.build().expect("sound settings")
}

fn main() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(PartlySilent(recorder)).expect("the only recorder");
    // Histograms grow until somebody empties them.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            handle.run_upkeep();
        }
    });
    let hello = service_fn(|_: Request<_>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let track = |name: &str| Track::new(name.to_owned());
    let both = |name: &str| (track(name), breaker(name));
    compare_threads(
        "Guards of an HTTP call, one thread and several on one instance",
        vec![
            shared("bare service", hello),
            shared("the handles of a recorder alone", counted("alone")),
            shared("a breaker", GuardLayer::server(breaker("one")).layer(hello)),
            shared(
                "a breaker, a window of time",
                GuardLayer::server(timed_breaker("timed")).layer(hello),
            ),
            shared("a tracker", GuardLayer::server(track("one")).layer(hello)),
            shared(
                "a tracker, without a recorder's share",
                silent(GuardLayer::server(track("silent one")).layer(hello)),
            ),
            shared(
                "breaker and tracker in one",
                GuardLayer::server(both("both")).layer(hello),
            ),
            shared(
                "both, without a recorder's share",
                silent(GuardLayer::server(both("silent both")).layer(hello)),
            ),
            shared("the server stack", observe("all").server().layer(hello)),
            shared(
                "the server stack, without a recorder's share",
                silent(observe("silent all").server().layer(hello)),
            ),
            for_each(
                "the server stack, one for each thread, without a recorder's share",
                || silent(observe("silent own").server().layer(hello)),
            ),
            cloned(
                "a breaker, cloned for each call",
                GuardLayer::server(breaker("cloned")).layer(hello),
            ),
            cloned(
                "both, cloned for each call, without a recorder's share",
                silent(GuardLayer::server(both("silent cloned")).layer(hello)),
            ),
        ],
    );
}
