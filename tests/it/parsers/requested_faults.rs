//! The faults that callers ask for in a header.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderName, Request, Response};
use http_body::Body;
use tower_keep::chaos::{Chaos, ChaosLayer, FaultKind};
use tower_layer::Layer;
use tower_service::Service;

use super::invariants::values;

struct Hello;

impl Service<Request<String>> for Hello {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(request.headers().is_empty(), "the next hop sees nothing");
        ready(Ok(Response::new("hello".to_owned())))
    }
}

/// A caller gets what it asks for, as far as it may, or the service's own response; and when it is gone, nothing is left.
pub fn requested_faults(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let chaos = Chaos::new("asked");
    chaos.enable();
    for value in values(bytes) {
        ask(&chaos, value);
        assert_eq!(chaos.delayed_count(), 0);
    }
    let never = [FaultKind::Hang, FaultKind::Panic];
    assert_eq!(never.map(|kind| chaos.injected_count(kind)), [0, 0]);
}

fn ask(chaos: &Chaos, value: http::HeaderValue) {
    let name = HeaderName::from_static("x-chaos");
    let mut request = Request::new(String::new());
    request.headers_mut().insert(&name, value);
    let layer = ChaosLayer::client(chaos).request_header(name);
    let mut cx = Context::from_waker(Waker::noop());
    let call = pin!(layer.layer(Hello).call(request));
    if let Poll::Ready(Ok(response)) = call.poll(&mut cx) {
        let status = response.status().as_u16();
        assert!(status == 200 || (400..=599).contains(&status));
        let _ = pin!(response.into_body()).poll_frame(&mut cx);
    }
}
