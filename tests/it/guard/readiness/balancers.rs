//! A balancer of tower over endpoints that breakers guard.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use tokio::{
    task::JoinHandle,
    time::{advance, sleep},
};
use tower::{
    Layer, Service, ServiceExt,
    balance::p2c::Balance,
    buffer::Buffer,
    discover::ServiceList,
    limit::GlobalConcurrencyLimitLayer,
    load::{CompleteOnResponse, PendingRequestsDiscover},
    service_fn,
    util::{BoxCloneService, BoxService},
};
use tower_keep::{
    BoxError, CircuitBreaker, Rejection, breaker::CircuitState, testing::CountingWaker,
};

use super::{HOUR, breaker, open};

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

fn is_rejected(result: &Result<usize, BoxError>) -> bool {
    matches!(result, Err(error) if Rejection::find(&**error).is_some())
}
