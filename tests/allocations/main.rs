//! The cost of a call that succeeds at once: no allocation, as far as that is possible.

#[path = "../../benches/support/allocations.rs"]
mod allocations;
mod guards;
mod layers;
#[path = "../../benches/support/poll.rs"]
mod poll;
mod retries;

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_keep::{
    protocol::Client,
    retry::{ReplayBody, RetryLayer},
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Allocations of one call.
fn allocations(call: impl FnMut()) -> f64 {
    allocations::per_call(call).0
}

#[test]
fn allocation_counter_counts() {
    let counted = allocations::per_call(|| drop(black_box(Box::new([7_u64; 4]))));
    assert_eq!(counted, (1.0, 32.0));
}

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

fn seven(_: u64) -> std::future::Ready<Result<u64, Infallible>> {
    ready(Ok(7))
}

fn ask<S: Service<u64, Response = u64>>(service: &mut S) {
    assert_eq!(poll::call(service, black_box(7)).ok(), Some(7));
}

fn order() -> Request<Full<Bytes>> {
    request(Method::POST, Bytes::from_static(b"an order"))
}

fn request(method: Method, body: Bytes) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri("/orders");
    let builder = builder.header("x-tenant", "acme");
    builder.body(Full::from(body)).expect("a request")
}

/// Returns how many allocations the layer adds to a request that a service reads and answers.
fn http(layer: RetryLayer<Client>, method: Method, body: &'static str) -> f64 {
    added_by(
        layer.layer(service_fn(answer::<ReplayBody<Full<Bytes>>>)),
        method,
        body,
    )
}

/// Allocations that a layer adds to a call.
fn added_by<S, B>(mut layered: S, method: Method, body: &'static str) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body + Unpin,
    S::Error: std::fmt::Debug,
{
    let request = || request(method.clone(), Bytes::from_static(body.as_bytes()));
    let mut bare = service_fn(answer::<Full<Bytes>>);
    let with = allocations(|| exchange(&mut layered, request()));
    with - allocations(|| exchange(&mut bare, request()))
}

fn exchange<S, B>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body + Unpin,
    S::Error: std::fmt::Debug,
{
    black_box(poll::exchange(service, request));
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: http_body::Body + Unpin,
{
    let mut body = request.into_body();
    while http_body_util::BodyExt::frame(&mut body).await.is_some() {}
    Ok(Response::new(Full::default()))
}
