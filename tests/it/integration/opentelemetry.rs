//! Calls over real connections whose spans the OpenTelemetry SDK exports: what is sent on and logged is what is exported.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get as on_get,
};
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, InMemorySpanExporterBuilder, Sampler, SdkTracer, SdkTracerProvider,
    SpanData,
};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, Retry, Track,
    context::{Correlate, TracePolicy, in_context},
    observe, operation,
    retry::{ReplayBody, RetryLayer},
    track::SpanLevel,
};
use tracing::Level;
use tracing_subscriber::{Layer, filter::LevelFilter};

use crate::support::{
    HyperClient, get, http1,
    logs::{Logs, logs, logs_after, logs_before},
    serve, text, within,
};

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CALLERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";

/// A tracer whose spans the test can read.
struct Exporter {
    spans: InMemorySpanExporter,
    provider: SdkTracerProvider,
}

impl Exporter {
    fn new(sampler: Sampler) -> Self {
        let spans = InMemorySpanExporterBuilder::new().build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_simple_exporter(spans.clone())
            .build();
        Exporter { spans, provider }
    }

    fn tracer(&self) -> SdkTracer {
        self.provider.tracer("test")
    }

    /// The exported spans, by their start.
    fn finished(&self) -> Vec<SpanData> {
        let mut spans = self.spans.get_finished_spans().expect("spans");
        spans.sort_by_key(|span| span.start_time);
        spans
    }

    fn of_kind(&self, kind: SpanKind) -> Vec<SpanData> {
        let mut spans = self.finished();
        spans.retain(|span| span.span_kind == kind);
        spans
    }

    fn only(&self, kind: SpanKind) -> SpanData {
        let [span] = &self.of_kind(kind.clone())[..] else {
            panic!("one {kind:?} span expected: {:#?}", self.finished())
        };
        span.clone()
    }
}

fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}

fn traceparent(span: &SpanData) -> String {
    let context = &span.span_context;
    let flags = context.trace_flags().to_u8();
    format!(
        "00-{}-{}-{flags:02x}",
        context.trace_id(),
        context.span_id()
    )
}

/// A request of a caller that takes part in a trace.
fn traced(to: SocketAddr, path: &str) -> axum::http::Request<Body> {
    let mut request = get(to, path);
    let headers = request.headers_mut();
    headers.insert("traceparent", CALLER.parse().expect("a header"));
    headers.insert("tracestate", "vendor=1".parse().expect("a header"));
    request
}

/// What a service found in its requests, and the IDs that its handlers had.
#[derive(Clone, Default)]
struct Seen(Arc<std::sync::Mutex<Vec<(String, String)>>>);

impl Seen {
    fn note(&self, headers: &HeaderMap, context: &Context) {
        let sent = headers["traceparent"].to_str().expect("text").to_owned();
        let mut seen = self.0.lock().expect("no panic");
        seen.push((sent, context.traceparent().to_string()));
    }

    fn sent(&self) -> Vec<String> {
        let seen = self.0.lock().expect("no panic");
        seen.iter().map(|(sent, _)| sent.clone()).collect()
    }

    fn handled(&self) -> Vec<String> {
        let seen = self.0.lock().expect("no panic");
        seen.iter().map(|(_, handled)| handled.clone()).collect()
    }
}

/// A service that fails at first, and whose handler runs an operation.
async fn back(failures: u32) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let left = Arc::new(AtomicU32::new(failures));
    let app = Router::new()
        .route(
            "/stock",
            on_get(
                move |State(seen): State<Seen>, headers: HeaderMap, context: Context| async move {
                    seen.note(&headers, &context);
                    let count = async { Ok::<_, std::io::Error>(7) };
                    let count = operation("count").run(count).await.expect("a count");
                    let fails = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    });
                    match fails {
                        Ok(_) => Err(StatusCode::BAD_GATEWAY),
                        Err(_) => Ok(count.to_string()),
                    }
                },
            ),
        )
        .with_state(seen.clone())
        .layer(observe("stock").server());
    (serve(app).await, seen)
}

/// A client with retries, each attempt of which is a span.
async fn call_back(to: SocketAddr) -> Result<String, BoxError> {
    let retry = Retry::builder("stock").max_attempts(3).budget(None);
    let retry = retry.backoff(tower_keep::retry::Backoff::constant(Duration::from_millis(
        1,
    )));
    let client = ServiceBuilder::new()
        .layer(RetryLayer::client(retry.build()?))
        .layer(observe("stock").client())
        .service(hyper_client());
    let response = client.oneshot(get(to, "/stock")).await?;
    Ok(text(response).await)
}

fn hyper_client() -> hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    ReplayBody<Body>,
> {
    hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http()
}

/// A service whose handler calls the other one.
async fn front(back: SocketAddr) -> SocketAddr {
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(
                move || async move { call_back(back).await.map_err(|_| StatusCode::BAD_GATEWAY) },
            ),
        )
        .layer(observe("orders").server());
    serve(app).await
}

