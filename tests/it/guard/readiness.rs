//! Guards are asked before the wrapped service is polled: a balancer picks another endpoint, and nobody who is rejected
//! holds what others wait for.

use std::{collections::BTreeMap, future::Future, pin::Pin, task::Poll, time::Duration};

use futures_util::future::{join_all, pending};
use tokio::{
    task::JoinHandle,
    time::{advance, sleep},
};
use tower::{
    Layer, Service, ServiceExt,
    balance::p2c::Balance,
    buffer::Buffer,
    discover::ServiceList,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    load::{CompleteOnResponse, PendingRequestsDiscover},
    service_fn,
    util::{BoxCloneService, BoxService},
};
use tower_keep::{
    BoxError, CircuitBreaker, Outcome, Rejection,
    breaker::CircuitState,
    testing::{CountingWaker, ReadyChecked, Reply, Script},
};

const HOUR: Duration = Duration::from_secs(3600);

fn breaker(name: &'static str) -> CircuitBreaker {
    let builder = CircuitBreaker::builder(name).consecutive_failures(3);
    let builder = builder
        .open_time(HOUR)
        .max_open_time(2 * HOUR)
        .open_jitter(0.0);
    builder.build().expect("sound settings")
}

fn open(breaker: &CircuitBreaker) {
    for _ in 0..3 {
        let permit = breaker.try_acquire().expect("closed");
        permit.complete(Outcome::Failure);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

fn is_rejected(result: &Result<usize, BoxError>) -> bool {
    matches!(result, Err(error) if Rejection::find(&**error).is_some())
}

// ---- balancers

type Endpoint = BoxService<(), usize, BoxError>;
type Endpoints = PendingRequestsDiscover<ServiceList<Vec<Endpoint>>>;

/// One that fails and one that is well, each of them slower than callers come.
fn balance(breakers: &[CircuitBreaker; 2]) -> Balance<Endpoints, ()> {
    balance_within(breakers, |service| service)
}

type Inner = BoxCloneService<(), usize, BoxError>;

/// Each of them within something of its own.
fn balance_within(
    breakers: &[CircuitBreaker; 2],
    wrap: impl Fn(Inner) -> Inner,
) -> Balance<Endpoints, ()> {
    let endpoint = |index: usize| {
        let service = service_fn(move |()| async move {
            sleep(Duration::from_millis(10)).await;
            if index == 0 {
                return Err(BoxError::from("sick"));
            }
            Ok(index)
        });
        let service = wrap(BoxCloneService::new(service));
        BoxService::new(breakers[index].layer().any().back_pressure().layer(service))
    };
    let list = ServiceList::new(vec![endpoint(0), endpoint(1)]);
    let list = PendingRequestsDiscover::new(list, CompleteOnResponse::default());
    Balance::new(list)
}

type Calls = Vec<JoinHandle<Result<usize, BoxError>>>;

/// One call each millisecond.
async fn calls_through(mut call: impl AsyncFnMut(&mut Calls)) -> BTreeMap<&'static str, u32> {
    let mut calls = Vec::new();
    for _ in 0..2_000 {
        call(&mut calls).await;
        sleep(Duration::from_millis(1)).await;
    }
    let mut counts = BTreeMap::new();
    for result in join_all(calls).await {
        let result = result.expect("no panic");
        let name = match &result {
            Ok(_) => "well",
            rejected if is_rejected(rejected) => "rejected",
            Err(_) => "sick",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn assert_that_the_well_one_serves(counts: &BTreeMap<&'static str, u32>) {
    let count = |name| counts.get(name).copied().unwrap_or_default();
    assert!(count("well") >= 1_900, "{counts:?}");
    assert!(count("rejected") <= 20, "{counts:?}");
}

/// An open circuit rejected so fast that the balancer took its endpoint for the idlest: five times fewer calls were
/// served than without any breaker.
#[tokio::test(start_paused = true)]
async fn balancer_skips_endpoint_with_open_circuit() {
    let breakers = ["sick", "well"].map(breaker);
    let mut balance = balance(&breakers);
    let counts = calls_through(async |calls| {
        balance.ready().await.expect("an endpoint");
        calls.push(tokio::spawn(balance.call(())));
    })
    .await;
    assert_that_the_well_one_serves(&counts);
    let states = breakers.each_ref().map(CircuitBreaker::state);
    assert_eq!(states, [CircuitState::Open, CircuitState::Closed]);
}

#[tokio::test(start_paused = true)]
async fn balancer_in_buffer_skips_open_endpoint() {
    let breakers = ["sick", "well"].map(breaker);
    let (buffer, worker) = Buffer::pair(balance(&breakers), 64);
    tokio::spawn(worker);
    let counts = calls_through(async |calls| {
        calls.push(tokio::spawn(buffer.clone().oneshot(())));
    })
    .await;
    assert_that_the_well_one_serves(&counts);
}

/// It takes part again as soon as it may be probed.
#[tokio::test(start_paused = true)]
async fn balancer_returns_to_half_open_endpoint() {
    let breakers = ["first", "second"].map(breaker);
    let list = ServiceList::new(
        breakers
            .iter()
            .enumerate()
            .map(|(index, breaker)| {
                let service = service_fn(move |()| async move {
                    sleep(Duration::from_millis(10)).await;
                    Ok::<_, BoxError>(index)
                });
                BoxService::new(breaker.layer().any().back_pressure().layer(service))
            })
            .collect::<Vec<Endpoint>>(),
    );
    let list = PendingRequestsDiscover::new(list, CompleteOnResponse::default());
    let mut balance: Balance<Endpoints, ()> = Balance::new(list);
    open(&breakers[0]);
    for _ in 0..20 {
        let index = balance.ready().await.expect("one is well").call(()).await;
        assert_eq!(index.expect("it is well"), 1);
    }
    advance(HOUR + Duration::from_secs(1)).await;
    let mut served = [0; 2];
    for _ in 0..100 {
        let index = balance.ready().await.expect("both are well").call(()).await;
        served[index.expect("both are well")] += 1;
    }
    assert!(served[0] > 20 && served[1] > 20, "{served:?}");
    assert_eq!(breakers[0].state(), CircuitState::Closed);
}

/// While all circuits are open there is nobody to pick: callers wait, and are woken.
#[tokio::test(start_paused = true)]
async fn balancer_waits_while_all_circuits_open() {
    let breakers = ["first", "second"].map(breaker);
    let mut balance = balance(&breakers);
    breakers.iter().for_each(open);
    let wakes = CountingWaker::new();
    assert!(wakes.poll_ready::<(), _>(&mut balance).is_pending());
    breakers[1].reset();
    assert!(wakes.count() > 0, "woken by the one that closed");
    assert_eq!(
        balance
            .ready()
            .await
            .expect("closed")
            .call(())
            .await
            .expect("it is well"),
        1
    );
}

// ---- slots

/// Two handles of one service that lets one call in at a time.
fn two_handles<S: Clone>(service: S) -> [S; 2] {
    [service.clone(), service]
}

fn peer() -> Script {
    Script::always(Reply::ok)
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

/// The sick endpoint's handle kept the slot that both share: nothing was served any more.
#[tokio::test(start_paused = true)]
async fn balancer_endpoints_may_share_a_limit() {
    for slots in [1, 2] {
        let (limit, breakers) = (
            GlobalConcurrencyLimitLayer::new(slots),
            ["sick", "well"].map(breaker),
        );
        let mut balance = balance_within(&breakers, |service| {
            BoxCloneService::new(limit.layer(service))
        });
        let mut calls = Vec::new();
        for _ in 0..300 {
            let ready = tokio::time::timeout(HOUR / 2, balance.ready()).await;
            ready.expect("in time").expect("an endpoint");
            calls.push(tokio::spawn(balance.call(())));
        }
        let results = join_all(calls).await;
        let good = results.iter().filter(|result| matches!(result, Ok(Ok(_))));
        assert!(good.count() >= 280, "{slots}");
    }
}

/// A guard whose moments are always over decides when the call is made: a handle that had to wait for its service left the
/// queue each time that it was polled, woke itself, and never got in.
#[tokio::test(start_paused = true)]
async fn queue_place_kept_if_guard_only_may_reject() {
    struct Over(tower_keep::guard::ReadySignal);
    impl tower_keep::Guard for Over {
        type Permit = ();
        fn rejects(&self, now: &tower_keep::call::CallClock) -> tower_keep::guard::Rejects {
            tower_keep::guard::Rejects::AllUntil(now.now())
        }
        fn ready_signals(&self, add: &mut dyn FnMut(&tower_keep::guard::ReadySignal)) {
            add(&self.0);
        }
        fn on_end(&self, (): (), _: &tower_keep::call::CallEnd<'_>) {}
    }
    impl<Req> tower_keep::guard::Admit<Req> for Over {
        fn admit(&self, _: &mut Req, _: &tower_keep::call::CallClock) -> Result<(), Rejection> {
            Ok(())
        }
    }
    let wakes = CountingWaker::new();
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let mut holder = limit.layer(peer());
    assert!(is_ready(&wakes, &mut holder).await);
    let over = Over(tower_keep::guard::ReadySignal::new());
    let layer = tower_keep::GuardLayer::any(over).back_pressure();
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

// ---- a service that is never ready

fn pending_of<F: Future + ?Sized>(calls: &mut [Pin<Box<F>>], wakes: &CountingWaker) -> usize {
    let polled = calls.iter_mut().map(|call| wakes.poll(call.as_mut()));
    polled.filter(Poll::is_pending).count()
}

/// "An open circuit rejects at once": a hung call held the only slot, and a hundred callers waited for it.
#[tokio::test(start_paused = true)]
async fn open_circuit_rejects_while_service_unready() {
    let (breaker, wakes) = (breaker("peer"), CountingWaker::new());
    let never = ReadyChecked::new(peer().never_ready());
    let service = breaker.layer().any().layer(never);
    // Those who wait already are woken, and rejected.
    let mut early: Vec<_> = (0..10)
        .map(|_| Box::pin(service.clone().oneshot(())))
        .collect();
    assert_eq!(pending_of(&mut early, &wakes), 10);
    open(&breaker);
    assert_eq!(wakes.count(), 10);
    assert_eq!(pending_of(&mut early, &wakes), 0);
    let mut calls: Vec<_> = (0..100)
        .map(|_| Box::pin(service.clone().oneshot(())))
        .collect();
    assert_eq!(pending_of(&mut calls, &wakes), 0);
}

#[tokio::test(start_paused = true)]
async fn half_open_waiting_callers_at_most_probes() {
    for probes in [1, 3] {
        let builder = CircuitBreaker::builder("peer").consecutive_failures(3);
        let builder = builder
            .open_time(Duration::from_secs(5))
            .open_jitter(0.0)
            .probes(probes);
        let (breaker, wakes) = (builder.build().expect("sound"), CountingWaker::new());
        let never = ReadyChecked::new(peer().never_ready());
        let service = breaker.layer().any().layer(never);
        open(&breaker);
        advance(Duration::from_secs(6)).await;
        let mut calls: Vec<_> = (0..100)
            .map(|_| Box::pin(service.clone().oneshot(())))
            .collect();
        let waiting = pending_of(&mut calls, &wakes);
        assert!(
            waiting <= probes as usize,
            "{waiting} wait for {probes} probes"
        );
        assert!(waiting > 0, "somebody has to find out");
    }
}

#[tokio::test(start_paused = true)]
async fn hung_call_with_only_slot_delays_probes_only() {
    let breaker = {
        let builder = CircuitBreaker::builder("peer").consecutive_failures(3);
        let builder = builder.open_time(Duration::from_secs(5)).open_jitter(0.0);
        builder.build().expect("sound")
    };
    let hung = service_fn(|()| pending::<Result<(), BoxError>>());
    let service = breaker
        .layer()
        .any()
        .layer(ConcurrencyLimitLayer::new(1).layer(hung));
    let wakes = CountingWaker::new();
    let mut first = [Box::pin(service.clone().oneshot(()))];
    assert_eq!(pending_of(&mut first, &wakes), 1);
    open(&breaker);
    advance(Duration::from_secs(6)).await;
    let mut calls: Vec<_> = (0..100)
        .map(|_| Box::pin(service.clone().oneshot(())))
        .collect();
    let waiting = pending_of(&mut calls, &wakes);
    assert!((1..=3).contains(&waiting), "{waiting}");
}
