//! Tests what the public API does not show: the reason why work is dropped, and uploads that stall.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::{TimeLimit, TimeoutLayer};
use crate::{
    BoxError,
    call::{
        Classification, Elapsed, Evidence, Outcome, classify_timeout_trailers, current_timeout,
    },
    context,
    protocol::upload::Upload,
};

const SECOND: Duration = Duration::from_secs(1);
const PEER_UNHEALTHY: Classification = Classification::new(Outcome::TimedOut, Evidence::Unhealthy);
const INCONCLUSIVE: Classification = Classification::new(Outcome::TimedOut, Evidence::Inconclusive);

/// Work that never ends, and records why it is dropped.
#[derive(Clone, Default)]
struct NeverReady(Arc<Mutex<Option<Classification>>>);

impl NeverReady {
    fn take_reason(&self) -> Option<Classification> {
        self.0.lock().expect("no panic").take()
    }
}

impl Drop for NeverReady {
    fn drop(&mut self) {
        let why = current_timeout().map(|why| why.classify(None, Instant::now));
        if why.is_some() {
            *self.0.lock().expect("no panic") = why;
        }
    }
}

impl Future for NeverReady {
    type Output = Result<Response<NeverReady>, BoxError>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Body for NeverReady {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Pending
    }
}

fn request(stalled: Option<bool>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(stalled) = stalled {
        request.extensions_mut().insert(Upload::stalled(stalled));
    }
    request
}

#[tokio::test(start_paused = true)]
async fn timeout_shows_the_dropped_future_which_limit_elapsed() {
    let never_ready = NeverReady::default();
    let work = || never_ready.clone();
    let layer = TimeoutLayer::client(SECOND);
    let service = || layer.layer(service_fn(|_| work()));
    assert!(service().oneshot(request(None)).await.is_err());
    assert_eq!(never_ready.take_reason(), Some(PEER_UNHEALTHY));
    assert!(service().oneshot(request(Some(true))).await.is_err());
    assert_eq!(
        never_ready.take_reason(),
        Some(Classification::CALLER_FAULT)
    );
    let with_deadline = || context::Context::new_root().with_deadline(Instant::now() + SECOND / 2);
    let late = with_deadline()
        .scope(service().oneshot(request(None)))
        .await;
    assert!(late.is_err());
    assert_eq!(never_ready.take_reason(), Some(INCONCLUSIVE));

    let limit = TimeLimit::new("run", SECOND);
    assert!(limit.run(work()).await.is_err());
    assert_eq!(never_ready.take_reason(), Some(PEER_UNHEALTHY));
    assert!(with_deadline().scope(limit.run(work())).await.is_err());
    assert_eq!(never_ready.take_reason(), Some(INCONCLUSIVE));
    // A caller that hangs up gives no reason.
    drop(limit.run(work()));
    drop(service().oneshot(request(None)));
    assert_eq!(never_ready.take_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn timeout_shows_the_dropped_body_which_limit_elapsed() {
    let never_ready = NeverReady::default();
    let answer = async |stalled: Option<bool>| {
        let body = never_ready.clone();
        let service = service_fn(move |_| {
            let response = Response::new(body.clone());
            async { Ok::<_, BoxError>(response) }
        });
        let layer = TimeoutLayer::client(SECOND).body_idle(SECOND);
        let response = layer.layer(service).oneshot(request(stalled)).await;
        let error = response.expect("an answer").into_body().collect().await;
        let error = error.expect_err("too late");
        let why: &Elapsed = error.downcast_ref().expect("an Elapsed");
        why.classification()
    };
    for (stalled, classification) in [
        (None, PEER_UNHEALTHY),
        (Some(false), PEER_UNHEALTHY),
        (Some(true), Classification::CALLER_FAULT),
    ] {
        assert_eq!(answer(stalled).await, classification);
        assert_eq!(never_ready.take_reason(), Some(classification));
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_of_a_stalled_caller_responds_with_408() {
    type Hangs = Result<Response<NeverReady>, BoxError>;
    let service = || service_fn(|_| pending::<Hangs>());
    let server = || TimeoutLayer::server(SECOND).layer(service());
    for (stalled, status) in [(None, 504), (Some(false), 504), (Some(true), 408)] {
        let response = server().oneshot(request(stalled)).await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        assert!(text.contains(&format!("\"status\":{status}")), "{text}");
    }
    let mut call = request(Some(true));
    let grpc = http::HeaderValue::from_static("application/grpc");
    call.headers_mut().insert("content-type", grpc);
    *call.method_mut() = http::Method::POST;
    *call.version_mut() = http::Version::HTTP_2;
    let response = server().oneshot(call).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn timeout_trailers_say_whose_fault_it_is() {
    let trailers = async |stalled: bool, deadline: Option<Instant>| {
        let service = service_fn(async |_| {
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, BoxError>(response.body(NeverReady::default()).expect("a response"))
        });
        let mut call = request(Some(stalled));
        let grpc = http::HeaderValue::from_static("application/grpc");
        call.headers_mut().insert("content-type", grpc);
        let root = context::Context::new_root();
        let root = deadline.map_or(root.clone(), |at| root.with_deadline(at));
        call.extensions_mut().insert(root);
        let layer = TimeoutLayer::grpc_client(SECOND).body_idle(SECOND);
        let response = layer.layer(service).oneshot(call).await;
        let body = response.expect("an answer").into_body().collect().await;
        let trailers = body.expect("no error").trailers().cloned();
        classify_timeout_trailers(&trailers.expect("trailers"))
    };
    assert_eq!(trailers(false, None).await, Some(PEER_UNHEALTHY));
    assert_eq!(
        trailers(true, None).await,
        Some(Classification::CALLER_FAULT)
    );
    let soon = Some(Instant::now() + SECOND / 2);
    assert_eq!(trailers(false, soon).await, Some(INCONCLUSIVE));
}
