//! The table of rules in the docs of `timeout`, row by row; bodies and the next hop have files of their own.

use std::{future::pending, time::Duration};

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Context, Rejection,
    breaker::CallError,
    call::{Elapsed, Evidence, TimeoutKind},
    context::deadline,
    testing::{Reply, Script, ScriptedBody},
    timeout::{RequestLimit, TimeLimit, TimeLimits, TimeoutLayer, Timeouts},
};

use super::{HOUR, MILLI, SECOND, after, elapsed};

fn plain() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

/// A minute of events, one each second.
fn minute() -> ScriptedBody {
    let body = (0..60).fold(ScriptedBody::new(), |body, _| {
        body.after(SECOND).data("tick")
    });
    body.without_size_hint().end_after_extra_poll()
}

async fn frames<B: Body<Error: std::fmt::Debug> + Unpin>(response: Response<B>) -> usize {
    let (mut body, mut frames) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        frame.expect("a frame");
        frames += 1;
    }
    frames
}

/// README's client once cut a download after 30 s, but only if anything had been waited for before its head.
#[tokio::test(start_paused = true)]
async fn timeout_never_bounds_the_body() {
    for wait in [Duration::ZERO, MILLI] {
        let peer = service_fn(move |_: Request<ScriptedBody>| async move {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            Ok::<_, BoxError>(Response::new(minute()))
        });
        let (total, attempt) = (30 * SECOND, 10 * SECOND);
        let attempt = TimeoutLayer::client(attempt).layer(peer);
        let client = service_fn(move |request| {
            let attempt = attempt.clone();
            async move {
                // As a retry does that has had one failure.
                sleep(wait).await;
                attempt.oneshot(request).await
            }
        });
        let client = TimeoutLayer::client(total).layer(client);
        let response = client.clone().oneshot(plain()).await.expect("an answer");
        assert_eq!(frames(response).await, 60, "after {wait:?}");
        let run = TimeLimit::new("run", total).run(async move {
            sleep(wait).await;
            client.oneshot(plain()).await
        });
        let response = run.await.expect("in time").expect("an answer");
        assert_eq!(frames(response).await, 60, "after {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_of_request_bounds_bodies_of_its_calls() {
    let peer =
        service_fn(async |_: Request<ScriptedBody>| Ok::<_, BoxError>(Response::new(minute())));
    let handler = service_fn(move |_: Request<ScriptedBody>| async move {
        sleep(SECOND).await;
        let client = TimeoutLayer::client(HOUR).layer(peer);
        let response = client.oneshot(plain()).await?;
        let begun = Instant::now();
        let error = response.into_body().collect().await.expect_err("cut");
        assert_eq!(elapsed(&error).kind(), TimeoutKind::Deadline);
        assert_eq!(begun.elapsed(), 2 * SECOND);
        Ok::<_, BoxError>(Response::new(ScriptedBody::new()))
    });
    let request = Request::post("/pkg.Service/Method")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "3S")
        .body(ScriptedBody::new());
    let server = TimeoutLayer::server(HOUR).layer(handler);
    let response = server.oneshot(request.expect("a request")).await;
    assert!(response.expect("an answer").headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn timeout_blames_peer_and_deadline_does_not() {
    let hung = || Script::<BoxError>::always(Reply::hang);
    let call = |limit| TimeoutLayer::any(limit).layer(hung()).oneshot(());
    let error = call(SECOND).await.expect_err("too late");
    assert_eq!(elapsed(&error).evidence(), Evidence::Unhealthy);
    let hurried = Context::new_root().with_deadline(Instant::now() + MILLI);
    let error = hurried.scope(call(SECOND)).await.expect_err("too late");
    assert_eq!(elapsed(&error).evidence(), Evidence::Inconclusive);
    assert!(!elapsed(&error).is_caller_fault());
}

/// The outer limit is the one that ends the call, and is counted; a task of its own ends by itself.
#[tokio::test(start_paused = true)]
async fn timeout_around_ends_the_call_if_shorter() {
    let (outer, inner) = (
        TimeLimit::new("outer", SECOND),
        TimeLimit::new("inner", HOUR),
    );
    let begun = Instant::now();
    let late = |_: ()| async { sleep(MILLI).await };
    let work = outer.run(async {
        late(()).await;
        inner.run(pending::<()>()).await
    });
    assert_eq!(work.await.expect_err("too late").name(), "outer");
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!((outer.timeout_count(), inner.timeout_count()), (1, 0));

    let (sender, receiver) = tokio::sync::oneshot::channel();
    let work = outer.run(async {
        late(()).await;
        let work = inner.run(pending::<()>());
        let task = tower_keep::context::in_context(async { sender.send(work.await) });
        tokio::spawn(task);
        pending::<()>().await
    });
    assert!(work.await.is_err());
    let why = receiver.await.expect("an end").expect_err("too late");
    assert_eq!(
        (why.name(), why.evidence()),
        ("inner", Evidence::Inconclusive)
    );
    assert!(begun.elapsed() < 2 * SECOND + 10 * MILLI);
}

/// A caller in a hurry once opened the circuit for everybody, by a future that was not even polled.
#[tokio::test(start_paused = true)]
async fn deadline_passed_rejects_run() {
    let breaker = CircuitBreaker::builder("expired").consecutive_failures(1);
    let breaker = breaker.build().expect("settings");
    let limit = TimeLimit::new("expired", SECOND);
    let past = Context::new_root().with_deadline(Instant::now());
    let call = past.scope(async {
        let work = limit.run(async { unreachable!("is not polled") });
        breaker.call(work).await
    });
    let Err(CallError::Failed(error)) = call.await else {
        panic!("the work was let pass");
    };
    assert_eq!(
        Rejection::find(&error).map(Rejection::guard),
        Some("expired")
    );
    assert_eq!(error.evidence(), Evidence::Inconclusive);
    assert_eq!(
        error.to_string(),
        r#"not begun after its deadline (time limit "expired")"#
    );
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (0, 0));
    assert_eq!((limit.timeout_count(), limit.rejected_count()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn timeout_of_request_overrides() {
    let ends_after = async |layer: &TimeoutLayer<_>, own: Option<Duration>| {
        let mut request = plain();
        request
            .extensions_mut()
            .extend(own.map(RequestLimit).into_iter().fold(
                http::Extensions::new(),
                |mut all, own| {
                    all.insert(own);
                    all
                },
            ));
        let begun = Instant::now();
        let service = layer.layer(Script::<BoxError>::always(Reply::hang));
        let error = service.oneshot(request).await.expect_err("too late");
        assert_eq!(elapsed(&error).limit(), Some(begun.elapsed()));
        begun.elapsed()
    };
    let layer = TimeoutLayer::client(10 * SECOND);
    assert_eq!(ends_after(&layer, None).await, 10 * SECOND);
    assert_eq!(ends_after(&layer, Some(SECOND)).await, SECOND);
    assert_eq!(ends_after(&layer, Some(60 * SECOND)).await, 60 * SECOND);
    let limits = TimeLimits::builder().max(30 * SECOND).build();
    let layer = TimeoutLayer::client(limits.expect("settings").get("http"));
    assert_eq!(ends_after(&layer, Some(60 * SECOND)).await, 30 * SECOND);
}

#[test]
fn timeout_of_attempt_never_exceeds_total() {
    let timeouts = Timeouts::builder("short").total(5 * SECOND).build();
    let timeouts = timeouts.expect("settings");
    let attempt = timeouts.attempt();
    assert_eq!(attempt.get(), 5 * SECOND);
    assert_eq!(
        Timeouts::builder("usual")
            .build()
            .expect("settings")
            .attempt()
            .get(),
        10 * SECOND
    );
    // Later either: not by its own setter, nor by the total's.
    assert_eq!(attempt.set(HOUR), 5 * SECOND);
    timeouts.total().set(2 * SECOND);
    assert_eq!(attempt.get(), 2 * SECOND);
    timeouts.total().set(HOUR);
    assert_eq!(attempt.get(), 5 * SECOND);
    assert_eq!(attempt.set(60 * SECOND), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn timeout_is_visible_to_its_work() {
    let limit = TimeLimit::new("seen", SECOND);
    let begun = Instant::now();
    let seen = limit.run(async {
        let at_once = deadline();
        sleep(MILLI).await;
        (at_once, deadline())
    });
    let end = Some(begun + SECOND);
    assert_eq!(seen.await.expect("in time"), (end, end));
    let error: BoxError = limit
        .run(pending::<()>())
        .await
        .expect_err("too late")
        .into();
    assert!(error.is::<Elapsed>());
    assert!(
        TimeoutLayer::any(SECOND)
            .layer(after(MILLI))
            .oneshot(())
            .await
            .is_ok()
    );
}
