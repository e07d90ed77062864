//! Hedges of services of any kind: readiness, clones, policies.

use std::{
    io::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_keep::{
    BoxError, Outcome,
    call::ClassifyInput,
    hedge::HedgeLayer,
    retry::{AttemptResult, RetryDecision, RetryPolicy},
    testing::{ReadyChecked, Reply, Script},
};

use super::{DELAY, SECOND, builder, counts, hedge};

/// Takes a second for the first call, and none for later ones.
fn first_is_slow(
    calls: Arc<AtomicU32>,
) -> impl Service<u32, Response = u32, Error = Error, Future: Send> + Clone {
    service_fn(move |request: u32| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if call == 0 {
                sleep(SECOND).await;
            }
            Ok(request + call)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn service_whose_requests_are_clone_is_hedged() {
    let (hedge, calls) = (hedge("any"), Arc::new(AtomicU32::new(0)));
    let service = HedgeLayer::any(hedge.clone()).layer(first_is_slow(calls));
    assert_eq!(service.clone().oneshot(7).await.expect("an answer"), 8);
    assert_eq!(counts(&hedge), (1, 1, 0));
    assert_eq!(service.oneshot(7).await.expect("an answer"), 9);
}

#[tokio::test(start_paused = true)]
async fn hedges_are_made_on_services_that_were_polled_ready() {
    let hedge = builder("ready").max_hedges(2).build().expect("valid");
    let script: Script<Error> = Script::from_fn(|index| match index {
        0 | 1 => Reply::hang(),
        _ => Reply::ok(),
    });
    let checked = ReadyChecked::new(script.ready_after(2));
    let service = HedgeLayer::any(hedge.clone()).layer(checked.clone());
    service.oneshot("ask").await.expect("an answer");
    assert_eq!(checked.violations(), 0);
    let script = checked.get_ref();
    assert_eq!((script.calls(), script.in_flight()), (3, 0));
    assert_eq!(counts(&hedge), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn service_that_is_full_makes_the_hedge_wait_and_not_the_call() {
    let (hedge, start) = (hedge("full"), Instant::now());
    let inner = ConcurrencyLimitLayer::new(1).layer(first_is_slow(Arc::default()));
    let service = HedgeLayer::any(hedge.clone()).layer(inner);
    assert_eq!(service.oneshot(7).await.expect("an answer"), 7);
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(counts(&hedge), (0, 0, 0));
}

/// A future may live on after its result, and must not hold a place in a queue then.
#[tokio::test(start_paused = true)]
async fn hedge_that_waits_for_a_full_service_leaves_the_queue_with_the_answer() {
    let inner = ConcurrencyLimitLayer::new(1).layer(first_is_slow(Arc::default()));
    let mut service = HedgeLayer::any(hedge("queue")).layer(inner);
    let other = service.clone();
    let ready = ServiceExt::<u32>::ready(&mut service).await;
    let mut call = Box::pin(ready.expect("ready").call(7));
    assert_eq!(call.as_mut().await.expect("an answer"), 7);
    let next = timeout(SECOND, other.oneshot(7)).await;
    assert_eq!(next.expect("not stuck").expect("an answer"), 8);
    drop(call);
}

/// Is ready for one call only.
#[derive(Clone)]
struct Once(Arc<AtomicU32>);

impl Service<u32> for Once {
    type Response = u32;
    type Error = Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<u32, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Error::other("not ready"))),
        }
    }

    fn call(&mut self, request: u32) -> Self::Future {
        Box::pin(async move {
            sleep(3 * DELAY).await;
            match request {
                0 => Err(Error::other("reset")),
                _ => Ok(request),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn service_that_fails_to_become_ready_leaves_the_first_attempt_alone() {
    let hedge = hedge("not ready");
    let service = || HedgeLayer::any(hedge.clone()).layer(Once(Arc::default()));
    assert_eq!(service().oneshot(7).await.expect("an answer"), 7);
    assert_eq!(counts(&hedge), (0, 0, 1));
    let error = service().oneshot(0).await.expect_err("fails");
    assert_eq!(error.to_string(), "reset", "and not that of the readiness");
}

#[tokio::test(start_paused = true)]
async fn failure_does_not_wait_for_a_service_that_is_not_ready() {
    let (hedge, start) = (hedge("never ready"), Instant::now());
    let script: Script<Error> = Script::always(|| Reply::error(Error::other("reset")));
    let mut service = HedgeLayer::any(hedge.clone()).layer(script.ready_after(1));
    let ready = ServiceExt::<&str>::ready(&mut service).await;
    let error = ready.expect("ready").call("ask").await;
    assert_eq!(error.expect_err("fails").to_string(), "reset");
    assert_eq!(
        (start.elapsed().as_millis(), counts(&hedge)),
        (0, (0, 0, 1))
    );
}

/// Allows even requests, and holds odd answers to be failures.
struct Even;

impl RetryPolicy<u32, u32> for Even {
    fn clone_request(&self, request: &u32) -> Option<u32> {
        request.is_multiple_of(2).then_some(*request)
    }

    fn decide(&self, attempt: &AttemptResult<'_, u32, u32>) -> RetryDecision {
        match attempt.result {
            Ok(answer) if answer % 2 == 1 => RetryDecision::Retry,
            _ => attempt.default_decision,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn policy_decides_which_requests_are_hedged_and_which_answers_win() {
    let hedge = hedge("policy");
    let layer = || HedgeLayer::with_policy(hedge.clone(), Even);
    let service = layer().layer(first_is_slow(Arc::default()));
    assert_eq!(service.oneshot(7).await.expect("an answer"), 7);
    assert_eq!(counts(&hedge), (0, 0, 1));
    // The hedge's answer is odd, so that the first attempt is waited for.
    let service = layer().layer(first_is_slow(Arc::default()));
    assert_eq!(service.oneshot(8).await.expect("an answer"), 8);
    assert_eq!(counts(&hedge), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn classifier_decides_which_answers_are_failures() {
    let classify = |input: &ClassifyInput<'_>| match input.response::<u32>() {
        Some(answer) if answer % 2 == 1 => Outcome::Failure,
        _ => input.outcome(),
    };
    let hedge = hedge("classified");
    let layer = HedgeLayer::any(hedge.clone()).classify(classify);
    let count = Arc::new(AtomicU32::new(1));
    let service = layer.layer(first_is_slow(count));
    assert_eq!(service.oneshot(8).await.expect("an answer"), 10);
    assert_eq!(counts(&hedge), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn error_of_the_service_is_boxed_as_it_is() {
    let script: Script<Error> = Script::always(|| Reply::error(Error::other("reset")));
    let service = HedgeLayer::any(hedge("errors")).layer(script);
    let error: BoxError = service.oneshot("ask").await.expect_err("fails");
    assert!(error.downcast_ref::<Error>().is_some());
}
