//! The state that a handle holds of a service that others share: none while it is rejected.

use tower::{
    Layer, Service,
    buffer::Buffer,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
};
use tower_keep::{
    BoxError, Guard, GuardLayer, Rejection,
    call::{CallClock, CallEnd},
    guard::{Admit, ReadySignal, Rejects},
    testing::CountingWaker,
};

use super::{breaker, open, peer};

/// Two handles of one service that lets one call in at a time.
fn two_handles<S: Clone>(service: S) -> [S; 2] {
    [service.clone(), service]
}

async fn rejected_handle_holds_no_slot<S>(shared: S)
where
    S: Service<(), Error: Into<BoxError>> + Clone,
    S::Response: 'static,
{
    let breaker = breaker("peer");
    let [guarded, mut other] = two_handles(shared);
    let mut guarded = breaker.layer().any().layer(guarded);
    let wakes = CountingWaker::new();

    // Polled ready while the circuit is open: it has taken nothing.
    open(&breaker);
    assert!(wakes.poll_ready::<(), _>(&mut guarded).is_ready());
    assert!(is_ready(&wakes, &mut other).await, "idle");
    // Rejected: neither.
    let call = guarded.call(());
    assert!(call.await.is_err());
    assert!(is_ready(&wakes, &mut other).await, "rejected");
    give_back(&mut other);

    // Polled ready before the circuit opened, and called afterwards: it gives back what it held.
    breaker.reset();
    assert!(is_ready(&wakes, &mut guarded).await);
    assert!(!is_ready(&wakes, &mut other).await, "one at a time");
    open(&breaker);
    assert!(guarded.call(()).await.is_err());
    assert!(
        is_ready(&wakes, &mut other).await,
        "rejected after it was ready"
    );
    give_back(&mut other);

    // And polled again afterwards.
    breaker.reset();
    assert!(is_ready(&wakes, &mut guarded).await);
    open(&breaker);
    assert!(wakes.poll_ready::<(), _>(&mut guarded).is_ready());
    assert!(is_ready(&wakes, &mut other).await, "idle again");

    // Polled while another had the slot, and then rejected: it leaves the queue, where it would get the next one.
    breaker.reset();
    assert!(!is_ready(&wakes, &mut guarded).await);
    open(&breaker);
    assert!(wakes.poll_ready::<(), _>(&mut guarded).is_ready());
    let mut third = other.clone();
    give_back(&mut other);
    assert!(is_ready(&wakes, &mut third).await, "no longer in the queue");
}

/// With a moment for the worker of a buffer.
async fn is_ready<S: Service<(), Error: Into<BoxError>>>(
    wakes: &CountingWaker,
    service: &mut S,
) -> bool {
    for _ in 0..5 {
        if wakes
            .poll_ready(service)
            .map(|ready| ready.map_err(Into::into).expect("no error"))
            .is_ready()
        {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// A clone has no slot.
fn give_back<S: Clone>(service: &mut S) {
    *service = service.clone();
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_slot_not_held_by_rejected_handle() {
    rejected_handle_holds_no_slot(ConcurrencyLimitLayer::new(1).layer(peer())).await;
}

#[tokio::test(start_paused = true)]
async fn global_limit_slot_not_held_by_rejected_handle() {
    rejected_handle_holds_no_slot(GlobalConcurrencyLimitLayer::new(1).layer(peer())).await;
}

#[tokio::test(start_paused = true)]
async fn buffer_slot_not_held_by_rejected_handle() {
    rejected_handle_holds_no_slot(Buffer::new(peer(), 1)).await;
}

/// Pending by its circuit: it has not asked the service yet.
#[tokio::test(start_paused = true)]
async fn limit_slot_not_held_while_circuit_open() {
    let (breaker, wakes) = (breaker("peer"), CountingWaker::new());
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let layer = breaker.layer().any().back_pressure();
    let mut guarded = layer.layer(limit.layer(peer()));
    let mut other = limit.layer(peer());
    open(&breaker);
    assert!(wakes.poll_ready::<(), _>(&mut guarded).is_pending());
    assert!(is_ready(&wakes, &mut other).await);
    breaker.reset();
    assert_eq!(wakes.count(), 1);
    assert!(
        !is_ready(&wakes, &mut guarded).await,
        "the other one has it"
    );
    give_back(&mut other);
    assert!(is_ready(&wakes, &mut guarded).await);
}

/// A handle with back pressure kept its place in the queue, and got the next slot, which nobody used.
#[tokio::test(start_paused = true)]
async fn queue_place_not_held_while_circuit_open() {
    let (breaker, wakes) = (breaker("peer"), CountingWaker::new());
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let mut holder = limit.layer(peer());
    assert!(is_ready(&wakes, &mut holder).await);
    let layer = breaker.layer().any().back_pressure();
    let mut guarded = layer.layer(limit.layer(peer()));
    assert!(!is_ready(&wakes, &mut guarded).await);
    open(&breaker);
    assert_eq!(wakes.count(), 1);
    assert!(!is_ready(&wakes, &mut guarded).await);
    drop(holder);
    assert!(is_ready(&wakes, &mut limit.layer(peer())).await);
}

/// One that was polled ready before the circuit opened, and is rejected or polled again.
#[tokio::test(start_paused = true)]
async fn limit_slot_returned_when_circuit_opens() {
    for called in [false, true] {
        let (breaker, wakes) = (breaker("peer"), CountingWaker::new());
        let limit = GlobalConcurrencyLimitLayer::new(1);
        let layer = breaker.layer().any().back_pressure();
        let mut guarded = layer.layer(limit.layer(peer()));
        assert!(is_ready(&wakes, &mut guarded).await);
        open(&breaker);
        if called {
            assert!(guarded.call(()).await.is_err());
        } else {
            assert!(!is_ready(&wakes, &mut guarded).await);
        }
        assert!(is_ready(&wakes, &mut limit.layer(peer())).await);
    }
}

/// A guard whose moments are always over decides when the call is made: a handle that had to wait for its service left the
/// queue each time that it was polled, woke itself, and never got in.
#[tokio::test(start_paused = true)]
async fn queue_place_kept_if_guard_only_may_reject() {
    struct Over(ReadySignal);
    impl Guard for Over {
        type Permit = ();
        fn rejects(&self, now: &CallClock) -> Rejects {
            Rejects::AllUntil(now.now())
        }
        fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
            add(&self.0);
        }
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    impl<Req> Admit<Req> for Over {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            Ok(())
        }
    }
    let wakes = CountingWaker::new();
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let mut holder = limit.layer(peer());
    assert!(is_ready(&wakes, &mut holder).await);
    let over = Over(ReadySignal::new());
    let layer = GuardLayer::any(over).back_pressure();
    let mut guarded = layer.layer(limit.layer(peer()));
    assert!(wakes.poll_ready::<(), _>(&mut guarded).is_pending());
    assert_eq!(wakes.count(), 0, "it does not wake itself");
    let mut later = limit.layer(peer());
    assert!(wakes.poll_ready::<(), _>(&mut later).is_pending());
    drop(holder);
    assert!(
        wakes.poll_ready::<(), _>(&mut guarded).is_ready(),
        "it is the next"
    );
}
