//! The layer: calls that wait for their slot, in the call or in `poll_ready`.

use std::io;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, CircuitBreaker, Context, Outcome, Rejection, RejectionKind,
    bulkhead::{Bulkhead, QueueOrder},
    testing::{CountingWaker, ReadyChecked, Reply, Script, ScriptedBody},
    timeout::TimeoutLayer,
};

use super::{SECOND, ends, request};
use crate::support::scripted::poll_ready;

fn queuing(limit: u32) -> Bulkhead {
    let builder = Bulkhead::builder("queued calls").limit(limit);
    let builder = builder.queue_limit(10).wait_limit(None);
    builder.build().expect("valid settings")
}

fn slow() -> ReadyChecked<Script> {
    ReadyChecked::new(Script::always(|| Reply::ok().after(SECOND).data("hello")))
}

#[tokio::test(start_paused = true)]
async fn calls_wait_in_their_order_until_the_body_before_has_ended() {
    let bulkhead = queuing(1);
    let service = bulkhead.layer().server().layer(slow());
    let start = Instant::now();
    let call = async || {
        let response = service
            .clone()
            .oneshot(request())
            .await
            .expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), Bytes::from_static(b"hello"));
        Instant::now() - start
    };
    let times = tokio::join!(call(), call(), call());
    assert_eq!(times, (SECOND, 2 * SECOND, 3 * SECOND));
    let stats = bulkhead.stats();
    assert_eq!(ends(&stats), [3, 0, 0, 0, 0]);
    assert_eq!((stats.mean_run, stats.waited), (Some(SECOND), 2));
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_holds_nothing_of_the_service() {
    let bulkhead = queuing(1);
    let permit = bulkhead.try_acquire().expect("free");
    let inner = ServiceBuilder::new().concurrency_limit(1).service(slow());
    let spare = inner.clone();
    let mut service = bulkhead.layer().client().layer(inner);
    let wakes = CountingWaker::new();
    assert!(poll_ready(&wakes, &mut service).is_ready());
    let mut call = wakes.call(&mut service, request());
    assert!(wakes.poll(call.as_mut()).is_pending());
    let other = spare.oneshot(request()).await;
    assert!(other.is_ok(), "the only permit of the service is free");
    drop(permit);
    assert_eq!(wakes.count(), 1);
    assert!(
        wakes.poll(call.as_mut()).is_pending(),
        "the service takes its time"
    );
    assert!(call.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn readiness_that_was_taken_is_given_back_by_a_call_that_waits() {
    let bulkhead = queuing(1);
    let inner = ServiceBuilder::new().concurrency_limit(1).service(slow());
    let spare = inner.clone();
    let mut service = bulkhead.layer().client().layer(inner);
    let wakes = CountingWaker::new();
    assert!(poll_ready(&wakes, &mut service).is_ready());
    let permit = bulkhead.try_acquire().expect("free");
    let mut call = wakes.call(&mut service, request());
    assert!(wakes.poll(call.as_mut()).is_pending());
    assert!(spare.oneshot(request()).await.is_ok());
    drop(permit);
    assert!(call.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_and_is_dropped_leaves_nothing_behind() {
    let bulkhead = queuing(1);
    let inner = slow();
    let service = bulkhead.layer().client().layer(inner.clone());
    let wakes = CountingWaker::new();
    let permit = bulkhead.try_acquire().expect("free");
    let mut waiting: Vec<_> = (0..3)
        .map(|_| wakes.call(&mut service.clone(), request()))
        .collect();
    for call in &mut waiting {
        assert!(wakes.poll(call.as_mut()).is_pending());
    }
    drop(waiting.remove(1));
    drop(permit);
    drop(waiting.remove(0));
    let last = waiting.remove(0);
    assert!(last.await.is_ok());
    assert_eq!((bulkhead.in_flight(), bulkhead.stats().queued), (0, 0));
    assert_eq!(
        (inner.get_ref().calls(), inner.get_ref().in_flight()),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_that_came_with_the_request_ends_the_wait() {
    let bulkhead = queuing(1);
    let _permit = bulkhead.try_acquire().expect("free");
    let service = bulkhead.layer().server().layer(slow());
    let grpc = Request::post("http://stock/a.Stock/Get")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "2S")
        .body(ScriptedBody::new());
    let start = Instant::now();
    let response = service.clone().oneshot(grpc.expect("a request")).await;
    let response = response.expect("a response");
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(response.headers()["grpc-status"], "8", "full, not late");
    let mut own = request();
    let context = Context::new_root().with_deadline(Instant::now() + SECOND);
    own.extensions_mut().insert(context);
    let response = service.oneshot(own).await.expect("a response");
    assert_eq!(start.elapsed(), 3 * SECOND);
    let rejection = response.extensions().get::<Rejection>().expect("why");
    assert_eq!(rejection.reason(), Some("deadline"));
}

#[tokio::test(start_paused = true)]
async fn full_bulkhead_in_a_time_limit_is_no_timeout_and_no_evidence() {
    let breaker = CircuitBreaker::builder("peer").consecutive_failures(1);
    let breaker = breaker.build().expect("valid settings");
    let bulkhead = queuing(1);
    let _permit = bulkhead.try_acquire().expect("free");
    let service = ServiceBuilder::new()
        .layer(breaker.layer().client())
        .layer(TimeoutLayer::client(SECOND))
        .layer(bulkhead.layer().client())
        .service(slow());
    let error = service.oneshot(request()).await.expect_err("full");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::Full);
    assert_eq!(breaker.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn displaced_call_is_rejected_as_its_protocol_has_it() {
    let builder = Bulkhead::builder("lifo").limit(1).queue_limit(1);
    let builder = builder.queue_order(QueueOrder::Lifo);
    let bulkhead = builder.build().expect("valid settings");
    let permit = bulkhead.try_acquire().expect("free");
    let service = bulkhead.layer().server().layer(slow());
    let oldest = tokio::spawn(service.clone().oneshot(request()));
    tokio::task::yield_now().await;
    let newest = tokio::spawn(service.oneshot(request()));
    let response = oldest.await.expect("no panic").expect("a response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(permit);
    let response = newest.await.expect("no panic").expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn service_that_fails_to_become_ready_gives_the_slot_back() {
    let bulkhead = queuing(1);
    let script = Script::<BoxError>::new([]).fails_ready(|| io::Error::other("gone").into());
    let service = bulkhead.layer().client().layer(script);
    let permit = bulkhead.try_acquire().expect("free");
    let wakes = CountingWaker::new();
    let mut call = wakes.call(&mut service.clone(), request());
    assert!(wakes.poll(call.as_mut()).is_pending());
    drop(permit);
    assert!(call.await.is_err());
    assert_eq!(bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn back_pressure_reserves_a_slot_in_turn() {
    let bulkhead = queuing(1);
    let layer = bulkhead.layer().client().back_pressure();
    let inner = slow();
    let mut handles = [(); 3].map(|()| layer.layer(inner.clone()));
    let wakes = [(); 3].map(|()| CountingWaker::new());
    let [first, second, third] = &mut handles;
    assert!(poll_ready(&wakes[0], first).is_ready());
    for _ in 0..3 {
        assert!(poll_ready(&wakes[1], second).is_pending());
        assert!(poll_ready(&wakes[2], third).is_pending());
    }
    assert_eq!((bulkhead.in_flight(), bulkhead.stats().queued), (1, 2));
    let response = first.call(request()).await.expect("a response");
    assert_eq!(
        wakes.each_ref().map(CountingWaker::count),
        [0, 0, 0],
        "the body"
    );
    response.into_body().collect().await.expect("a body");
    assert_eq!(wakes.each_ref().map(CountingWaker::count), [0, 1, 0]);
    assert!(poll_ready(&wakes[1], second).is_ready());
    // A clone has no slot, and a handle that is dropped gives its own back.
    let mut clone = second.clone();
    assert!(poll_ready(&CountingWaker::new(), &mut clone).is_pending());
    handles[1] = layer.layer(inner);
    assert_eq!(wakes.each_ref().map(CountingWaker::count), [0, 1, 1]);
    assert!(poll_ready(&wakes[2], &mut handles[2]).is_ready());
    drop((handles, clone));
    assert_eq!((bulkhead.in_flight(), bulkhead.stats().queued), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn handles_that_wait_are_bounded_by_no_limit_of_the_queue() {
    let builder = Bulkhead::builder("handles").limit(1).queue_limit(1);
    let bulkhead = builder.wait_limit(SECOND).build().expect("valid settings");
    let permit = bulkhead.try_acquire().expect("free");
    let layer = bulkhead.layer().client().back_pressure();
    let mut handles = [(); 3].map(|()| layer.layer(slow()));
    let wakes = CountingWaker::new();
    for handle in &mut handles {
        assert!(poll_ready(&wakes, handle).is_pending());
    }
    advance(10 * SECOND).await;
    assert!(poll_ready(&wakes, &mut handles[0]).is_pending());
    // A call finds a place among them.
    let acquire = bulkhead.acquire();
    tokio::pin!(acquire);
    assert!(wakes.poll(acquire.as_mut()).is_pending());
    permit.complete(Outcome::Success);
    assert!(poll_ready(&wakes, &mut handles[0]).is_ready());
}
