//! A throttle inside of a prioritizer: it rejects as many calls as it would anyway, whichever of the compared calls reach it.

use std::time::Duration;

use tokio::time::advance;
use tower_keep::{
    CallError, Outcome, Rejection,
    priority::{Prioritizer, PriorityClass},
    testing::simulator::{Arrivals, Peer, Simulator},
    throttle::Throttle,
};

use PriorityClass::{Bulk, Critical, Normal};

use super::{SECOND, builder, throttle};

fn prioritizer(name: &'static str) -> Prioritizer {
    let prioritizer = Prioritizer::builder(name).seed(7);
    prioritizer.build().expect("valid settings")
}

/// Serves ten calls of a server, of which one, of this class, calls a peer. Returns whether the throttle admits that.
async fn serve(
    server: &Prioritizer,
    class: PriorityClass,
    peer: &Throttle,
    outcome: Outcome,
) -> bool {
    for _ in 0..9 {
        let other = server.call(Normal, async { Ok::<_, Rejection>(()) });
        other.await.expect("there is room");
    }
    let calls_peer = async {
        peer.try_acquire()?.complete(outcome);
        Ok::<_, Rejection>(())
    };
    match server.call(class, calls_peer).await {
        Ok(()) => true,
        Err(CallError::Failed(_)) => false,
        Err(error) => panic!("the server sheds: {error}"),
    }
}

/// Only the calls of one class reach the peer. All of them stood above the fraction that is rejected, and none was.
#[tokio::test(start_paused = true)]
async fn throttle_rejects_as_many_where_only_the_highest_of_the_calls_reach_it() {
    let server = prioritizer("highest");
    server.disable();
    let throttle = throttle("highest");
    let (mut admitted, mut rejected) = (0, 0);
    while admitted < 50 && rejected < 5_000 {
        match serve(&server, Critical, &throttle, Outcome::Failure).await {
            true => admitted += 1,
            false => rejected += 1,
        }
    }
    assert!(
        (200..800).contains(&rejected),
        "about nine of ten: {rejected}"
    );
}

/// All calls that reached the peer stood below the fraction that is rejected, so that none found out that the peer was back.
#[tokio::test(start_paused = true)]
async fn throttle_recovers_where_only_the_lowest_of_the_calls_reach_it() {
    let server = prioritizer("lowest");
    server.disable();
    let throttle = throttle("lowest");
    let seconds = async |seconds: u32, outcome| {
        let mut rejected = 0;
        for _ in 0..20 * seconds {
            rejected += u32::from(!serve(&server, Bulk, &throttle, outcome).await);
            advance(SECOND / 20).await;
        }
        rejected
    };
    assert!(seconds(60, Outcome::Failure).await > 600, "an outage");
    seconds(180, Outcome::Success).await;
    assert_eq!(seconds(10, Outcome::Success).await, 0);
}

/// Without an order, calls are rejected at random: ranks of equal calls are even.
#[tokio::test(start_paused = true)]
async fn calls_of_one_level_are_rejected_at_random() {
    let server = prioritizer("equal");
    server.disable();
    let throttle = throttle("equal");
    let one_level = || tower_keep::priority::Priority::new(Normal).with_level(50);
    let calls = async |count: u32| {
        let mut rejected = 0;
        for call in 0..count {
            let calls_peer = async {
                // A fifth is served, however few come: the rate goes up to its maximum.
                let outcome = [Outcome::Failure, Outcome::Success][usize::from(call % 5 == 0)];
                throttle
                    .try_acquire()
                    .map(|permit| permit.complete(outcome))
            };
            rejected += u32::from(server.call(one_level(), calls_peer).await.is_err());
        }
        rejected
    };
    calls(2_000).await;
    let rejected = calls(2_000).await;
    assert!((1_740..1_860).contains(&rejected), "{rejected}");
}

/// Calls that a prioritizer had shed already were counted as rejected by the throttle once more, which then let twice as much through.
#[test]
fn load_of_the_peer_is_that_of_the_throttle_whatever_the_prioritizer_sheds() {
    let capacity = 100.0;
    let peer = Peer::new(10, SECOND / 10).spread(0.0).queue(20);
    let simulator = Simulator::new(peer, Arrivals::open(10.0 * capacity)).seed(3);
    let report = simulator.run(240 * SECOND, |seed| {
        // Sheds half of what does not get through.
        let prioritizer = Prioritizer::builder("outer").seed(seed).factor(2.0).build();
        let throttle = builder("inner")
            .seed(seed)
            .factor(1.1)
            .max_rejection_rate(1.0);
        let throttle = throttle.window(Duration::from_secs(10)).build();
        let classes = [Bulk, Normal, Critical];
        let random = std::sync::atomic::AtomicUsize::new(0);
        let next = move |(): &()| {
            let call = random.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Some(classes[call % 3])
        };
        let prioritizer = prioritizer.expect("valid settings").by(next);
        (prioritizer, throttle.expect("valid settings"))
    });
    let total = report
        .expect("valid settings")
        .total(90 * SECOND..240 * SECOND);
    let sent = total.attempts as f64 / (150.0 * capacity);
    assert!(
        (0.95..1.2).contains(&sent),
        "{sent} times what it can serve"
    );
}