async fn send(client: &HyperClient, request: axum::http::Request<Body>) -> String {
    let response = within(client.request(request)).await.expect("a response");
    text(response).await
}

/// Asserts that two hops with a retry and operations are one tree, and that the log has its IDs.
async fn assert_one_tree(exporter: &Exporter, logs: &Logs) {
    let (back, seen) = back(1).await;
    let front = front(back).await;
    assert_eq!(send(&http1(), traced(front, "/orders/7")).await, "7");

    let spans = exporter.finished();
    for span in &spans {
        let trace = span.span_context.trace_id().to_string();
        assert_eq!(trace, CALLERS_TRACE, "{span:#?}");
    }
    let servers = exporter.of_kind(SpanKind::Server);
    let attempts = exporter.of_kind(SpanKind::Client);
    let operations = exporter.of_kind(SpanKind::Internal);
    let counts = (servers.len(), attempts.len(), operations.len());
    assert_eq!(counts, (3, 2, 2), "{spans:#?}");

    assert_eq!(servers[0].name, "GET /orders/{id}");
    assert_eq!(servers[0].parent_span_id.to_string(), CALLERS_SPAN);
    assert!(servers[0].parent_span_is_remote);
    for hop in 0..2 {
        let (attempt, server) = (&attempts[hop], &servers[hop + 1]);
        assert_eq!(attempt.parent_span_id, id(&servers[0]), "of attempt {hop}");
        assert_eq!(
            server.parent_span_id,
            id(attempt),
            "of the hop of attempt {hop}"
        );
        assert_eq!(
            operations[hop].parent_span_id,
            id(server),
            "of operation {hop}"
        );
    }
    let sent: Vec<_> = attempts.iter().map(traceparent).collect();
    assert_eq!(seen.sent(), sent);
    let handled: Vec<_> = servers[1..].iter().map(traceparent).collect();
    assert_eq!(seen.handled(), handled);

    let exported: Vec<_> = spans.iter().map(|span| id(span).to_string()).collect();
    let calls = logs.calls();
    assert_eq!(calls.len(), 5);
    for line in calls {
        assert_eq!(line.get("trace_id"), CALLERS_TRACE, "{line:#?}");
        assert!(
            exported.iter().any(|id| id == line.get("span_id")),
            "{line:#?}"
        );
    }
    for span in logs.call_spans() {
        assert!(
            exported.iter().any(|id| id == span.get("span_id")),
            "{span:#?}"
        );
    }
}

#[tokio::test]
async fn exported_spans_of_two_hops_and_a_retry_are_one_tree() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    assert_one_tree(&exporter, &logs).await;
}

#[tokio::test]
async fn exported_spans_are_one_tree_in_the_other_order_of_layers_and_with_a_filter() {
    let exporter = Exporter::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
    let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
    let logs = logs_after(layer.with_filter(LevelFilter::DEBUG));
    assert_one_tree(&exporter, &logs).await;
}

#[tokio::test]
async fn exported_spans_are_one_tree_without_context_activation() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
    let logs = logs_before(layer.with_context_activation(false));
    assert_one_tree(&exporter, &logs).await;
}

#[tokio::test]
async fn unsampled_trace_is_sent_on_as_unsampled_under_the_ids_of_the_tracer() {
    let exporter = Exporter::new(Sampler::AlwaysOff);
    let logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let (back, seen) = back(0).await;
    let front = front(back).await;
    assert_eq!(send(&http1(), get(front, "/orders/7")).await, "7");
    assert_eq!(exporter.finished().len(), 0);
    let trace = logs.calls()[0].get("trace_id").to_owned();
    let [sent] = &seen.sent()[..] else {
        panic!("one request")
    };
    let client = logs
        .calls()
        .into_iter()
        .find(|line| line.get("kind") == "client");
    let client = client.expect("the client's line");
    assert_eq!(*sent, format!("00-{trace}-{}-00", client.get("span_id")));
}

#[tokio::test]
async fn new_trace_has_the_ids_of_the_exported_span_on_a_server_and_a_client() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let (back, seen) = back(0).await;
    assert_eq!(call_back(back).await.expect("a response"), "7");
    let (client, server) = (
        exporter.only(SpanKind::Client),
        exporter.only(SpanKind::Server),
    );
    assert_eq!(seen.sent(), [traceparent(&client)]);
    assert_eq!(seen.handled(), [traceparent(&server)]);
    assert_eq!(server.parent_span_id, id(&client));
}

