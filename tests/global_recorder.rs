//! Checks metrics with a recorder for the whole process: what a tracker costs then, and that strangers cannot
//! use up its series.
#![cfg(feature = "axum")]

#[path = "../benches/support/allocations.rs"]
mod allocations;
#[path = "../benches/support/poll.rs"]
mod poll;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    routing::{get as on_get, post as on_post},
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{GuardLayer, Track, observe, operation, track::RouteSlot};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Counts what every series was told; the values are of no interest here.
#[derive(Clone, Default)]
struct Series(Arc<Mutex<BTreeMap<String, Arc<Count>>>>);

#[derive(Default)]
struct Count(AtomicU64);

impl HistogramFn for Count {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl metrics::CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

impl Series {
    fn of(&self, key: &Key) -> Arc<Count> {
        let mut labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        labels.sort_unstable();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        self.0
            .lock()
            .expect("whole")
            .entry(name)
            .or_default()
            .clone()
    }

    /// The series that have all these parts, with their counts.
    fn with(&self, parts: &[&str]) -> Vec<(String, u64)> {
        let series = self.0.lock().expect("whole");
        let has_all = series
            .iter()
            .filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
        has_all
            .map(|(name, count)| (name.clone(), count.0.load(Ordering::Relaxed)))
            .collect()
    }

    fn sum(&self, parts: &[&str]) -> u64 {
        self.with(parts).iter().map(|(_, count)| count).sum()
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        // A series like any other, which nobody reads.
        self.of(key);
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

/// The recorder of this process, for one test at a time. Calls that were made before it was there must not keep it from
/// anything later.
fn series() -> (&'static Series, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    static SERIES: OnceLock<Series> = OnceLock::new();
    static EARLY: Once = Once::new();
    EARLY.call_once(|| {
        let work = operation("early").errors(None);
        work.call(|| Ok::<_, std::io::Error>(())).expect("ok");
    });
    let series = SERIES.get_or_init(|| {
        let series = Series::default();
        metrics::set_global_recorder(series.clone()).unwrap_or_else(|_| panic!("the only one"));
        series
    });
    (series, turn)
}

fn tracker(name: &'static str) -> Track {
    let builder = Track::builder(name).errors(None);
    builder.access_log(false).build().expect("a tracker")
}

// ---- what it costs

/// It took 213 KiB from its first call on, for tables of thousands of places, nearly all of them empty.
#[test]
fn tracker_of_one_route_costs_kilobytes() {
    let _turn = series();
    let route = || {
        let track = tracker("memory");
        GuardLayer::server(track).layer(service_fn(async |request: Request<Body>| {
            RouteSlot::set(request.extensions(), "/orders/{id}");
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("an order")))
        }))
    };
    // What is asked for, be it given back or not.
    let costs = |calls: usize| {
        let (_, before) = allocations::so_far();
        let mut service = route();
        for _ in 0..calls {
            poll::exchange(&mut service, Request::new(Body::empty()));
        }
        allocations::so_far().1 - before
    };
    // Whatever is made once for the process.
    costs(1);
    let each = costs(3) - costs(2);
    let tracker = costs(1) - each;
    println!(
        "a tracker of one route: {tracker} bytes, {} before its first call",
        costs(0)
    );
    assert!(tracker < 8 * 1024, "{tracker} bytes");
}

#[test]
fn measured_call_does_not_allocate() {
    let (series, _turn) = series();
    let work = operation("hot").errors(None);
    let run = || drop(work.clone().call(|| Ok::<_, std::io::Error>(7)));
    assert_eq!(allocations::per_call(run).0, 0.0);
    assert_eq!(
        series.sum(&["operation_duration_seconds", "operation=hot"]),
        10_500
    );
}

// ---- strangers

const METHODS: [&str; 12] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "get",
    "MADE-UP",
];
const VERSIONS: [Version; 5] = [
    Version::HTTP_09,
    Version::HTTP_10,
    Version::HTTP_11,
    Version::HTTP_2,
    Version::HTTP_3,
];
const HEADERS: [&str; 14] = [
    "content-type",
    "grpc-timeout",
    "te",
    "x-request-id",
    "x-correlation-id",
    "traceparent",
    "tracestate",
    "baggage",
    "host",
    "x-forwarded-proto",
    "x-forwarded-host",
    "upgrade",
    "connection",
    "accept",
];
const VALUES: [&str; 12] = [
    "application/grpc",
    "application/grpc-web+proto",
    "text/event-stream",
    "1n",
    "websocket",
    "trailers",
    "a=1,b=2",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "\u{7f}\u{1}",
    "x",
    "",
    "https",
];

fn one_of<T: Copy>(from: &[T]) -> T {
    from[fastrand::usize(..from.len())]
}

fn word() -> String {
    let length = fastrand::usize(1..12);
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(length)
        .collect()
}

fn path() -> String {
    match fastrand::u8(..6) {
        0 => "/orders/7".into(),
        1 => "/orders".into(),
        2 => "/search".into(),
        3 => format!("/orders/{}", word()),
        4 => format!("/{}.{}/{}", word(), word(), word()),
        _ => format!("/{}/{}?{}={}", word(), word(), word(), word()),
    }
}

