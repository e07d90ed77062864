//! Checks the recorder for Prometheus, and the list of all metrics in `docs/metrics.md`, by scrapes of a real server.
//!
//! In a process of its own, since the recorder is for the whole process.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::OnceLock,
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, CircuitBreaker, FallbackLayer, GuardLayer, Retry, Track,
    breaker::KeyedBreaker,
    fallback::Fallback,
    observe, operation,
    prometheus::Prometheus,
    retry::{Backoff, RetryLayer},
    testing::{Reply, Script, ScriptedBody},
    timeout::{Deadline, TimeLimit, TimeoutLayer},
    track::{MetricNaming, RequestBodyLayer, RouteSlot},
};

fn prometheus() -> &'static Prometheus {
    static INSTALLED: OnceLock<Prometheus> = OnceLock::new();
    INSTALLED.get_or_init(|| tower_keep::prometheus::install().expect("the only recorder"))
}

#[tokio::test]
async fn route_responds_to_a_scrape_with_metrics_as_text() {
    let app = Router::new()
        .route("/orders/{id}", get(async || "an order"))
        .layer(observe("scraped").server())
        .route("/metrics", prometheus().route());
    let address = serve(app).await;
    let order = fetch(address, Method::GET, "/orders/7").await;
    assert_eq!(order.into_body(), "an order");

    let scrape = fetch(address, Method::GET, "/metrics").await;
    assert_eq!(scrape.status(), StatusCode::OK);
    assert_eq!(
        scrape.headers()["content-type"],
        "text/plain; version=0.0.4"
    );
    let text = scrape.into_body();
    let has = |labels: &BTreeMap<String, String>, name: &str, value: &str| {
        labels.get(name).is_some_and(|it| it == value)
    };
    let bucket = samples(&text).into_iter().any(|(name, labels)| {
        name == "http_server_request_duration_seconds_bucket"
            && has(&labels, "http_route", "/orders/{id}")
            && has(&labels, "le", "10")
    });
    assert!(bucket, "{text}");
    let calls = samples(&text).into_iter().filter(|(name, labels)| {
        name == "tower_keep_calls_total" && has(labels, "service", "scraped")
    });
    assert_eq!(calls.count(), 1, "scrapes are no calls");
    let post = fetch(address, Method::POST, "/metrics").await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn second_recorder_is_an_error_that_names_the_way_out() {
    prometheus();
    let error = tower_keep::prometheus::install().expect_err("installed already");
    assert!(error.is_already_installed());
    assert_eq!(
        error.to_string(),
        "prometheus: a metrics recorder is installed already; install only once and clone the handle, \
         or remove the other recorder"
    );
    let builder = tower_keep::prometheus::builder().buckets("lit_hours", &[]);
    let error = builder.install().expect_err("no bounds");
    assert_eq!(error.setting_name(), Some("buckets"));
}

#[tokio::test]
async fn metrics_in_docs_are_those_of_a_scrape() {
    let address = serve(Router::new().route("/metrics", prometheus().route())).await;
    for naming in [MetricNaming::SemConv, MetricNaming::Classic] {
        for service_label in [false, true] {
            make_calls(naming, service_label).await;
        }
    }
    call_through_real_connections().await;
    run_operations().await;
    open_circuits().await;
    fall_back().await;
    // Only where nothing comes from a connection, which would look idle.
    tokio::time::pause();
    retry_calls().await;
    exceed_limits().await;
    tokio::time::resume();
    break_hooks_and_logs().await;

    let text = fetch(address, Method::GET, "/metrics").await.into_body();
    let documented = Documented::read(include_str!("../docs/metrics.md"));
    let problems = documented.compare(&text);
    assert!(problems.is_empty(), "{problems:#?}");
}

// ---- the scenario

type Inner = BoxCloneSyncService<Request<Full<Bytes>>, Response<ScriptedBody>, BoxError>;

/// A service that is not ready at once, on a route.
fn scripted(route: Option<&'static str>, reply: fn() -> Reply) -> Inner {
    let services = ServiceBuilder::new()
        .layer(RequestBodyLayer::new(|body| body))
        .map_request(move |request: Request<_>| {
            if let Some(route) = route {
                RouteSlot::set(request.extensions(), route);
            }
            request
        });
    BoxCloneSyncService::new(services.service(Script::always(reply).ready_after(1)))
}

/// Makes a call and reads its response to the end.
async fn finish<S, B>(service: S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body,
{
    if let Ok(response) = service.oneshot(request).await {
        let _ = response.into_body().collect().await;
    }
}

/// The same, or drops the call where it hangs. Needs no time to pass: what a script does not reply at once, it never does.
async fn finish_or_drop<S, B>(service: S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body,
{
    let mut call = pin!(finish(service, request));
    for _ in 0..10 {
        if poll_once(call.as_mut()).await {
            return;
        }
    }
}

/// Returns whether the future is ready.
async fn poll_once(mut future: Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

fn http(uri: &str) -> Request<Full<Bytes>> {
    let body = Full::from("hello");
    Request::get(uri).body(body).expect("a request")
}

fn grpc(uri: &str) -> Request<Full<Bytes>> {
    let request = Request::post(uri).version(http::Version::HTTP_2);
    let request = request.header("content-type", "application/grpc");
    request.body(Full::default()).expect("a request")
}

fn events() -> Reply {
    Reply::ok().header("content-type", "text/event-stream")
}

/// Makes calls of all kinds with all options, so that each label is there once and missing once.
async fn make_calls(naming: MetricNaming, service_label: bool) {
    let track = || {
        Track::builder(format!("{naming:?} {service_label}"))
            .naming(naming)
            .service_label(service_label)
            .slow(Duration::from_nanos(1), Duration::from_secs(3_600))
            .time_to_head(true)
            .poll_time(true)
            .readiness_wait(true)
            .body_sizes(true)
            .access_log(false)
    };
    let server = observe(track().build().expect("a tracker")).server();
    let named = track().server_address("stock.test:50051");
    let [plain, named] = [track(), named].map(|track| track.build().expect("a tracker"));
    let client = || observe(plain.clone());
    let named_client = observe(named);

    let replies: [fn() -> Reply; 5] = [
        || Reply::ok().data("hello"),
        || Reply::status(500),
        || Reply::hang(),
        || events().data("data: 1\n\n"),
        || events().body(ScriptedBody::from("data: 1\n\n").error("reset")),
    ];
    for reply in replies {
        for route in [None, Some("/orders/{id}")] {
            finish_or_drop(server.layer(scripted(route, reply)), http("/orders/7")).await;
        }
        for uri in [
            "http://stock.test/orders",
            "http://stock.test:81/orders",
            "/orders",
        ] {
            finish_or_drop(client().client().layer(scripted(None, reply)), http(uri)).await;
        }
    }
    for reply in [|| Reply::grpc(0), || Reply::grpc(13), Reply::hang] as [fn() -> Reply; 3] {
        finish_or_drop(
            server.layer(scripted(None, reply)),
            grpc("/stock.Stock/Get"),
        )
        .await;
        let uri = "http://stock.test/stock.Stock/Get";
        finish_or_drop(
            client().grpc_client().layer(scripted(None, reply)),
            grpc(uri),
        )
        .await;
        finish_or_drop(
            named_client
                .clone()
                .grpc_client()
                .layer(scripted(None, reply)),
            grpc(uri),
        )
        .await;
    }
}

/// Calls an axum server with hyper's client, and a tonic server with tonic's.
async fn call_through_real_connections() {
    let app = Router::new()
        .route("/orders", get(async || "an order"))
        .layer(observe("axum").server());
    let address = serve(app).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = observe("hyper").client().layer(client);
    let response = client
        .oneshot(http(&format!("http://{address}/orders")))
        .await;
    let body = response.expect("a response").into_body().collect().await;
    assert_eq!(body.expect("a body").to_bytes(), "an order");

    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tonic::transport::Server::builder()
        .layer(observe("tonic").server())
        .add_service(health);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = observe("tonic")
        .grpc_client()
        .layer(endpoint.expect("a URI").connect_lazy());
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest::default();
    client.check(request).await.expect("healthy");
}

async fn run_operations() {
    let load = operation("load").kind("db").slow(Duration::from_nanos(1));
    load.run(async { Ok::<_, std::io::Error>(()) })
        .await
        .expect("loaded");
}

async fn retry_calls() {
    let retry = || {
        Retry::builder("stock")
            .backoff(Backoff::constant(Duration::from_millis(1)))
            .max_attempts(2)
            .build()
            .expect("a retry")
    };
    let recovers: Script = Script::new([Reply::status(503), Reply::ok()]);
    finish(RetryLayer::client(retry()).layer(recovers), http("/orders")).await;
    let fails: Script = Script::always(|| Reply::status(503));
    finish(RetryLayer::client(retry()).layer(fails), http("/orders")).await;
    let unsent: Script = Script::new([Reply::error("no connection left"), Reply::ok()]);
    let layer = RetryLayer::client(retry())
        .retry_unsent(true)
        .unsent_if(|error| error.to_string() == "no connection left");
    finish(layer.layer(unsent), http("/orders")).await;
}

async fn open_circuits() {
    let breaker = CircuitBreaker::new("stock");
    breaker.force_open();
    assert!(breaker.run(|| Ok::<_, std::io::Error>(())).is_err());
    let keyed: KeyedBreaker<u32> = KeyedBreaker::builder(CircuitBreaker::builder("tenants"))
        .max_keys(1)
        .build()
        .expect("breakers");
    for key in 0..3 {
        keyed.get(&key);
    }
}

async fn exceed_limits() {
    let limit = TimeLimit::new("short", Duration::from_millis(1));
    limit.run(pending::<()>()).await.expect_err("elapsed");
    let server = GuardLayer::server(Deadline::new("late")).layer(scripted(None, Reply::ok));
    let mut request = grpc("/stock.Stock/Get");
    let header = http::HeaderValue::from_static("0n");
    request.headers_mut().insert("grpc-timeout", header);
    finish(server, request).await;
    let layer = TimeoutLayer::client(TimeLimit::new("long", Duration::from_secs(60)));
    finish(layer.layer(scripted(None, Reply::ok)), http("/orders")).await;
}

async fn fall_back() {
    let failing = || -> Script { Script::always(|| Reply::status(503)) };
    let layer = FallbackLayer::client(Fallback::new("stale"));
    let served = layer.with(|_| Response::new(ScriptedBody::from("stale")));
    finish(served.layer(failing()), http("/orders")).await;
    let layer = FallbackLayer::client(Fallback::new("broken"));
    let failed = layer.with(|_| -> Response<ScriptedBody> { panic!("no cache") });
    finish(failed.layer(failing()), http("/orders")).await;
}

async fn break_hooks_and_logs() {
    let track = Track::builder("hooks")
        .skip_log(|_| panic!("a hook"))
        .build();
    let layer = observe(track.expect("a tracker")).server();
    let mut request = http("/orders");
    let header = http::HeaderValue::from_static("not a trace");
    request.headers_mut().insert("traceparent", header);
    finish(layer.layer(scripted(None, Reply::ok)), request).await;

    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    use tracing_subscriber::layer::SubscriberExt;
    let layer = tower_keep::logging::builder().writer(|| Full).layer();
    let subscriber = tracing_subscriber::registry().with(layer.expect("a layer"));
    tracing::subscriber::with_default(subscriber, || tracing::error!("lost"));
}

// ---- the list

/// A row of the list.
#[derive(Debug)]
struct Row {
    kind: String,
    /// Whether each series has the label.
    labels: BTreeMap<String, bool>,
    /// Where labels are those of another row, the scenario need not show each of them once more.
    is_derived: bool,
}

/// The rows of the list by name. With classic names, some metrics have other labels.
struct Documented(BTreeMap<String, Vec<Row>>);

impl Documented {
    fn read(text: &str) -> Self {
        let mut all = Documented(BTreeMap::new());
        let mut section = BTreeMap::<String, Row>::new();
        for line in text.lines().chain(["# end"]) {
            if line.starts_with('#') {
                for (name, row) in std::mem::take(&mut section) {
                    all.0.entry(name).or_default().push(row);
                }
            }
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            if let [_, name, kind, labels, meaning, _] = cells[..]
                && name.starts_with('`')
            {
                assert!(!meaning.is_empty(), "{name}");
                for name in expand(name.trim_matches('`')) {
                    let row = Row {
                        kind: kind.to_owned(),
                        labels: read_labels(&name, labels, &section),
                        is_derived: labels == DERIVED,
                    };
                    assert!(section.insert(name.clone(), row).is_none(), "{name} twice");
                }
            }
        }
        all
    }

    /// Returns what differs between the list and a scrape.
    fn compare(&self, scrape: &str) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        let types: BTreeMap<_, _> = scrape
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .collect();
        let mut seen = BTreeMap::<&str, BTreeSet<Vec<String>>>::new();
        for (name, labels) in samples(scrape) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter();
            let metric = of_histogram
                .filter_map(|end| name.strip_suffix(end))
                .find(|name| types.contains_key(name))
                .unwrap_or(&name);
            let Some((metric, kind)) = types.get_key_value(metric) else {
                problems.insert(format!("{name} has no type"));
                continue;
            };
            let labels: Vec<_> = labels.into_keys().filter(|label| label != "le").collect();
            let rows = self.0.get(*metric).map_or(&[][..], Vec::as_slice);
            if !rows.iter().any(|row| row.kind == *kind && row.has(&labels)) {
                problems.insert(format!("{kind} {metric}{labels:?} is not in the list"));
            }
            seen.entry(metric).or_default().insert(labels);
        }
        for (name, rows) in &self.0 {
            let series = seen.get(name.as_str()).cloned().unwrap_or_default();
            for row in rows {
                let series: Vec<_> = series.iter().filter(|labels| row.has(labels)).collect();
                if series.is_empty() {
                    problems.insert(format!("{name} was not scraped: {row:?}"));
                }
                for (label, required) in row.labels.iter().filter(|_| !row.is_derived) {
                    let count = series
                        .iter()
                        .filter(|labels| labels.contains(label))
                        .count();
                    if count == 0 || (count == series.len()) != *required {
                        let of = series.len();
                        problems.insert(format!("{name}: {count} of {of} label sets have {label}"));
                    }
                }
            }
        }
        problems
    }
}

impl Row {
    fn has(&self, labels: &[String]) -> bool {
        let is_known = labels.iter().all(|label| self.labels.contains_key(label));
        let mut required = self.labels.iter().filter(|(_, required)| **required);
        is_known && required.all(|(label, _)| labels.contains(label))
    }
}

const DERIVED: &str = "as the duration";

fn read_labels(name: &str, cell: &str, section: &BTreeMap<String, Row>) -> BTreeMap<String, bool> {
    if cell == DERIVED {
        // That of its prefix: nothing but the last part of the name differs.
        let durations = ["_request_duration_seconds", "_call_duration_seconds"];
        let duration = section.iter().find(|(other, _)| {
            let prefix = durations.iter().find_map(|end| other.strip_suffix(end));
            prefix.is_some_and(|prefix| is_part_of(name, prefix))
        });
        return duration
            .unwrap_or_else(|| panic!("no duration for {name}"))
            .1
            .labels
            .clone();
    }
    let labels = cell.split(", ").filter(|label| !label.is_empty());
    labels
        .map(|label| {
            let label = label.trim_matches('`');
            match label.strip_suffix('?') {
                Some(label) => (label.to_owned(), false),
                None => (label.to_owned(), true),
            }
        })
        .collect()
}

fn is_part_of(name: &str, prefix: &str) -> bool {
    let parts = [
        "time_to_head",
        "poll_time",
        "readiness_wait",
        "request_body_size",
        "response_body_size",
    ];
    let rest = name
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| parts.iter().any(|part| rest.starts_with(part)))
}

/// Expands `{a,b}_c` to `a_c` and `b_c`.
fn expand(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else {
        return vec![name.to_owned()];
    };
    let (choices, after) = rest.split_once('}').expect("a closing brace");
    let expanded = choices
        .split(',')
        .map(|choice| format!("{before}{choice}{after}"));
    expanded.flat_map(|name| expand(&name)).collect()
}

// ---- the scrape

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

async fn fetch(address: SocketAddr, method: Method, path: &str) -> Response<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    let request = request.body(Body::empty()).expect("a request");
    let (head, body) = client
        .request(request)
        .await
        .expect("a response")
        .into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(body.into()).expect("text");
    Response::from_parts(head, text)
}

/// Returns the name and the labels of each sample.
fn samples(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("a closing brace");
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""));
            let labels = labels
                .map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
            (name.to_owned(), labels.collect())
        })
        .collect()
}
