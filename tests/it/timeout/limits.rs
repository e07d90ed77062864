//! Time limits by the paused clock, and deadlines from hop to hop.

use std::{
    future::{Future, pending, ready},
    pin::pin,
    time::Duration,
};

use http::Request;
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Outcome,
    call::{Evidence, TimeoutKind},
    context::{deadline, in_context},
    registry::{self, Stat},
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
    timeout::{TimeLimit, TimeLimits, TimeoutLayer, Timeouts},
};

use super::{HOUR, MILLI, SECOND, after, elapsed};
use crate::support::{listing::listing, meter::meter};

#[test]
fn timeout_needs_no_runtime_for_ready_answer() {
    let mut service = TimeoutLayer::any(SECOND).layer(Script::<BoxError>::always(Reply::ok));
    let wakes = CountingWaker::new();
    let mut future = wakes.call(&mut service, "a request");
    assert!(wakes.poll(future.as_mut()).is_ready());
    let mut future = pin!(TimeLimit::from(SECOND).run(ready(7)));
    assert!(matches!(
        wakes.poll(future.as_mut()),
        std::task::Poll::Ready(Ok(7))
    ));
}

#[tokio::test(start_paused = true)]
async fn timeout_is_exact() {
    for (delay, in_time) in [(MILLI, true), (SECOND, true), (SECOND + MILLI, false)] {
        let begun = Instant::now();
        let answer = TimeoutLayer::any(SECOND)
            .layer(after(delay))
            .oneshot(())
            .await;
        assert_eq!(answer.is_ok(), in_time, "{delay:?}");
        assert_eq!(begun.elapsed(), delay.min(SECOND), "{delay:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_drops_work_before_the_error() {
    let script: Script = Script::always(Reply::hang);
    let error = TimeoutLayer::any(SECOND)
        .layer(script.clone())
        .oneshot(())
        .await;
    let error = error.expect_err("too late");
    assert_eq!((script.calls(), script.in_flight()), (1, 0));
    let elapsed = elapsed(&error);
    assert_eq!(
        (elapsed.name(), elapsed.kind(), elapsed.limit()),
        ("timeout", TimeoutKind::Limit, Some(SECOND))
    );
}

#[tokio::test(start_paused = true)]
async fn timeout_dropped_call_leaves_nothing() {
    let script: Script = Script::always(Reply::hang);
    let mut service = TimeoutLayer::any(SECOND).layer(script.clone());
    let wakes = CountingWaker::new();
    for polls in 0..3 {
        let mut future = wakes.call(&mut service, ());
        for _ in 0..polls {
            assert!(wakes.poll(future.as_mut()).is_pending());
        }
        drop(future);
        assert_eq!(script.in_flight(), 0);
    }
    advance(2 * SECOND).await;
    assert_eq!(wakes.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn breaker_counts_timeouts() {
    let breaker = CircuitBreaker::classic("slow").build().expect("settings");
    let spy = RecordingGuard::new();
    let service = TimeoutLayer::any(SECOND).layer(Script::<BoxError>::always(Reply::hang));
    let service = GuardLayer::any((spy.clone(), breaker.clone())).layer(service);
    assert!(service.oneshot(()).await.is_err());
    assert_eq!(spy.single().outcome, Outcome::TimedOut);
    assert_eq!(breaker.counts().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn timeout_on_server_answers_in_protocol_of_caller() {
    let spy = RecordingGuard::new();
    let service = TimeoutLayer::server(SECOND).layer(Script::<BoxError>::always(Reply::hang));
    let service = GuardLayer::server(spy.clone()).layer(service);

    let request = Request::new(ScriptedBody::new());
    let answer = service.clone().oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(
        crate::support::text(answer)
            .await
            .contains(r#""status":504"#)
    );

    let request = Request::post("/pkg.Service/Method")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    let request = request.body(ScriptedBody::new()).expect("a request");
    let answer = service.oneshot(request).await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (200, &4.into())
    );

    let outcomes: Vec<_> = spy.completed().iter().map(|end| end.outcome).collect();
    assert_eq!(outcomes, [Outcome::TimedOut, Outcome::TimedOut]);
    let cause = spy.completed()[0].cause.clone();
    assert!(cause.is_some_and(|cause| cause.contains("timed out after 1s")));
}

#[tokio::test(start_paused = true)]
async fn timeout_on_client_is_error_or_grpc_status() {
    let hang = || Script::<BoxError>::always(Reply::hang);
    let request = || Request::new(ScriptedBody::new());
    let answer = TimeoutLayer::client(SECOND)
        .layer(hang())
        .oneshot(request())
        .await;
    assert_eq!(
        elapsed(&answer.expect_err("too late")).kind(),
        TimeoutKind::Limit
    );

    let request = Request::post("/")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    let request = request.body(ScriptedBody::new()).expect("a request");
    let answer = TimeoutLayer::grpc_client(SECOND)
        .layer(hang())
        .oneshot(request)
        .await;
    assert_eq!(answer.expect("trailers only").headers()["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn timeout_covers_readiness_by_option() {
    // One at a time, each for a second; whoever comes second waits for the first.
    let one_at_a_time = || tower::limit::ConcurrencyLimit::new(after(SECOND), 1);
    let limit = 3 * SECOND / 2;
    let begun = Instant::now();
    let service = TimeoutLayer::any(limit).layer(one_at_a_time());
    let (first, second) = tokio::join!(service.clone().oneshot(()), service.oneshot(()));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(begun.elapsed(), 2 * SECOND);

    let service = TimeoutLayer::any(limit)
        .include_readiness()
        .layer(one_at_a_time());
    let (first, second) = tokio::join!(service.clone().oneshot(()), service.oneshot(()));
    assert!(first.is_ok());
    assert_eq!(elapsed(&second.expect_err("too late")).limit(), Some(limit));
    assert_eq!(begun.elapsed(), 2 * SECOND + limit);
}

#[tokio::test(start_paused = true)]
async fn timeout_in_readiness_is_inconclusive() {
    let layer = || TimeoutLayer::any(SECOND).include_readiness();
    let busy = tower::limit::ConcurrencyLimit::new(after(HOUR), 1);
    let service = layer().layer(busy);
    let (made, waited) = tokio::join!(service.clone().oneshot(()), service.oneshot(()));
    let evidence = |answer: Result<_, BoxError>| elapsed(&answer.expect_err("too late")).evidence();
    assert_eq!(evidence(made), Evidence::Unhealthy);
    assert_eq!(evidence(waited), Evidence::Inconclusive);
}

#[tokio::test(start_paused = true)]
async fn timeout_ends_work_that_exhausts_coop_budget() {
    let greedy = async {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        // Always ready, until the budget is gone.
        while sender.send(()).is_ok() {
            receiver.recv().await;
        }
    };
    let limit = TimeLimit::new("greedy", SECOND);
    let mut racing = pin!(limit.run(greedy));
    let wakes = CountingWaker::new();
    assert!(wakes.poll(racing.as_mut()).is_pending());
    advance(SECOND + MILLI).await;
    // In the very task whose budget the work eats up.
    let answer = std::future::poll_fn(|cx| racing.as_mut().poll(cx)).await;
    assert!(answer.is_err());
}

#[tokio::test(start_paused = true)]
async fn timeout_is_bounded_by_outer_timeout() {
    let (outer, inner) = (
        TimeLimit::new("outer", 3 * SECOND),
        TimeLimit::new("inner", HOUR),
    );
    let begun = Instant::now();
    let seen = outer.run(async {
        let at_once = deadline();
        let nested = inner.run(async {
            sleep(SECOND).await;
            deadline()
        });
        let nested = nested.await.expect("in time");
        let spawned = tokio::spawn(in_context(async { deadline() }))
            .await
            .expect("no panic");
        (at_once, nested, spawned)
    });
    let end = Some(begun + 3 * SECOND);
    assert_eq!(seen.await.expect("in time"), (end, end, end));
    assert_eq!(deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn retry_does_not_wait_beyond_timeout() {
    use tower_keep::retry::{Backoff, Retry, RetryLayer};
    let retry = Retry::builder("patient")
        .backoff(Backoff::constant(2 * SECOND))
        .max_attempts(9);
    let retry = retry.build().expect("settings");
    let begun = Instant::now();
    let failing: Script = Script::always(|| Reply::error("down"));
    let service =
        TimeoutLayer::any(5 * SECOND).layer(RetryLayer::any(retry.clone()).layer(failing.clone()));
    let error = service.oneshot(()).await.expect_err("down");
    assert_eq!(error.to_string(), "down");
    assert_eq!((begun.elapsed(), failing.calls()), (4 * SECOND, 3));

    let limit = TimeLimit::new("total", 5 * SECOND);
    let error = limit
        .run(retry.run_any_error(|_| async { Err::<(), _>("down") }))
        .await;
    assert_eq!(error.expect("in time"), Err("down"));
    assert_eq!(begun.elapsed(), 8 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn timeout_can_be_changed_while_in_use() {
    let limit = TimeLimit::new("changing", HOUR);
    let service = TimeoutLayer::any(limit.clone()).layer(Script::<BoxError>::always(Reply::hang));
    assert_eq!(limit.set(SECOND), SECOND);
    let begun = Instant::now();
    assert!(service.oneshot(()).await.is_err());
    assert_eq!(begun.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn timeout_is_counted_by_name_and_kind() {
    let meter = meter();
    let limit = TimeLimit::new("counted limit", SECOND);
    for _ in 0..2 {
        assert!(limit.run(pending::<()>()).await.is_err());
    }
    let counted = [("limit", "counted limit"), ("bound", "limit")];
    assert_eq!(meter.sum("tower_keep_timeouts_total", &counted), Some(2.0));
    assert_eq!((limit.timeout_count(), limit.rejected_count()), (2, 0));
    let all = listing().snapshots();
    let shown = all
        .iter()
        .find(|guard| guard.name() == "counted limit")
        .expect("listed");
    assert_eq!(shown.kind(), "timeout");
    assert_eq!(shown.stat("limit"), Some(&registry::Stat::Count(2)));
    assert_eq!(
        shown.stat("limit_seconds"),
        Some(&registry::Stat::Number(1.0))
    );
}

#[tokio::test(start_paused = true)]
async fn timeout_services_of_one_layer_are_independent() {
    let layer = TimeoutLayer::any(SECOND);
    let (early, late) = (layer.layer(after(HOUR)), layer.layer(after(HOUR)));
    let begun = Instant::now();
    let early = async {
        assert!(early.oneshot(()).await.is_err());
        assert_eq!(begun.elapsed(), SECOND);
    };
    let late = async {
        sleep(SECOND / 2).await;
        assert!(late.oneshot(()).await.is_err());
        assert_eq!(begun.elapsed(), 3 * SECOND / 2);
    };
    tokio::join!(early, late);
}

#[test]
fn invalid_timeouts_are_named() {
    let message = |error: tower_keep::ConfigError| error.to_string();
    let wrong = Timeouts::builder("api")
        .total(SECOND)
        .attempt(2 * SECOND)
        .build();
    assert_eq!(
        wrong.map_err(message).expect_err("over the total"),
        r#"timeouts "api": attempt is 2s, must be above 0 and at most total, 1s"#
    );
    let wrong = Timeouts::builder("api").total(Duration::ZERO).build();
    assert_eq!(wrong.expect_err("no time").field(), "total");
    let wrong = TimeLimits::builder().min(Duration::ZERO).build();
    assert_eq!(wrong.expect_err("no time").field(), "min");
    let wrong = TimeLimits::builder().min(HOUR).max(SECOND).build();
    assert_eq!(
        wrong.map_err(message).expect_err("upside down"),
        "time limits: max is 1s, must be at least min, 3600s"
    );
}

#[test]
fn timeout_of_attempt_is_capped_by_total() {
    let timeouts = Timeouts::builder("api")
        .total(2 * SECOND)
        .attempt(SECOND)
        .build();
    let timeouts = timeouts.expect("settings");
    assert_eq!(timeouts.attempt().set(HOUR), 2 * SECOND);
    assert_eq!(
        (timeouts.attempt().name(), timeouts.total().name()),
        ("api.attempt", "api.total")
    );
}

#[test]
fn timeout_table_unknown_names_share_default() {
    let limits = TimeLimits::builder()
        .default_limit(SECOND)
        .build()
        .expect("settings");
    limits.get("one").set(2 * SECOND);
    assert_eq!(limits.get("other").get(), 2 * SECOND);
    assert_eq!(limits.get("other").name(), "otherwise");
    assert_eq!(limits.clamp(HOUR), Duration::from_secs(600));
    let names: Vec<_> = limits.iter().map(TimeLimit::name).collect();
    assert_eq!(
        names,
        ["cache", "db", "file", "http", "llm", "queue", "otherwise"]
    );
}

#[tokio::test]
async fn timeout_accepts_any_request_type() {
    let service = service_fn(|n: &'static str| async move { Ok::<_, std::io::Error>(n.len()) });
    let answer = TimeoutLayer::any(SECOND)
        .layer(service)
        .oneshot("four")
        .await;
    assert_eq!(answer.expect("an answer"), 4);
}

/// All presets were listed as soon as one of them was needed.
#[test]
fn time_limits_are_listed_once_they_are_set_or_used() {
    let listing = listing();
    // Names that no other test sets to these times.
    let of_these = |names: &[&str]| {
        let listed = listing.snapshots();
        let has = |name: &&&str| {
            listed.iter().any(|guard| {
                let time = Some(&Stat::Number(123.0));
                guard.kind() == "timeout"
                    && guard.name() == **name
                    && guard.stat("limit_seconds") == time
            })
        };
        names
            .iter()
            .filter(has)
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    const NAMES: [&str; 4] = ["cache", "db", "listed at once", "otherwise"];
    let builder = TimeLimits::builder().min(123 * SECOND).max(123 * SECOND);
    let limits = builder
        .set("listed at once", SECOND)
        .build()
        .expect("valid");
    assert_eq!(of_these(&NAMES), ["listed at once"]);
    limits.get("db");
    assert_eq!(of_these(&NAMES), ["db", "listed at once"]);
    limits.get("something else");
    assert_eq!(of_these(&NAMES), ["db", "listed at once", "otherwise"]);
}