fn hostile() -> Request<Body> {
    let mut request = Request::new(Body::from(word()));
    let method = if fastrand::u8(..4) == 0 {
        word()
    } else {
        one_of(&METHODS).to_owned()
    };
    *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
    *request.version_mut() = one_of(&VERSIONS);
    let origin = match fastrand::u8(..4) {
        0 => format!("http://{}.test", word()),
        1 => format!("https://{}.test:{}", word(), fastrand::u16(1..)),
        2 => format!(
            "{}://{}",
            word()
                .to_lowercase()
                .replace(|c: char| c.is_ascii_digit(), "x"),
            word()
        ),
        _ => String::new(),
    };
    let target = format!("{origin}{}", path());
    *request.uri_mut() = target.parse().unwrap_or_else(|_| Uri::from_static("/"));
    for _ in 0..fastrand::usize(..4) {
        let name = HeaderName::from_static(one_of(&HEADERS));
        let value = if fastrand::bool() {
            one_of(&VALUES).to_owned()
        } else {
            word()
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            request.headers_mut().append(name, value);
        }
    }
    request
}

#[test]
fn hostile_client_makes_few_series() {
    let (series, _turn) = series();
    fastrand::seed(7);
    let app = Router::new()
        .route("/orders/{id}", on_get(async || "an order"))
        .route("/orders", on_post(async |body: axum::body::Bytes| body))
        .route(
            "/search",
            on_get(async || ()).put(async || StatusCode::BAD_REQUEST),
        )
        .route("/pay", on_post(async || StatusCode::INTERNAL_SERVER_ERROR))
        .layer(observe(tracker("hostile")).server());
    let before = series.with(&[]);
    for _ in 0..100_000 {
        let response = poll::finish(app.clone().oneshot(hostile())).expect("an answer");
        // Every third hangs up.
        if fastrand::u8(..3) > 0 {
            let _ = poll::finish(axum::body::to_bytes(response.into_body(), usize::MAX));
        }
    }
    let mut made = series.with(&[]);
    made.retain(|(name, _)| before.iter().all(|(before, _)| before != name));
    println!("{} series: {made:#?}", made.len());
    assert!(made.len() <= 60, "{} series", made.len());
    assert_eq!(
        series.sum(&["tower_keep_calls_total", "service=hostile"]),
        100_000
    );
    assert!(
        made.iter().all(|(name, _)| !name.contains("overflow")),
        "nothing flows over"
    );

    let pay = Request::post("/pay")
        .body(Body::empty())
        .expect("a request");
    poll::finish(app.clone().oneshot(pay)).expect("an answer");
    let own = [
        "http_server_request_duration_seconds",
        "http_route=/pay",
        "http_response_status_code=500",
    ];
    assert_eq!(series.sum(&own), 1);
}

// ---- threads

#[test]
fn series_totals_are_exact_when_threads_overflow() {
    let (series, _turn) = series();
    let track = Track::builder("crowded")
        .errors(None)
        .max_series(8)
        .max_targets(200);
    let track = track.access_log(false).build().expect("a tracker");
    let service = GuardLayer::server(track).layer(service_fn(async |request: Request<Body>| {
        let path = request.uri().path();
        RouteSlot::set(request.extensions(), path);
        let status = match path.ends_with('7') {
            true => StatusCode::BAD_GATEWAY,
            false => StatusCode::ACCEPTED,
        };
        let mut response = http::Response::new(Body::empty());
        *response.status_mut() = status;
        Ok::<_, std::convert::Infallible>(response)
    }));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let mut service = service.clone();
            scope.spawn(move || {
                for n in 0..500 {
                    let path = format!("/crowd/{}", (n * (thread + 1)) % 100);
                    let request = Request::get(path).body(Body::empty()).expect("a request");
                    poll::exchange(&mut service, request);
                }
            });
        }
    });
    let of = |status: &str| series.sum(&["http_server_request_duration", "/crowd/", status]);
    let overflow = |bad: bool| {
        let all = series.with(&["http_server_request_duration", "otel_metric_overflow"]);
        let of_kind = all
            .into_iter()
            .filter(|(name, _)| name.contains("error_type") == bad);
        of_kind.map(|(_, count)| count).sum::<u64>()
    };
    let bad: u64 = (0..4)
        .map(|t| (0..500).filter(|n| (n * (t + 1)) % 10 == 7).count() as u64)
        .sum();
    assert_eq!(of("status_code=502") + overflow(true), bad);
    assert_eq!(of("status_code=202") + overflow(false), 2_000 - bad);
    assert_eq!(
        series.sum(&["tower_keep_calls_total", "service=crowded"]),
        2_000
    );
    let own = |status| {
        series
            .with(&["http_server_request_duration", "/crowd/", status])
            .len()
    };
    // Those that fail take what is left like all others, and have 16 places besides.
    assert_eq!(own("status_code=502"), 10);
    assert!(own("status_code=202") <= 8);
}
