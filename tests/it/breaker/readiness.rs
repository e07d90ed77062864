//! Open before ready: an open circuit does not wait for the service to reject.

use std::{io, task::Poll};

use http::Request;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker, Outcome, Rejection,
    breaker::CircuitState,
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

use crate::support::scripted::{never_ready, poll_ready};

fn two_in_a_row() -> CircuitBreaker {
    let builder = CircuitBreaker::builder("peer").consecutive_failures(2);
    builder.build().expect("sound")
}

fn open(breaker: &CircuitBreaker) {
    for _ in 0..2 {
        let permit = breaker.try_acquire().expect("closed");
        permit.complete(Outcome::Failure);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

fn request() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

#[tokio::test]
async fn open_circuit_rejects_without_polling_service() {
    let (breaker, wakes) = (two_in_a_row(), CountingWaker::new());
    let mut service = breaker.layer().client().layer(never_ready());
    assert!(poll_ready(&wakes, &mut service).is_pending());
    open(&breaker);
    let error = wakes
        .call(&mut service, request())
        .await
        .expect_err("rejected");
    let why = Rejection::find(&*error).expect("a rejection");
    assert_eq!(why.guard(), "peer");
}

#[tokio::test]
async fn call_waits_if_circuit_closed_after_poll_ready() {
    let (breaker, wakes) = (two_in_a_row(), CountingWaker::new());
    let mut service = breaker.layer().client().layer(never_ready());
    open(&breaker);
    assert!(poll_ready(&wakes, &mut service).is_ready());
    breaker.reset();
    let mut call = Box::pin(service.call(request()));
    assert!(
        wakes.poll(call.as_mut()).is_pending(),
        "and never calls it unready"
    );
}

#[tokio::test]
async fn open_transition_wakes_and_rejects_waiting_callers() {
    let breaker = two_in_a_row();
    let wakes = [(); 3].map(|()| CountingWaker::new());
    let layer = breaker.layer().client();
    let mut services = [(); 3].map(|()| layer.layer(never_ready()));
    for (wakes, service) in wakes.iter().zip(&mut services) {
        for _ in 0..3 {
            assert!(poll_ready(wakes, service).is_pending());
        }
    }
    breaker
        .try_acquire()
        .expect("closed")
        .complete(Outcome::Success);
    assert_eq!(wakes.each_ref().map(CountingWaker::count), [0, 0, 0]);
    let [_, _, gone] = &mut services;
    *gone = layer.layer(never_ready());
    open(&breaker);
    assert_eq!(
        wakes.each_ref().map(CountingWaker::count),
        [1, 1, 0],
        "the third is gone"
    );
    for (wakes, service) in wakes.iter().zip(&mut services) {
        wakes.call(service, request()).await.expect_err("rejected");
    }
    breaker.reset();
    open(&breaker);
    assert_eq!(
        wakes.each_ref().map(CountingWaker::count),
        [1, 1, 0],
        "nobody waits"
    );
}

#[tokio::test]
async fn open_transition_wakes_last_polling_task() {
    let (breaker, first, last) = (two_in_a_row(), CountingWaker::new(), CountingWaker::new());
    let mut service = breaker.layer().client().layer(never_ready());
    assert!(poll_ready(&first, &mut service).is_pending());
    assert!(poll_ready(&last, &mut service).is_pending());
    let script: Script = Script::new([Reply::ok()]);
    let mut late = breaker.layer().client().layer(script.ready_after(1));
    let ready = CountingWaker::new();
    assert!(poll_ready(&ready, &mut late).is_pending());
    assert!(poll_ready(&ready, &mut late).is_ready());
    let own = ready.count();
    open(&breaker);
    assert_eq!((first.count(), last.count(), ready.count()), (0, 1, own));
}

#[tokio::test]
async fn force_open_and_shadow_end_wake_callers() {
    let (breaker, wakes) = (two_in_a_row(), CountingWaker::new());
    let mut service = breaker.layer().client().layer(never_ready());
    assert!(poll_ready(&wakes, &mut service).is_pending());
    breaker.force_open();
    assert_eq!(wakes.count(), 1);
    breaker.reset();
    breaker.set_shadow(true);
    open(&breaker);
    assert!(poll_ready(&wakes, &mut service).is_pending());
    breaker.set_shadow(false);
    assert_eq!(wakes.count(), 2);
    assert!(poll_ready(&wakes, &mut service).is_ready());
}

#[tokio::test]
async fn back_pressure_is_pending_while_open() {
    #[derive(Clone)]
    struct Once(bool);
    impl Service<u32> for Once {
        type Response = u32;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<u32>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
            if self.0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }
        fn call(&mut self, n: u32) -> Self::Future {
            std::future::ready(Ok(n))
        }
    }
    let (breaker, wakes) = (two_in_a_row(), CountingWaker::new());
    let layer = breaker.layer().any().back_pressure();
    assert_eq!(layer.layer(Once(true)).oneshot(7).await.expect("7"), 7);
    open(&breaker);
    assert!(wakes.poll_ready(&mut layer.layer(Once(false))).is_pending());
    assert!(wakes.poll_ready(&mut layer.layer(Once(true))).is_pending());
    breaker.reset();
    assert_eq!(layer.layer(Once(true)).oneshot(7).await.expect("7"), 7);
}

#[tokio::test]
async fn readiness_passes_through_non_clone_service() {
    struct Only;
    impl Service<u32> for Only {
        type Response = u32;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<u32>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, n: u32) -> Self::Future {
            std::future::ready(Ok(n))
        }
    }
    let breaker = two_in_a_row();
    let layer = breaker.layer().any().pass_through();
    assert_eq!(layer.layer(Only).oneshot(7).await.expect("7"), 7);
    open(&breaker);
    let (wakes, mut rejected) = (CountingWaker::new(), layer.layer(Only));
    assert!(wakes.poll_ready::<u32, _>(&mut rejected).is_ready());
    assert!(rejected.call(7).await.is_err());
}

#[tokio::test]
async fn ready_service_is_called_itself_and_classified() {
    let breaker = two_in_a_row();
    let inner = service_fn(|n: u32| async move { Ok::<_, io::Error>(n) });
    let service = breaker.layer().any().layer(inner);
    for service in [service.clone(), service] {
        assert_eq!(service.oneshot(7).await.expect("7"), 7);
    }
    let strict = breaker
        .layer()
        .any()
        .classify(|_: &tower_keep::call::ClassifyInput<'_>| Outcome::Failure);
    assert_eq!(strict.layer(inner).oneshot(7).await.expect("7"), 7);
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (3, 1));
}
