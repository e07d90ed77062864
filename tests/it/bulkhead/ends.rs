//! The layer: when a call gives its slot back, and what it counts as.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Outcome, Rejection, RejectionKind,
    bulkhead::Bulkhead,
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
};

use super::{SECOND, bulkhead, ends, request};

fn replies(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Script {
    Script::always(reply)
}

fn grpc_request() -> Request<ScriptedBody> {
    let request = Request::post("http://stock/a.Stock/Get").version(http::Version::HTTP_2);
    let request = request.header("content-type", "application/grpc");
    request.body(ScriptedBody::new()).expect("a request")
}

#[tokio::test]
async fn slot_is_held_until_the_body_ends() {
    let bulkhead = bulkhead(1);
    let inner = replies(|| Reply::ok().data("one").data("two"));
    let service = bulkhead.layer().server().layer(inner);
    let response = service
        .clone()
        .oneshot(request())
        .await
        .expect("a response");
    assert_eq!(bulkhead.in_flight(), 1, "the body is still to come");
    let rejected = service
        .clone()
        .oneshot(request())
        .await
        .expect("a response");
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "onetwo");
    assert_eq!(ends(&bulkhead.stats()), [1, 0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn slot_is_given_back_at_the_head_if_that_is_configured() {
    let builder = Bulkhead::builder("events").limit(1).until_head(true);
    let bulkhead = builder.build().expect("valid settings");
    let inner = replies(|| {
        Reply::ok()
            .after(SECOND)
            .body(ScriptedBody::new().after(SECOND).data("x"))
    });
    let service = bulkhead.layer().server().layer(inner);
    let first = service
        .clone()
        .oneshot(request())
        .await
        .expect("a response");
    assert_eq!(
        ends(&bulkhead.stats()),
        [0, 0, 0, 0, 0],
        "free, and not over"
    );
    let second = service.oneshot(request()).await.expect("a response");
    assert_eq!(second.status(), StatusCode::OK);
    for response in [first, second] {
        response.into_body().collect().await.expect("a body");
    }
    let stats = bulkhead.stats();
    assert_eq!(ends(&stats), [2, 0, 0, 0, 0]);
    assert_eq!(stats.mean_run, Some(SECOND), "until the head");
}

#[tokio::test]
async fn calls_count_by_their_evidence() {
    for (reply, expected) in [
        (Reply::ok as fn() -> Reply, [1, 0, 0, 0, 0]),
        (|| Reply::status(404), [1, 0, 0, 0, 0]),
        (|| Reply::status(500), [0, 1, 0, 0, 0]),
        (|| Reply::status(503), [0, 1, 0, 0, 0]),
        (
            || Reply::error(io::Error::from(io::ErrorKind::BrokenPipe)),
            [0, 1, 0, 0, 0],
        ),
        (
            || Reply::error(Rejection::overloaded("inner")),
            [0, 0, 1, 0, 0],
        ),
        (
            || Reply::ok().body(ScriptedBody::new().data("half").error("cut off")),
            [0, 1, 0, 0, 0],
        ),
    ] {
        let bulkhead = bulkhead(1);
        let service = bulkhead.layer().client().layer(replies(reply));
        if let Ok(response) = service.oneshot(request()).await {
            let _ = response.into_body().collect().await;
        }
        assert_eq!(ends(&bulkhead.stats()), expected);
    }
}

#[tokio::test]
async fn full_bulkhead_responds_as_the_protocol_has_it() {
    let bulkhead = bulkhead(1);
    let _taken = bulkhead.try_acquire().expect("free");
    let server = bulkhead.layer().server().layer(replies(Reply::ok));
    let response = server.clone().oneshot(request()).await.expect("a response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let rejection = response.extensions().get::<Rejection>().expect("why");
    assert_eq!(rejection.kind(), RejectionKind::Full);
    let response = server.oneshot(grpc_request()).await.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "8", "RESOURCE_EXHAUSTED");
    let client = bulkhead.layer().client().layer(replies(Reply::ok));
    let error = client.oneshot(request()).await.expect_err("rejected");
    assert_eq!(Rejection::find(&*error).expect("why").guard(), "bulkhead");
    let any = bulkhead.layer().any();
    let any = any.layer(service_fn(async |n: u32| Ok::<_, io::Error>(n)));
    let error = any.oneshot(7).await.expect_err("rejected");
    assert!(Rejection::find(&*error).is_some());
}

#[tokio::test]
async fn retry_after_is_sent_to_the_caller_of_a_full_server() {
    let bulkhead = bulkhead(1);
    bulkhead
        .try_acquire()
        .expect("free")
        .complete(Outcome::Success);
    let _taken = bulkhead.try_acquire().expect("free");
    let server = bulkhead.layer().server().layer(replies(Reply::ok));
    let response = server.oneshot(request()).await.expect("a response");
    assert_eq!(response.headers()["retry-after"], "1", "rounded up");
}

#[tokio::test]
async fn call_that_a_later_guard_rejects_gives_its_slot_back() {
    let bulkhead = bulkhead(1);
    let recorder = RecordingGuard::rejecting(Rejection::overloaded("later"));
    let layer = GuardLayer::client((bulkhead.clone(), recorder));
    let service = layer.layer(replies(Reply::ok));
    for _ in 0..3 {
        service
            .clone()
            .oneshot(request())
            .await
            .expect_err("rejected");
    }
    assert_eq!(ends(&bulkhead.stats()), [0, 0, 3, 0, 0]);
}

#[tokio::test]
async fn full_bulkhead_is_no_evidence_for_a_breaker_around_it() {
    let breaker = CircuitBreaker::builder("peer").consecutive_failures(1);
    let breaker = breaker.build().expect("valid settings");
    let bulkhead = bulkhead(1);
    let _taken = bulkhead.try_acquire().expect("free");
    let layer = GuardLayer::client((breaker.clone(), bulkhead.clone()));
    let fused = layer.layer(replies(Reply::ok));
    let inner = bulkhead.layer().client().layer(replies(Reply::ok));
    let stacked = breaker.layer().client().layer(inner);
    fused.oneshot(request()).await.expect_err("full");
    stacked.oneshot(request()).await.expect_err("full");
    assert_eq!(breaker.counts().calls, 0);
    assert_eq!(bulkhead.stats().rejected, 2);
}

/// Drops calls at every point of their way, a hundred thousand of them, with panics and resizes in between.
#[test]
fn slots_are_all_given_back_after_a_hundred_thousand_drops() {
    let bulkhead = bulkhead(8);
    let server = bulkhead.layer().server();
    let body = || {
        ScriptedBody::new()
            .pending(1)
            .data("a")
            .pending(1)
            .data("b")
    };
    let service = server.layer(Script::from_fn(move |n| match n % 7 {
        0 => Reply::<BoxError>::hang(),
        1 => Reply::ok().pending(n % 3).body(body()),
        2 => Reply::panic_in_call("in the call"),
        3 => Reply::ok().pending(1).panic_in_drop("in the drop"),
        4 => Reply::error("broken"),
        5 => Reply::panic_in_poll("in the poll"),
        _ => Reply::ok().body(body().panic("in the body")),
    }));
    let mut random = fastrand::Rng::with_seed(7);
    let mut held: Vec<Box<dyn FnMut() -> bool>> = Vec::new();
    let mut calls = 0_u64;
    while calls < 100_000 {
        match random.u8(..) {
            0..180 => {
                calls += 1;
                held.push(Box::new(steps(service.clone())));
            }
            180..190 => {
                let mut settings = bulkhead.settings();
                settings.limit = random.u32(1..12);
                bulkhead.apply(&settings).expect("valid settings");
            }
            _ => {}
        }
        let picked = random.usize(..held.len().max(1));
        if let Some(step) = held.get_mut(picked) {
            let over = catch_unwind(AssertUnwindSafe(step));
            if over.unwrap_or(true) || random.bool() {
                let gone = held.swap_remove(picked);
                let _ = catch_unwind(AssertUnwindSafe(|| drop(gone)));
            }
        }
        assert!(bulkhead.in_flight() <= 11, "the largest limit");
    }
    held.into_iter().for_each(|gone| {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(gone)));
    });
    let stats = bulkhead.stats();
    assert_eq!(stats.in_flight, 0);
    let ended: u64 = ends(&stats).iter().sum();
    assert_eq!(ended, calls);
    assert!(
        ends(&stats)[..4].iter().all(|count| *count > 0),
        "{stats:?}"
    );
}

/// A call that goes on by one poll at each step, and says when it is over.
fn steps<S, B>(mut service: S) -> impl FnMut() -> bool
where
    S: Service<Request<ScriptedBody>, Response = Response<B>>,
    B: Body,
{
    let wakes = CountingWaker::new();
    assert!(wakes.poll_ready(&mut service).is_ready());
    let mut call = Some(wakes.call(&mut service, request()));
    let mut body = None;
    move || {
        if let Some(future) = &mut call {
            if let Poll::Ready(result) = wakes.poll(future.as_mut()) {
                call = None;
                body = result.ok().map(|response| Box::pin(response.into_body()));
                return body.is_none();
            }
            return false;
        }
        let polled = body.as_mut().map(|body| wakes.poll_frame(body.as_mut()));
        !matches!(polled, Some(Poll::Ready(Some(Ok(_))) | Poll::Pending))
    }
}
