//! The choice of the calls that get faults.

use tower::{Layer, ServiceExt};
use tower_keep::{
    chaos::{Chaos, ChaosLayer, FaultKind},
    testing::{Reply, Script},
};

use super::{get, on};

/// Returns which of so many calls fail.
async fn failures(chaos: &Chaos, calls: usize) -> Vec<bool> {
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::client(chaos).layer(script);
    let mut failures = Vec::new();
    for _ in 0..calls {
        failures.push(service.clone().oneshot(get("/")).await.is_err());
    }
    failures
}

#[tokio::test]
async fn seed_gives_the_same_faults_each_time() {
    let seeded = |seed| on("sequence", |chaos| chaos.error_rate(0.3).seed(seed));
    let first = failures(&seeded(7), 200).await;
    assert_eq!(failures(&seeded(7), 200).await, first);
    assert_ne!(failures(&seeded(8), 200).await, first);
    let share = first.iter().filter(|failed| **failed).count();
    assert!((40..80).contains(&share), "{share}");
}

#[tokio::test]
async fn sequence_begins_again_when_the_chaos_is_switched_on() {
    let chaos = on("sequence", |chaos| chaos.error_rate(0.5).seed(7));
    let first = failures(&chaos, 100).await;
    chaos.enable();
    assert_ne!(failures(&chaos, 100).await, first, "it was on already");
    chaos.disable();
    assert!(!failures(&chaos, 100).await.contains(&true));
    chaos.enable();
    assert_eq!(failures(&chaos, 100).await, first);
}

/// Applied settings change which calls get a fault, but not what is drawn for them.
#[tokio::test]
async fn sequence_is_not_shifted_by_other_rates_or_by_requests_that_are_left_alone() {
    let chaos = on("sequence", |chaos| chaos.error_rate(0.3).seed(7));
    let first = failures(&chaos, 100).await;

    let others = on("sequence", |chaos| {
        chaos.error_rate(0.3).slow_rate(0.5).seed(7)
    });
    let script: Script = Script::always(Reply::ok);
    let layer = ChaosLayer::client(&others).only(|head| head.uri.path() != "/health");
    let service = layer.layer(script);
    for expected in &first {
        service
            .clone()
            .oneshot(get("/health"))
            .await
            .expect("left alone");
        assert_eq!(service.clone().oneshot(get("/")).await.is_err(), *expected);
    }

    chaos.disable();
    chaos.enable();
    let half = failures(&chaos, 50).await;
    let mut settings = chaos.settings();
    settings.error_rate = 0.6;
    chaos.apply(&settings).expect("valid");
    let more = failures(&chaos, 50).await;
    assert_eq!(half, first[..50]);
    let kept = first[50..]
        .iter()
        .zip(&more)
        .all(|(before, now)| *now || !before);
    assert!(kept, "a higher rate takes no fault away");
}

#[tokio::test]
async fn clones_of_a_service_share_one_sequence() {
    let chaos = on("sequence", |chaos| chaos.error_rate(0.5).seed(7));
    let alone = failures(&chaos, 100).await;
    chaos.disable();
    chaos.enable();
    let mut shared = Vec::new();
    for _ in 0..50 {
        shared.extend(failures(&chaos, 2).await);
    }
    assert_eq!(shared, alone);
}

#[tokio::test]
async fn rates_share_the_calls() {
    let chaos = on("sequence", |chaos| chaos.error_rate(0.5).response_rate(0.5));
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::client(&chaos).layer(script.clone());
    for _ in 0..100 {
        let result = service.clone().oneshot(get("/")).await;
        assert!(result.is_err() || result.is_ok_and(|response| response.status() == 503));
    }
    let counts = [FaultKind::Error, FaultKind::Response].map(|kind| chaos.injected_count(kind));
    assert_eq!((counts.iter().sum::<u64>(), script.calls()), (100, 0));
}
