//! Calls that fail, hang and are dropped, while endpoints, settings and operators change.

use std::time::Duration;

use tokio::time::{advance, timeout};
use tower::ServiceExt;
use tower_keep::balance::EndpointStatus;

use super::{MILLI, Peers, SECOND, balancer, call, ejecting, request};

#[tokio::test(start_paused = true)]
async fn storm_leaves_nothing_in_flight_and_calls_succeed_again() {
    let answers = [
        (200, MILLI),
        (500, MILLI),
        (200, 30 * SECOND),
        (503, 20 * MILLI),
        (404, Duration::ZERO),
    ];
    let peers = Peers::new((0..20).map(|number| answers[number % answers.len()]));
    let balancer = balancer(
        ejecting("storm").max_ejected(0.4).slow_start(SECOND),
        &peers,
    );
    let (endpoints, balance) = (balancer.endpoints(), balancer.balance());
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..300_u32 {
        let patience: Vec<_> = (0..30).map(|_| MILLI * random.u32(0..60)).collect();
        let calls = patience
            .into_iter()
            .map(|patience| timeout(patience, balancer.clone().oneshot(request())));
        let calls = tokio::spawn(futures_util::future::join_all(calls));
        advance(MILLI * random.u32(0..30)).await;
        match round % 6 {
            0 => endpoints.set((0..20).filter(|_| random.bool())),
            1 => drop(endpoints.insert(random.u32(0..20))),
            2 => drop(endpoints.remove(&random.u32(0..20))),
            3 => balance.set_shadow(random.bool()),
            4 => balance.reset(),
            _ => {
                let mut settings = balance.settings();
                settings.max_ejected = random.f64();
                balance.apply(&settings).expect("valid settings");
            }
        }
        calls.await.expect("no panic");
        let stats = balance.stats();
        let statuses = stats.endpoints.iter().map(|one| one.status);
        let ejected = statuses.filter(|status| *status != EndpointStatus::InRotation);
        assert_eq!(ejected.count(), stats.ejected);
        assert!(stats.ejected <= stats.max_ejected, "{stats:?}");
        assert!(stats.endpoints.is_empty() || stats.max_ejected < stats.endpoints.len());
        assert!(
            stats.endpoints.iter().all(|one| one.in_flight == 0),
            "{stats:?}"
        );
    }
    for endpoint in 0..20 {
        peers.answer(endpoint, (200, MILLI));
    }
    endpoints.set(0..20);
    balance.set_shadow(false);
    balance.reset();
    for _ in 0..100 {
        assert_eq!(call(&balancer).await, 200);
    }
    assert_eq!(balance.stats().ejected, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_to_endpoints_that_are_removed_meanwhile_end_as_they_would() {
    let peers = Peers::new([(200, SECOND), (200, SECOND), (200, MILLI)]);
    let balancer = balancer(ejecting("removed meanwhile"), &peers);
    balancer.endpoints().set([0, 1]);
    let calls = (0..20).map(|_| call(&balancer));
    let replace = async {
        advance(SECOND / 2).await;
        balancer.endpoints().set([2]);
        assert_eq!(call(&balancer).await, 200);
        balancer.endpoints().set([]);
    };
    let (statuses, ()) = tokio::join!(futures_util::future::join_all(calls), replace);
    assert_eq!(statuses, [200; 20]);
    assert_eq!(balancer.balance().stats().endpoints, []);
}

#[tokio::test(start_paused = true)]
async fn burst_sends_as_many_probes_to_an_ejected_endpoint_as_its_circuit_admits() {
    let peers = Peers::new([(500, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(ejecting("probed"), &peers);
    let burst = async |calls: usize| {
        let calls = (0..calls).map(|_| call(&balancer));
        futures_util::future::join_all(calls).await;
    };
    burst(30).await;
    assert_eq!(balancer.balance().stats().ejected, 1);
    advance(6 * SECOND).await;
    peers.take_calls();
    burst(200).await;
    assert_eq!(peers.take_calls()[0], 1);
}

/// A remote caller may ask for what is not there as often as it likes.
#[tokio::test(start_paused = true)]
async fn errors_of_the_caller_eject_nothing() {
    for status in [400, 401, 404, 409, 413, 422] {
        let peers = Peers::new([(status, MILLI), (status, MILLI), (status, MILLI)]);
        let balancer = balancer(ejecting("asked for nothing"), &peers);
        for _ in 0..50 {
            assert_eq!(call(&balancer).await, status);
        }
        let stats = balancer.balance().stats();
        assert_eq!((stats.ejections, stats.overflows), (0, 0));
        assert!(stats.endpoints.iter().all(|one| one.failures == 0));
    }
}

/// A classifier of an outer layer says what an endpoint is to blame for.
#[tokio::test(start_paused = true)]
async fn classifier_of_an_outer_layer_holds_for_endpoints() {
    use tower::Layer;
    use tower_keep::{CircuitBreaker, GuardLayer, call::Evidence};

    let peers = Peers::new([(500, MILLI), (500, MILLI)]);
    let balancer = balancer(ejecting("classified"), &peers);
    let breaker = CircuitBreaker::new("classified");
    let layer = GuardLayer::client(breaker).classify(|input| {
        tower_keep::call::ClassifyOutput::from(input.outcome())
            .with_evidence(Evidence::Inconclusive)
    });
    let client = layer.layer(balancer.clone());
    for _ in 0..50 {
        let response = client.clone().oneshot(request()).await;
        assert_eq!(response.expect("a response").status(), 500);
    }
    let stats = balancer.balance().stats();
    assert_eq!((stats.ejections, stats.overflows), (0, 0), "{stats:?}");
    assert!(stats.endpoints.iter().all(|one| one.failures == 0));
}
