//! Calls over real connections whose spans the OpenTelemetry SDK exports: what is sent on and logged is what is exported.

mod one_tree;
mod spans;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
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
use opentelemetry::trace::{SpanId, SpanKind, TracerProvider};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, InMemorySpanExporterBuilder, Sampler, SdkTracer, SdkTracerProvider,
    SpanData,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, Context, Retry, observe, operation,
    retry::{ReplayBody, RetryLayer},
};

use crate::support::{HyperClient, get, serve, text, within};

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

/// The headers that a service found in its requests, and the IDs that its handlers had.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, String)>>>);

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
