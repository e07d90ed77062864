//! Endpoints that are ejected, and return.

use std::time::Duration;

use tokio::time::advance;
use tower::ServiceExt;
use tower_keep::{
    balance::{BalanceStats, EndpointStatus},
    registry::{self, GuardTransition},
};

use super::{MILLI, Peered, Peers, SECOND, balancer, calls, ejecting, request};
use crate::support::alone_paused;

fn statuses(stats: &BalanceStats) -> Vec<EndpointStatus> {
    stats.endpoints.iter().map(|one| one.status).collect()
}

fn is_ejected(balancer: &Peered, endpoint: usize) -> bool {
    statuses(&balancer.balance().stats())[endpoint] != EndpointStatus::InRotation
}

/// Makes calls at once, so that each endpoint gets some before it has answered. A time limit around each is no part of it.
async fn burst(balancer: &Peered, count: usize) {
    let calls = (0..count).map(|_| balancer.clone().oneshot(request()));
    futures_util::future::join_all(calls).await;
}

/// Returns the next transition of this balancer.
async fn next(
    transitions: &mut tokio::sync::broadcast::Receiver<GuardTransition>,
    balancer: &Peered,
) -> GuardTransition {
    loop {
        match transitions.recv().await {
            Ok(transition) if transition.name.as_str() == balancer.balance().name() => {
                return transition;
            }
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn endpoint_that_fails_is_ejected_and_returns_after_a_probe() {
    // The transitions of other tests push those of this one out of the channel.
    let name = "balance::ejection::endpoint_that_fails_is_ejected_and_returns_after_a_probe";
    alone_paused(name, async || {
        let peers = Peers::new([(200, MILLI), (500, MILLI), (200, MILLI)]);
        let balancer = balancer(ejecting("outlier"), &peers);
        let mut transitions = registry::subscribe();
        burst(&balancer, 30).await;
        assert!(is_ejected(&balancer, 1));
        let ejected = next(&mut transitions, &balancer).await;
        assert_eq!(
            (ejected.kind, ejected.from, ejected.to),
            ("balance", "in_rotation", "ejected")
        );
        assert_eq!(ejected.key.as_ref().map(|key| key.as_str()), Some("1"));
        assert_eq!(ejected.reason, "consecutive_failures");
        assert!(
            ejected
                .last_error
                .is_some_and(|error| error.as_str().contains("500"))
        );

        peers.take_calls();
        advance(4 * SECOND).await;
        calls(&balancer, 100).await;
        assert_eq!(peers.take_calls()[1], 0, "for 5 s");

        // The probe fails: out for twice as long.
        advance(2 * SECOND).await;
        calls(&balancer, 100).await;
        assert_eq!(peers.take_calls()[1], 1, "one probe");
        advance(6 * SECOND).await;
        calls(&balancer, 100).await;
        assert_eq!(peers.take_calls()[1], 0);

        peers.answer(1, (200, MILLI));
        advance(5 * SECOND).await;
        calls(&balancer, 100).await;
        assert!(!is_ejected(&balancer, 1));
        let returned = next(&mut transitions, &balancer).await;
        assert_eq!(
            (returned.from, returned.to, returned.reason),
            ("ejected", "in_rotation", "probes_succeeded")
        );
        let by_endpoint = peers.take_calls();
        assert!(by_endpoint[1] > 10, "{by_endpoint:?}");
        assert_eq!(balancer.balance().stats().ejections, 1);
    });
}

#[tokio::test(start_paused = true)]
async fn last_endpoint_is_never_ejected() {
    let peers = Peers::new([(500, MILLI), (500, MILLI)]);
    let balancer = balancer(ejecting("all fail").max_ejected(1.0), &peers);
    burst(&balancer, 40).await;
    let stats = balancer.balance().stats();
    assert_eq!(
        (stats.ejected, stats.max_ejected, stats.overflows),
        (1, 1, 1)
    );
    peers.take_calls();
    calls(&balancer, 20).await;
    assert_eq!(
        peers.take_calls().iter().sum::<u32>(),
        20,
        "calls are never refused"
    );

    // The other one takes its place as soon as it returns.
    let kept = usize::from(is_ejected(&balancer, 0));
    peers.answer(1 - kept as u32, (200, MILLI));
    advance(6 * SECOND).await;
    burst(&balancer, 40).await;
    assert!(!is_ejected(&balancer, 1 - kept));
}

#[tokio::test(start_paused = true)]
async fn tenth_of_the_endpoints_is_ejected_at_most() {
    let peers = Peers::new([(500, MILLI); 25]);
    let balancer = balancer(ejecting("a tenth"), &peers);
    burst(&balancer, 500).await;
    let stats = balancer.balance().stats();
    assert_eq!((stats.ejected, stats.max_ejected), (2, 2));
    assert!(stats.overflows > 10, "{}", stats.overflows);
    // Fewer endpoints allow fewer.
    balancer.endpoints().set(0..15);
    assert_eq!(balancer.balance().stats().ejected, 1);
    balancer.endpoints().set([3]);
    assert_eq!(balancer.balance().stats().ejected, 0);
    calls(&balancer, 3).await;
}

#[test]
fn shadow_ejects_in_reports_only() {
    // The transitions of other tests push those of this one out of the channel.
    let name = "balance::ejection::shadow_ejects_in_reports_only";
    alone_paused(name, async || {
        let peers = Peers::new([(500, MILLI), (500, MILLI), (200, MILLI)]);
        let balancer = balancer(ejecting("shadow balance"), &peers);
        balancer.balance().set_shadow(true);
        let mut transitions = registry::subscribe();
        burst(&balancer, 30).await;
        let ejected = next(&mut transitions, &balancer).await;
        assert!(ejected.shadow && ejected.to == "ejected");
        peers.take_calls();
        burst(&balancer, 300).await;
        let by_endpoint = peers.take_calls();
        assert!(by_endpoint[0] > 0 && by_endpoint[1] > 0, "{by_endpoint:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn reset_returns_all_endpoints_and_disable_ignores_ejections() {
    let peers = Peers::new([(500, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(ejecting("operated").failure_penalty(Duration::ZERO), &peers);
    burst(&balancer, 30).await;
    assert!(is_ejected(&balancer, 0));
    let balance = balancer.balance();
    balance.disable();
    peers.take_calls();
    burst(&balancer, 300).await;
    assert!(peers.take_calls()[0] > 0, "it is called all the same");
    balance.reset();
    assert!(!is_ejected(&balancer, 0));
    assert_eq!(balance.stats().endpoints[0].latency, None, "forgotten");
}

#[tokio::test(start_paused = true)]
async fn call_that_ends_after_its_endpoint_is_gone_changes_nothing() {
    let peers = Peers::new([(500, SECOND), (200, SECOND), (200, SECOND)]);
    let balancer = balancer(ejecting("gone"), &peers);
    let endpoints = balancer.endpoints();
    let remove = async {
        advance(SECOND / 2).await;
        endpoints.remove(&0);
    };
    tokio::join!(burst(&balancer, 60), remove);
    let stats = balancer.balance().stats();
    assert_eq!(
        (stats.endpoints.len(), stats.ejected, stats.ejections),
        (2, 0, 0)
    );
}
