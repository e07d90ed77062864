//! Readiness: a full bulkhead takes nothing from the service, and back pressure waits for a slot.

use tower::{Layer, Service};
use tower_keep::{
    GuardLayer, Track,
    testing::{CountingWaker, Reply, Script},
};

use super::{bulkhead, request};
use crate::support::scripted::{never_ready, poll_ready};

#[tokio::test]
async fn full_bulkhead_rejects_without_polling_the_service() {
    let (bulkhead, wakes) = (bulkhead(1), CountingWaker::new());
    let mut service = bulkhead.layer().client().layer(never_ready());
    assert!(poll_ready(&wakes, &mut service).is_pending());
    let permit = bulkhead.try_acquire().expect("free");
    assert!(poll_ready(&wakes, &mut service).is_ready());
    wakes.call(&mut service, request()).await.expect_err("full");
    drop(permit);
    assert!(poll_ready(&wakes, &mut service).is_pending());
}

#[tokio::test]
async fn full_bulkhead_wakes_handles_that_wait_for_the_service() {
    let (bulkhead, wakes) = (bulkhead(2), CountingWaker::new());
    let mut service = bulkhead.layer().client().layer(never_ready());
    assert!(poll_ready(&wakes, &mut service).is_pending());
    let _first = bulkhead.try_acquire().expect("free");
    assert_eq!(wakes.count(), 0, "one is free");
    let _second = bulkhead.try_acquire().expect("free");
    assert_eq!(wakes.count(), 1);
    wakes.call(&mut service, request()).await.expect_err("full");
}

#[tokio::test]
async fn back_pressure_is_pending_while_the_bulkhead_is_full() {
    let bulkhead = bulkhead(1);
    let layer = GuardLayer::client((Track::new("tracked"), bulkhead.clone())).back_pressure();
    let service = layer.layer(Script::always(Reply::<std::io::Error>::ok));
    let wakes = [CountingWaker::new(), CountingWaker::new()];
    let mut handles = [service.clone(), service];
    let permit = bulkhead.try_acquire().expect("free");
    for _ in 0..3 {
        for (wakes, handle) in wakes.iter().zip(&mut handles) {
            assert!(poll_ready(wakes, handle).is_pending());
        }
    }
    assert_eq!(wakes.each_ref().map(CountingWaker::count), [0, 0]);
    drop(permit);
    assert_eq!(wakes.each_ref().map(CountingWaker::count), [1, 1]);
    let [first, _] = &mut handles;
    assert!(poll_ready(&wakes[0], first).is_ready());
    drop(first.call(request()).await);
    assert_eq!(bulkhead.stats().done, 1);
}

#[tokio::test]
async fn back_pressure_wakes_when_the_limit_grows_and_not_before_those_in_flight_have_ended() {
    let (bulkhead, wakes) = (bulkhead(2), CountingWaker::new());
    let layer = GuardLayer::client(bulkhead.clone()).back_pressure();
    let mut service = layer.layer(Script::always(Reply::<std::io::Error>::ok));
    let permits = [(); 2].map(|()| bulkhead.try_acquire().expect("free"));
    assert!(poll_ready(&wakes, &mut service).is_pending());
    let resize = |limit| {
        let mut settings = bulkhead.settings();
        settings.limit = limit;
        bulkhead.apply(&settings).expect("valid settings");
    };
    resize(1);
    let [first, second] = permits;
    drop(first);
    assert_eq!(wakes.count(), 0, "one too many has ended");
    drop(second);
    assert_eq!(wakes.count(), 1);
    let _taken = bulkhead.try_acquire().expect("free");
    assert!(poll_ready(&wakes, &mut service).is_pending());
    resize(5);
    assert_eq!(wakes.count(), 2);
    assert!(poll_ready(&wakes, &mut service).is_ready());
}
