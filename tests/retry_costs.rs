//! What a request costs that is sent once and succeeds: no allocation, as far as that is possible.

#[path = "../benches/support/counting.rs"]
mod counting;
#[path = "../benches/support/drive.rs"]
mod drive;

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_keep::{
    Context,
    protocol::Client,
    retry::{Replay, ReplayBody, Retry, RetryLayer},
};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Allocations of one call.
fn allocations(call: impl FnMut()) -> f64 {
    counting::per_call(call).0
}

#[test]
fn work_that_succeeds_allocates_nothing() {
    let retry = Retry::named("costs");
    let work = || {
        let run = retry.run(|_| ready(Ok::<_, std::io::Error>(7)));
        black_box(drive::finish(run)).expect("an answer");
    };
    assert_eq!(allocations(work), 0.0);
    // Nor does it where there is a context that has a deadline.
    let soon = std::time::Duration::from_secs(3_600);
    let call = Context::root().with_deadline(tokio::time::Instant::now() + soon);
    assert_eq!(call.run(|| allocations(work)), 0.0);
}

#[test]
fn a_request_of_any_kind_allocates_nothing() {
    let inner = service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    let mut service = RetryLayer::any(Retry::named("costs")).layer(inner);
    let call = || {
        black_box(drive::call(&mut service, black_box(7))).expect("an answer");
    };
    assert_eq!(allocations(call), 0.0);
}

#[test]
fn an_http_request_that_is_sent_once_allocates_nothing() {
    let layer = || RetryLayer::client(Retry::named("costs"));
    let switched_off = layer().free_repeats(false);
    assert_eq!(http(switched_off, Method::POST, "an order"), 0.0);
    let once = Retry::builder("costs").attempts(1).build().unwrap();
    let once = RetryLayer::client(once);
    assert_eq!(http(once.clone(), Method::POST, "an order"), 0.0);
    assert_eq!(http(once, Method::PUT, "an order"), 0.0);
}

/// Its head goes to the service, and what is gone cannot be cloned later.
#[test]
fn an_http_request_that_may_be_sent_again_costs_a_copy_of_its_head() {
    let layer = || RetryLayer::client(Retry::named("costs"));
    let copy = |method: Method| {
        let head = || request(method.clone(), Bytes::new()).into_parts().0;
        let both = allocations(|| drop(black_box((head().clone(), head()))));
        both - 2.0 * allocations(|| drop(black_box(head())))
    };
    assert_eq!(http(layer(), Method::GET, ""), copy(Method::GET));
    // A body besides: what its sendings share.
    for method in [Method::PUT, Method::POST] {
        let copied = http(layer(), method.clone(), "an order");
        assert_eq!(copied, copy(method.clone()) + 1.0, "{method}");
    }
}

fn request(method: Method, body: Bytes) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri("/orders");
    let builder = builder.header("x-tenant", "acme");
    builder.body(Full::from(body)).expect("a request")
}

/// How many allocations the layer adds to a request that a service reads and answers.
fn http(layer: RetryLayer<Replay<Client>>, method: Method, body: &'static str) -> f64 {
    let request = || request(method.clone(), Bytes::from_static(body.as_bytes()));
    let mut bare = service_fn(answer::<Full<Bytes>>);
    let mut layered = layer.layer(service_fn(answer::<ReplayBody<Full<Bytes>>>));
    let with = allocations(|| exchange(&mut layered, request()));
    with - allocations(|| exchange(&mut bare, request()))
}

fn exchange<S>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>>,
    S::Error: std::fmt::Debug,
{
    black_box(drive::exchange(service, request));
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: http_body::Body + Unpin,
{
    let mut body = request.into_body();
    while http_body_util::BodyExt::frame(&mut body).await.is_some() {}
    Ok(Response::new(Full::default()))
}
