//! The faults that once opened a circuit without an outage, or kept one from closing after it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Outcome,
    breaker::{CircuitBreakerBuilder, CircuitState, TransitionReason},
    testing::ScriptedBody,
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn made(set: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    let builder = CircuitBreaker::builder("peer").seed(1);
    set(builder).build().expect("sound")
}

/// A breaker that has just opened.
fn open(set: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    let breaker = made(|builder| set(builder.consecutive_failures(1)));
    breaker
        .try_acquire()
        .expect("closed")
        .complete(Outcome::Failure);
    assert_eq!(breaker.state(), CircuitState::Open);
    breaker
}

/// A client of a peer that answers at once, with this status and this body.
fn client(
    breaker: &CircuitBreaker,
    answer: impl Fn() -> (u16, ScriptedBody) + Clone + Send + Sync + 'static,
) -> impl Service<
    Request<ScriptedBody>,
    Response = Response<impl http_body::Body<Data = bytes::Bytes, Error = BoxError> + Send + Unpin>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let peer = service_fn(move |_: Request<ScriptedBody>| {
        let (status, body) = answer();
        async move {
            sleep(ms(5)).await;
            Response::builder()
                .status(status)
                .body(body)
                .map_err(io::Error::other)
        }
    });
    let unpin = |response: Response<_>| response.map(Box::pin);
    breaker.layer().client().layer(peer).map_response(unpin)
}

fn get() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

#[tokio::test(start_paused = true)]
async fn failures_hours_apart_are_not_consecutive() {
    let breaker = made(|builder| builder.consecutive_failures(10));
    let calls = Arc::new(AtomicUsize::new(0));
    let service = client(&breaker, move || {
        let failed = calls.fetch_add(1, Relaxed) % 60 == 59;
        (if failed { 500 } else { 200 }, "ok".into())
    });
    for _ in 0..600 {
        let answered = service.clone().oneshot(get()).await;
        assert!(answered.is_ok(), "{:?}", breaker.state());
        sleep(secs(60)).await;
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(breaker.consecutive_failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_open_closes_with_bodies_read_or_not() {
    for reads in [true, false] {
        let breaker = open(|builder| builder);
        let service = client(&breaker, || (200, "ok".into()));
        let (start, mut good) = (Instant::now(), 0);
        while breaker.state() != CircuitState::Closed {
            assert!(start.elapsed() < secs(15), "{good} good answers");
            if let Ok(response) = service.clone().oneshot(get()).await {
                good += 1;
                if reads {
                    response.into_body().collect().await.expect("a whole body");
                }
            }
            sleep(secs(1)).await;
        }
        assert_eq!(good, 2, "read: {reads}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_open_closes_on_peer_that_answers_404() {
    let breaker = open(|builder| builder);
    let service = client(&breaker, || (404, "no".into()));
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let service = service.clone();
        callers.spawn(async move {
            let mut rejected = 0;
            for _ in 0..6000 {
                match service.clone().oneshot(get()).await {
                    Ok(response) => drop(response.into_body().collect().await),
                    Err(_) => rejected += 1,
                }
                sleep(ms(100)).await;
            }
            rejected
        });
    }
    let rejected: u32 = callers.join_all().await.iter().sum();
    assert_eq!(breaker.state(), CircuitState::Closed);
    // Each of the ten, ten times a second, for the open time at most.
    assert!(rejected <= 10 * 80, "{rejected}");
}

#[tokio::test(start_paused = true)]
async fn half_open_late_probe_has_its_own_limit() {
    let breaker = open(|builder| {
        builder
            .open_jitter(0.0)
            .probe_success_ratio(1.0)
            .probe_timeout(secs(5))
    });
    let mut events = breaker.subscribe();
    sleep(secs(5)).await;
    for _ in 0..2 {
        breaker
            .try_acquire()
            .expect("a probe")
            .complete(Outcome::Success);
    }
    sleep(ms(4_990)).await;
    let third = breaker.try_acquire().expect("a probe");
    sleep(ms(20)).await;
    third.complete(Outcome::Success);
    assert_eq!(
        events.try_recv().expect("an event").to,
        CircuitState::HalfOpen
    );
    let closed = events.try_recv().expect("an event");
    assert_eq!(
        (closed.to, closed.reason),
        (CircuitState::Closed, TransitionReason::ProbesSucceeded)
    );
}

#[tokio::test(start_paused = true)]
async fn half_open_probe_success_after_limit_counts() {
    // One that is overdue does not decide yet, so there is still something to count for.
    let breaker = open(|builder| builder.open_jitter(0.0).probe_timeout(secs(1)));
    sleep(secs(5)).await;
    let late = breaker.try_acquire().expect("a probe");
    sleep(secs(2)).await;
    assert_eq!(
        (breaker.state(), breaker.probes_in_flight()),
        (CircuitState::HalfOpen, 0)
    );
    late.complete(Outcome::Success);
    breaker
        .try_acquire()
        .expect("a probe")
        .complete(Outcome::Success);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn streams_left_after_slow_limit_are_not_slow() {
    let breaker = made(|builder| builder.slow_call(secs(2)));
    let events = || {
        let event = |body: ScriptedBody, _| body.after(ms(100)).data("event");
        (
            200,
            (0..100).fold(ScriptedBody::new().without_size_hint(), event),
        )
    };
    let service = client(&breaker, events);
    let mut readers = JoinSet::new();
    for _ in 0..20 {
        let answered = service.clone().oneshot(get());
        readers.spawn(async move {
            let mut body = answered.await.expect("closed").into_body();
            let all = async { while let Some(Ok(_)) = body.frame().await {} };
            timeout(secs(3), all).await.expect_err("left in the middle");
        });
    }
    readers.join_all().await;
    assert_eq!(breaker.state(), CircuitState::Closed);
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures, counts.slow), (20, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn slow_readers_make_no_slow_call() {
    let breaker = made(|builder| builder.slow_call(secs(2)).slow_rate(0.5));
    let bulk = || {
        let kibibyte = |body: ScriptedBody, _| body.data(vec![0; 1024]);
        (200, (0..100).fold(ScriptedBody::new(), kibibyte))
    };
    let service = client(&breaker, bulk);
    let mut readers = JoinSet::new();
    for _ in 0..20 {
        let answered = service.clone().oneshot(get());
        readers.spawn(async move {
            let mut body = answered.await.expect("closed").into_body();
            while let Some(Ok(_)) = body.frame().await {
                sleep(ms(30)).await;
            }
        });
    }
    readers.join_all().await;
    assert_eq!(breaker.state(), CircuitState::Closed);
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures, counts.slow), (20, 0, 0));
}
