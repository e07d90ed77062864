//! A service that is never ready, or whose only slot is held.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use futures_util::future::pending;
use tokio::time::advance;
use tower::{Layer, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker,
    testing::{CountingWaker, ReadyChecked},
};

use super::{breaker, open, peer};

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