#[tokio::test]
async fn span_that_is_filtered_out_sends_on_the_span_around_it() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
    let _logs = logs_before(layer.with_filter(LevelFilter::from_level(Level::INFO)));
    let (back, seen) = back(0).await;
    let app = Router::new()
        .route(
            "/",
            on_get(move || async move {
                let track = Track::builder("stock").span_level(SpanLevel::Debug);
                let client = ServiceBuilder::new()
                    .layer(observe(track.build().expect("a tracker")).client())
                    .service(http1());
                let response = client.oneshot(get(back, "/stock")).await;
                text(response.expect("a response")).await
            }),
        )
        .layer(observe("orders").server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, "7");
    let servers = exporter.of_kind(SpanKind::Server);
    assert_eq!(exporter.of_kind(SpanKind::Client).len(), 0);
    assert_eq!(seen.sent(), [traceparent(&servers[0])]);
    assert_eq!(servers[1].parent_span_id, id(&servers[0]));
}

#[tokio::test]
async fn task_that_a_call_has_spawned_continues_the_span_of_the_call() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let (back, _) = back(0).await;
    let app = Router::new()
        .route(
            "/",
            on_get(move || async move {
                let work = in_context(operation("restock").run_display(call_back(back)));
                tokio::spawn(work)
                    .await
                    .expect("no panic")
                    .expect("a response")
            }),
        )
        .layer(observe("orders").server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, "7");
    let server = exporter.of_kind(SpanKind::Server).remove(0);
    let restock = exporter.of_kind(SpanKind::Internal).remove(0);
    assert_eq!(restock.name, "restock");
    assert_eq!(restock.parent_span_id, id(&server));
    assert_eq!(exporter.only(SpanKind::Client).parent_span_id, id(&restock));
}

#[tokio::test]
async fn operations_of_a_job_are_in_one_trace() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let job = Context::new_root();
    for name in ["read", "write"] {
        let work = operation(name).run(async { Ok::<_, std::io::Error>(()) });
        job.scope(work).await.expect("no error");
    }
    let spans = exporter.finished();
    assert_eq!(spans.len(), 2);
    assert_eq!(job.traceparent().to_string(), traceparent(&spans[0]));
    assert_eq!(
        spans[1].span_context.trace_id(),
        spans[0].span_context.trace_id()
    );
    assert_eq!(spans[1].parent_span_id, id(&spans[0]));
}

#[tokio::test]
async fn exported_span_of_a_failure_has_the_text_of_its_error() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let work = async { Err::<(), _>(std::io::Error::other("the disk is full")) };
    operation("write").run(work).await.expect_err("the error");
    let fails = ServiceBuilder::new()
        .layer(observe("disk").client())
        .service(service_fn(async |_: axum::http::Request<Body>| {
            Err::<axum::http::Response<Body>, _>(std::io::Error::other("the peer is gone"))
        }));
    let sent = fails.oneshot(axum::http::Request::new(Body::empty())).await;
    sent.expect_err("the error");
    let statuses: Vec<_> = exporter
        .finished()
        .into_iter()
        .map(|span| span.status)
        .collect();
    let expected = ["the disk is full", "the peer is gone"].map(Status::error);
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn trace_that_is_left_is_linked() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let correlate = Correlate::builder()
        .trace_policy(TracePolicy::Restart)
        .build();
    let app = Router::new()
        .route(
            "/",
            on_get(|context: Context| async move { context.trace_id().to_string() }),
        )
        .layer(
            observe("orders")
                .correlate(correlate.expect("settings"))
                .server(),
        );
    let trace = send(&http1(), traced(serve(app).await, "/")).await;
    let server = exporter.only(SpanKind::Server);
    assert_eq!(server.span_context.trace_id().to_string(), trace);
    assert_ne!(trace, CALLERS_TRACE);
    assert_eq!(server.parent_span_id, SpanId::INVALID);
    let [link] = &server.links[..] else {
        panic!("one link: {server:#?}")
    };
    assert_eq!(link.span_context.trace_id().to_string(), CALLERS_TRACE);
    assert_eq!(link.span_context.span_id().to_string(), CALLERS_SPAN);
}

#[tokio::test]
async fn state_of_the_trace_is_sent_on() {
    let exporter = Exporter::new(Sampler::AlwaysOn);
    let _logs = logs_before(tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    let app = Router::new()
        .route(
            "/",
            on_get(|context: Context| async move {
                let state = context.tracestate();
                let vendor = state.and_then(|state| state.get("vendor"));
                vendor.unwrap_or_default().to_owned()
            }),
        )
        .layer(observe("orders").server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, "1");
    assert_eq!(
        exporter
            .only(SpanKind::Server)
            .span_context
            .trace_state()
            .header(),
        "vendor=1"
    );
}

#[tokio::test]
async fn span_ids_of_a_hook_are_those_of_the_context() {
    let _logs = logs();
    let own = "00-11111111111111111111111111111111-2222222222222222-00";
    let ids = tower_keep::context::Traceparent::parse(own.as_bytes()).expect("a span");
    let track = Track::builder("orders")
        .span_ids(move |_| Some(ids))
        .build();
    let app = Router::new()
        .route(
            "/",
            on_get(|context: Context| async move { context.traceparent().to_string() }),
        )
        .layer(observe(track.expect("a tracker")).server());
    assert_eq!(send(&http1(), traced(serve(app).await, "/")).await, own);
}
