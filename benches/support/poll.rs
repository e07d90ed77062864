//! Polls futures by hand, so that no executor is measured.
#![allow(dead_code)] // each bench uses its part

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use http_body::Body;
use tower_service::Service;

/// Runs a future that needs no waking to its end.
pub fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

/// One call of a plain service.
pub fn call<S: Service<Req>, Req>(service: &mut S, request: Req) -> Result<S::Response, S::Error> {
    let mut cx = Context::from_waker(Waker::noop());
    match service.poll_ready(&mut cx) {
        Poll::Ready(Ok(())) => finish(service.call(request)),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Pending => panic!("these services are always ready"),
    }
}

/// One HTTP call, the body read to its end.
pub fn exchange<S, Req, B>(service: &mut S, request: Req) -> u64
where
    S: Service<Req, Response = http::Response<B>>,
    S::Error: std::fmt::Debug,
    B: Body,
{
    let response = call(service, request).expect("an answer");
    let mut body = pin!(response.into_body());
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = 0;
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(_)) => frames += 1,
            Poll::Ready(None) => return frames,
            Poll::Pending => {}
        }
    }
}
