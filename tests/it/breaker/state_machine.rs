//! Circuit breakers at work: hand-polled, with a paused clock, and under axum.

use std::{
    future::{pending, poll_fn},
    io,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tower::ServiceExt;
use tower_keep::{
    CallError, CircuitBreaker, GuardLayer, Outcome,
    breaker::{CallCounts, CircuitBreakerBuilder, CircuitState, Switch, TransitionReason},
};

fn two_in_a_row() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("peer")
        .count_window(10)
        .consecutive_failures(2)
        .open_jitter(0.0)
}

fn open(breaker: &CircuitBreaker) {
    for _ in 0..2 {
        let permit = breaker.try_acquire().expect("closed");
        permit.complete(Outcome::Failure);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

async fn advance(time: u64) {
    tokio::time::advance(Duration::from_secs(time)).await;
}

async fn fail() -> Result<(), io::Error> {
    Err(io::Error::other("the disk is on fire"))
}

#[tokio::test(start_paused = true)]
async fn open_circuit_rejection_has_reason_and_retry_after() {
    let breaker = two_in_a_row().build().expect("sound");
    for _ in 0..2 {
        let error = breaker.call(fail()).await.expect_err("it fails");
        assert!(matches!(error, CallError::Failed(_)));
    }
    advance(2).await;
    let Err(CallError::Rejected(why)) = breaker.call(fail()).await else {
        panic!("the circuit is open");
    };
    assert_eq!(why.guard(), "peer");
    assert_eq!(why.reason(), Some("consecutive_failures"));
    assert_eq!(why.last_error(), Some("the disk is on fire"));
    assert_eq!(why.retry_after(), Some(Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn open_time_doubles_and_decays_while_healthy() {
    let breaker = two_in_a_row().probes(1).build().expect("sound");
    let wait = || breaker.try_acquire().expect_err("open").retry_after();
    open(&breaker);
    for expected in [5, 10, 20, 40, 60, 60] {
        assert_eq!(wait(), Some(Duration::from_secs(expected)));
        advance(expected).await;
        let probe = breaker.try_acquire().expect("a probe");
        probe.complete(Outcome::Failure);
    }
    advance(60).await;
    let probe = breaker.try_acquire().expect("a probe");
    probe.complete(Outcome::Success);
    assert_eq!(breaker.state(), CircuitState::Closed);
    advance(3600).await;
    open(&breaker);
    assert_eq!(wait(), Some(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn half_open_dropped_probe_frees_its_slot() {
    let breaker = two_in_a_row().build().expect("sound");
    let late = breaker.try_acquire().expect("closed");
    open(&breaker);
    advance(5).await;
    let probes: Vec<_> = (0..3)
        .map(|_| breaker.try_acquire().expect("a probe"))
        .collect();
    breaker.try_acquire().expect_err("no fourth");
    late.complete(Outcome::Success);
    drop(probes);
    assert_eq!(breaker.probes_in_flight(), 0);
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    for _ in 0..2 {
        let probe = breaker.try_acquire().expect("room again");
        probe.complete(Outcome::Success);
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_overload_reopens_and_hung_probe_expires() {
    let breaker = two_in_a_row().probes(1).build().expect("sound");
    open(&breaker);
    advance(5).await;
    let probe = breaker.try_acquire().expect("a probe");
    probe.complete(Outcome::Overload);
    assert_eq!(breaker.state(), CircuitState::Open);
    advance(10).await;
    let _hung = breaker.try_acquire().expect("a probe");
    advance(29).await;
    let why = breaker.try_acquire().expect_err("the probe is out");
    assert_eq!(why.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    advance(1).await;
    assert_eq!(breaker.state(), CircuitState::Open, "it is overdue");
}

#[tokio::test(start_paused = true)]
async fn hung_backend_opens_circuit_when_callers_give_up() {
    let breaker = two_in_a_row()
        .slow_call(Duration::from_secs(1))
        .build()
        .expect("sound");
    for _ in 0..2 {
        let call = breaker.call(pending::<Result<(), io::Error>>());
        tokio::time::timeout(Duration::from_secs(2), call)
            .await
            .expect_err("it hangs");
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn panic_counts_as_a_failure() {
    let breaker = two_in_a_row().build().expect("sound");
    for _ in 0..2 {
        let call = breaker.call(poll_fn(|_| -> Poll<Result<(), io::Error>> { panic!("oh") }));
        let error = tokio::spawn(call).await.expect_err("it goes on");
        assert!(error.is_panic());
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_and_reports_without_rejecting() {
    let breaker = two_in_a_row().shadow(true).build().expect("sound");
    let mut events = breaker.subscribe();
    open(&breaker);
    breaker
        .try_acquire()
        .expect("passes")
        .complete(Outcome::Failure);
    let event = events.try_recv().expect("an event");
    assert!(event.shadow && event.to == CircuitState::Open);
}

/// "Rejects everything" was said by one, "rejects nothing" by the other, and the operator lost.
#[test]
fn forced_open_rejects_in_shadow_mode() {
    let switch = Switch::new();
    let breaker = two_in_a_row().shadow(true).switch(&switch).build();
    let breaker = breaker.expect("sound");
    let rejects = || {
        assert_eq!(breaker.is_rejecting(), breaker.try_acquire().is_err());
        breaker.is_rejecting()
    };
    open(&breaker);
    assert!(!rejects());
    breaker.force_open();
    assert!(rejects());
    breaker.reset();
    switch.force_open();
    assert!(rejects());
    switch.release();
    assert!(!rejects());
    breaker.force_open();
    breaker.set_shadow(false);
    breaker.set_shadow(true);
    assert!(rejects());
}

/// A hundred events, log lines and counts said that nothing had happened.
#[test]
fn reset_of_closed_circuit_clears_without_event() {
    let breaker = two_in_a_row().build().expect("sound");
    let mut events = breaker.subscribe();
    let permit = breaker.try_acquire().expect("closed");
    permit.complete(Outcome::Failure);
    breaker.reset();
    assert_eq!(breaker.consecutive_failures(), 0);
    assert_eq!(breaker.counts(), CallCounts::default());
    assert!(events.try_recv().is_err());
    open(&breaker);
    assert_eq!(events.try_recv().expect("an event").number, 1);
}

#[tokio::test(start_paused = true)]
async fn transition_events_come_once_in_order() {
    let breaker = two_in_a_row().probes(1).build().expect("sound");
    let mut events = breaker.subscribe();
    open(&breaker);
    advance(5).await;
    let probe = breaker.try_acquire().expect("a probe");
    probe.complete(Outcome::Success);
    breaker.force_open();
    for (number, reason) in [
        TransitionReason::ConsecutiveFailures,
        TransitionReason::OpenTimeElapsed,
        TransitionReason::ProbesSucceeded,
        TransitionReason::ForcedOpen,
    ]
    .into_iter()
    .enumerate()
    {
        let event = events.try_recv().expect("an event");
        assert_eq!((event.number, event.reason), (number as u64 + 1, reason));
    }
    assert_eq!(events.try_recv().expect_err("no more"), TryRecvError::Empty);
    for _ in 0..50 {
        breaker.reset();
        breaker.force_open();
    }
    assert!(matches!(events.recv().await, Err(RecvError::Lagged(_))));
}

/// A time that no clock can name was taken for none at all.
#[test]
fn open_for_max_duration_stays_open() {
    let breaker = two_in_a_row().build().expect("sound");
    breaker.open_for(Duration::MAX);
    assert_eq!(breaker.state(), CircuitState::Open);
    breaker.open_for(Duration::MAX);
    let rejected = breaker.try_acquire().expect_err("open");
    assert!(rejected.retry_after() > Some(Duration::from_secs(365 * 86_400)));
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

/// The panic went to the caller, whose call had nothing to do with it, and nobody was told of anything any more.
#[test]
fn subscriber_waker_panic_is_contained() {
    let breaker = two_in_a_row().build().expect("sound");
    let (mut bad, mut good) = (breaker.subscribe(), breaker.subscribe());
    {
        let waker = Waker::from(Arc::new(BadWaker));
        let mut event = Box::pin(bad.recv());
        let first = Future::poll(event.as_mut(), &mut Context::from_waker(&waker));
        assert!(first.is_pending());
        let panics = tower_keep::hook_panics();
        open(&breaker);
        assert!(tower_keep::hook_panics() > panics);
    }
    breaker.reset();
    for state in [CircuitState::Open, CircuitState::Closed] {
        assert_eq!(good.try_recv().expect("an event").to, state);
    }
}

#[test]
fn state_gauge_has_one_series_at_1() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _breaker = metrics::with_local_recorder(&recorder, || {
        let breaker = two_in_a_row().name("alone").build().expect("sound");
        open(&breaker);
        breaker
    });
    let text = recorder.handle().render();
    let up: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tower_keep_breaker_state{") && line.ends_with(" 1"))
        .collect();
    assert_eq!(
        up,
        [r#"tower_keep_breaker_state{breaker="alone",state="open"} 1"#]
    );
}

#[tokio::test]
async fn breaker_state_is_shared_across_layers() {
    let breaker = two_in_a_row().build().expect("sound");
    let ask = async || {
        let fail = || async { StatusCode::INTERNAL_SERVER_ERROR };
        let app: Router = Router::new()
            .route("/", get(fail))
            .layer(GuardLayer::server(breaker.clone()));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let response = app.oneshot(request).await.expect("infallible");
        let status = response.status();
        let retry = response.headers().contains_key("retry-after");
        axum::body::to_bytes(response.into_body(), 1_000)
            .await
            .expect("a body");
        (status, retry)
    };
    for _ in 0..2 {
        assert_eq!(ask().await, (StatusCode::INTERNAL_SERVER_ERROR, false));
    }
    assert_eq!(ask().await, (StatusCode::SERVICE_UNAVAILABLE, true));
}

#[test]
fn concurrent_calls_are_all_counted() {
    let breaker = CircuitBreaker::builder("threads")
        .failure_rate(None)
        .build()
        .expect("sound");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..5_000 {
                    let failed = n % 50 == 0;
                    let outcome = if failed {
                        Outcome::Failure
                    } else {
                        Outcome::Success
                    };
                    breaker.try_acquire().expect("closed").complete(outcome);
                }
            });
        }
    });
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (20_000, 400));
}

#[test]
fn invalid_settings_are_named() {
    let of = |builder: CircuitBreakerBuilder| builder.build().expect_err("silly").to_string();
    let builder = || CircuitBreaker::builder("b");
    let zero = Duration::ZERO;
    for (built, field) in [
        (of(builder().failure_rate(0.0)), "failure_rate is 0"),
        (
            of(builder().time_window(zero, 10)),
            "time_window is 0ns in 10 buckets",
        ),
        (
            of(builder().time_window(Duration::MAX, 0)),
            "time_window is in 0 buckets",
        ),
        (of(builder().count_window(0)), "count_window is 0"),
        (of(builder().count_window(5).min_calls(6)), "min_calls is 6"),
        (
            of(builder().consecutive_failures(0)),
            "consecutive_failures is 0",
        ),
        (of(builder().slow_rate(0.5)), "slow_call is not set"),
        (of(builder().open_time(zero)), "open_time is 0s"),
        (of(builder().max_open_time(zero)), "max_open_time is 0ns"),
        (of(builder().open_backoff(f64::NAN)), "open_backoff is NaN"),
        (of(builder().open_jitter(2.0)), "open_jitter is 2"),
        (of(builder().probes(0)), "probes is 0"),
        (
            of(builder().probe_success_ratio(1.5)),
            "probe_success_ratio is 1.5",
        ),
        (of(builder().probe_timeout(zero)), "probe_timeout is 0s"),
    ] {
        assert!(
            built.starts_with(&format!(r#"breaker "b": {field}"#)),
            "{built}"
        );
    }
    CircuitBreaker::classic("c").build().expect("sound");
}
