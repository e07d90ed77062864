//! Contexts: read, sent on, traced, and followed from hop to hop.

mod correlate;
mod current;
#[cfg(feature = "axum")]
mod end_to_end;
mod hops;
mod parsers;
mod propagate;
mod responses;
mod settings;
mod trace_formats;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context as Cx, Poll, Waker},
};

use axum::{Router, body::Body, routing::get as on_get};
use http::{HeaderMap, Request, Response};
use tower::{Service, ServiceBuilder, service_fn};
use tower_keep::{
    Context, GuardLayer,
    context::{Correlate, CorrelateBuilder},
};

use crate::support::serve;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn with<'a>(
    mut request: Request<Body>,
    headers: impl IntoIterator<Item = (&'static str, &'a str)>,
) -> Request<Body> {
    for (name, value) in headers {
        request
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    request
}

/// Returns the call as its handler sees it, in `name=value` lines.
fn told() -> String {
    let call = Context::current().expect("a context");
    let mut told = format!(
        "request={} correlation={} trace={} span={} sampled={}",
        call.request_id(),
        call.correlation_id(),
        call.trace_id(),
        call.span_id(),
        call.trace_flags().is_sampled(),
    );
    if let Some(parent) = call.parent_id() {
        told += &format!(" parent={parent}");
    }
    if let Some(link) = call.linked_trace() {
        told += &format!(" link={link}");
    }
    if let Some(state) = call.tracestate().and_then(|state| state.to_header_value()) {
        told += &format!(" state={}", state.to_str().expect("text"));
    }
    told
}

fn word<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    told.split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Correlates calls in a way of its own, and answers with what handlers are told.
async fn telling(correlate: CorrelateBuilder) -> SocketAddr {
    let correlate = correlate.build().expect("settings");
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(GuardLayer::server(correlate));
    serve(app).await
}

/// Without any connection: what a server would let through is more than any client sends.
fn answered(headers: HeaderMap) -> (HeaderMap, Context) {
    let seen = Arc::new(Mutex::new(None));
    let see = seen.clone();
    let mut service = ServiceBuilder::new()
        .layer(GuardLayer::server(Correlate::default()))
        .service(service_fn(move |_: Request<()>| {
            *see.lock().unwrap() = Context::current();
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        }));
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    let future = std::pin::pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.poll(&mut Cx::from_waker(Waker::noop())) else {
        panic!("not ready at once")
    };
    let seen = seen.lock().unwrap().take();
    (response.headers().clone(), seen.expect("a context"))
}

fn sent<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

/// The ID of the journey, which is the request ID where nothing else is said.
fn journey(headers: &HeaderMap) -> Option<&str> {
    sent(headers, "x-correlation-id").or(sent(headers, "x-request-id"))
}
