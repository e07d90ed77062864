//! Identical calls in flight are one call: around closures, plain services, HTTP and gRPC.

mod age;
mod bytes;
mod deadlines;
mod http_calls;
mod model;
mod real;
mod storm;

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CallError, Rejection, RejectionKind,
    call::find,
    coalesce::{Coalesce, CoalesceLayer, CoalesceSettings, SharedError},
    registry::{self, GuardAction},
    testing::CountingWaker,
};

use crate::support::within;

/// A peer that counts its calls, and responds once its gate is open.
#[derive(Clone)]
pub struct Peer {
    calls: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

/// A call that exists.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Peer {
    pub fn new() -> Self {
        Peer {
            calls: Arc::default(),
            in_flight: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    pub fn open(&self) {
        self.gate.add_permits(1_000_000);
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }

    /// Makes a call, whose number is its result.
    pub fn call(&self) -> impl Future<Output = usize> + Send + use<> {
        let number = self.calls.fetch_add(1, SeqCst);
        self.in_flight.fetch_add(1, SeqCst);
        let (gate, alive) = (self.gate.clone(), Alive(self.in_flight.clone()));
        async move {
            let permit = gate.acquire().await.expect("an open semaphore");
            drop((permit, alive));
            number
        }
    }
}

type Error = CallError<SharedError>;
type Work<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

fn run(coalesce: &Coalesce, key: u32, peer: &Peer) -> Work<usize> {
    let peer = peer.clone();
    Box::pin(coalesce.run(key, async move { Ok::<_, io::Error>(peer.call().await) }))
}

/// Panics, without a report on stderr.
fn bug() -> io::Result<u32> {
    std::panic::resume_unwind(Box::new("a bug"))
}

#[tokio::test]
async fn thousand_identical_calls_are_one_call() {
    let (coalesce, peer) = (Coalesce::new("thousand"), Peer::new());
    let calls = join_all((0..1_000).map(|_| run(&coalesce, 7, &peer)));
    let open = async {
        while coalesce.stats().joined < 999 {
            tokio::task::yield_now().await;
        }
        peer.open();
    };
    let (results, ()) = within(async { tokio::join!(calls, open) }).await;
    assert!(results.iter().all(|result| matches!(result, Ok(0))));
    assert_eq!(peer.calls(), 1);
    let stats = coalesce.stats();
    assert_eq!((stats.led, stats.joined, stats.alone), (1, 999, 0));
    assert_eq!(
        (stats.in_flight, stats.handed_over, stats.rejected),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_identical_calls_on_several_threads_are_one_call() {
    let (coalesce, peer) = (Coalesce::new("threads"), Peer::new());
    let service = {
        let peer = peer.clone();
        service_fn(move |_: u32| {
            let call = peer.call();
            async move { Ok::<_, io::Error>(call.await) }
        })
    };
    let layer = CoalesceLayer::any(coalesce.clone(), |id: &u32| Some(*id));
    // A layer that is applied again for each caller, as servers do for each connection.
    let tasks = (0..1_000).map(|_| tokio::spawn(layer.layer(service.clone()).oneshot(7)));
    let tasks: Vec<_> = tasks.collect();
    within(async {
        while coalesce.stats().joined < 999 {
            tokio::task::yield_now().await;
        }
        peer.open();
        for task in tasks {
            let number = task.await.expect("no panic").expect("no error");
            assert_eq!(number, 0);
        }
    })
    .await;
    assert_eq!((peer.calls(), coalesce.stats().in_flight), (1, 0));
}

#[tokio::test]
async fn call_after_a_shared_one_is_made_anew() {
    let (coalesce, peer) = (Coalesce::new("anew"), Peer::new());
    peer.open();
    for number in 0..3 {
        assert_eq!(run(&coalesce, 7, &peer).await.expect("a number"), number);
    }
    assert_eq!(coalesce.stats().led, 3);
}

#[tokio::test]
async fn calls_with_other_keys_or_of_other_types_share_nothing() {
    let (coalesce, peer) = (Coalesce::new("keys"), Peer::new());
    let text = {
        let peer = peer.clone();
        coalesce.run(7_u32, async move {
            Ok::<_, io::Error>(peer.call().await.to_string())
        })
    };
    let wakes = CountingWaker::new();
    let (mut seven, mut eight, mut text) = (
        run(&coalesce, 7, &peer),
        run(&coalesce, 8, &peer),
        Box::pin(text),
    );
    assert!(wakes.poll(seven.as_mut()).is_pending());
    assert!(wakes.poll(eight.as_mut()).is_pending());
    assert!(wakes.poll(text.as_mut()).is_pending());
    assert_eq!((peer.calls(), coalesce.stats().in_flight), (3, 3));
    peer.open();
    let results = tokio::join!(seven, eight, text);
    assert_eq!(results.0.expect("a number"), 0);
    assert_eq!(results.1.expect("a number"), 1);
    assert_eq!(results.2.expect("a text"), "2");
}

#[test]
fn cancelled_leader_hands_the_call_over_and_others_sleep() {
    let (coalesce, peer) = (Coalesce::new("handover"), Peer::new());
    let wakers: [CountingWaker; 3] = Default::default();
    let mut calls: Vec<_> = (0..3).map(|_| Some(run(&coalesce, 7, &peer))).collect();
    let poll = |calls: &mut Vec<Option<Work<usize>>>, index: usize| {
        let call = calls[index].as_mut().expect("a call");
        wakers[index].poll(call.as_mut())
    };
    for index in 0..3 {
        assert!(poll(&mut calls, index).is_pending());
    }
    let wakes = || [wakers[0].count(), wakers[1].count(), wakers[2].count()];
    assert_eq!(wakes(), [0, 0, 0]);
    calls[0] = None;
    assert_eq!(wakes(), [0, 1, 0], "one drives on");
    assert!(poll(&mut calls, 1).is_pending());
    assert_eq!(coalesce.stats().handed_over, 1);
    // One that only waits is no loss to the rest.
    peer.open();
    assert_eq!(wakes(), [0, 2, 0], "the driver is woken by the call");
    let Poll::Ready(Ok(number)) = poll(&mut calls, 1) else {
        panic!("no result");
    };
    assert_eq!(wakes(), [0, 2, 1], "the result wakes those that wait");
    let Poll::Ready(Ok(same)) = poll(&mut calls, 2) else {
        panic!("no result");
    };
    assert_eq!((number, same, peer.calls()), (0, 0, 1));
    assert_eq!(coalesce.stats().in_flight, 0);
}

#[test]
fn last_caller_that_is_dropped_drops_the_call() {
    let (coalesce, peer) = (Coalesce::new("last"), Peer::new());
    let waker = CountingWaker::new();
    let mut calls: Vec<_> = (0..3).map(|_| run(&coalesce, 7, &peer)).collect();
    for call in &mut calls {
        assert!(waker.poll(call.as_mut()).is_pending());
    }
    assert_eq!((peer.in_flight(), coalesce.stats().in_flight), (1, 1));
    calls.truncate(1);
    assert_eq!((peer.in_flight(), coalesce.stats().in_flight), (1, 1));
    calls.clear();
    assert_eq!((peer.in_flight(), coalesce.stats().in_flight), (0, 0));
}

#[tokio::test]
async fn panic_goes_on_in_one_caller_and_is_an_error_in_the_others() {
    let coalesce = Coalesce::new("panics");
    let gate = Arc::new(Semaphore::new(0));
    let calls = (0..3).map(|_| {
        let gate = gate.clone();
        tokio::spawn(coalesce.run(7, async move {
            drop(gate.acquire().await);
            bug()
        }))
    });
    let calls: Vec<_> = calls.collect();
    within(async {
        while coalesce.stats().joined < 2 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let results = join_all(calls).await;
        let mut panics = 0;
        for result in results {
            match result {
                Ok(result) => {
                    let error = result.expect_err("a panic");
                    assert_eq!(error.to_string(), "a bug");
                }
                Err(error) => panics += u32::from(error.is_panic()),
            }
        }
        assert_eq!(panics, 1);
    })
    .await;
    assert_eq!(coalesce.stats().in_flight, 0);
    let next = coalesce.run(7, async { Ok::<_, io::Error>(1) }).await;
    assert_eq!(next.expect("a number"), 1);
}

#[test]
fn panic_before_the_call_is_made_leaves_nobody_waiting() {
    let coalesce = Coalesce::new("unmade");
    let waker = CountingWaker::new();
    let layer = CoalesceLayer::any(coalesce.clone(), |_: &u32| Some(()));
    let inner = service_fn(|_: u32| -> std::future::Ready<Result<u32, io::Error>> {
        std::panic::resume_unwind(Box::new("a bug"))
    });
    let mut service = layer.layer(inner);
    let call = std::panic::AssertUnwindSafe(|| drop(waker.call(&mut service, 7)));
    assert!(std::panic::catch_unwind(call).is_err());
    assert_eq!(coalesce.stats().in_flight, 0);
}

#[tokio::test]
async fn error_is_shared_with_its_type() {
    let (coalesce, peer) = (Coalesce::new("errors"), Peer::new());
    let calls = (0..2).map(|_| {
        let peer = peer.clone();
        coalesce.run(7, async move {
            peer.call().await;
            Err::<u32, _>(io::Error::other(Rejection::overloaded("inner")))
        })
    });
    let open = async {
        tokio::task::yield_now().await;
        peer.open();
    };
    let (results, ()) = tokio::join!(join_all(calls), open);
    for result in results {
        let error = result.expect_err("an error").into_boxed();
        assert!(find::<io::Error>(&*error).is_some());
        let why = Rejection::find(&*error).expect("a rejection");
        assert_eq!(why.guard(), "inner");
    }
    assert_eq!(peer.calls(), 1);
}

#[tokio::test]
async fn service_shares_errors_and_gives_calls_without_a_key_to_themselves() {
    let coalesce = Coalesce::new("service");
    let inner = service_fn(async |id: u32| {
        tokio::task::yield_now().await;
        Err::<u32, _>(io::Error::other(format!("no {id}")))
    });
    let layer = CoalesceLayer::any(coalesce.clone(), |id: &u32| (*id > 0).then_some(*id));
    let service = layer.layer(inner);
    let call = |id| service.clone().oneshot(id);
    let results = tokio::join!(call(7), call(7), call(0), call(0));
    for (result, text) in [
        (results.0, "no 7"),
        (results.1, "no 7"),
        (results.2, "no 0"),
        (results.3, "no 0"),
    ] {
        let error: BoxError = result.expect_err("an error");
        assert_eq!(error.to_string(), text);
        assert!(find::<io::Error>(&*error).is_some());
    }
    let stats = coalesce.stats();
    assert_eq!((stats.led, stats.joined, stats.alone), (1, 1, 2));
}

#[test]
fn flood_of_keys_stays_inside_of_the_bound() {
    let coalesce = Coalesce::builder("flood").max_keys(10);
    let (coalesce, peer) = (coalesce.build().expect("valid settings"), Peer::new());
    let waker = CountingWaker::new();
    let mut calls: Vec<_> = (0..1_000).map(|key| run(&coalesce, key, &peer)).collect();
    for call in &mut calls {
        assert!(waker.poll(call.as_mut()).is_pending());
    }
    let stats = coalesce.stats();
    assert_eq!((stats.in_flight, stats.led, stats.alone), (10, 10, 990));
    assert_eq!(peer.calls(), 1_000);
    drop(calls);
    assert_eq!((coalesce.stats().in_flight, peer.in_flight()), (0, 0));
}

#[tokio::test]
async fn waiters_beyond_the_bound_are_rejected() {
    let coalesce = Coalesce::builder("waiters").max_waiters(1);
    let (coalesce, peer) = (coalesce.build().expect("valid settings"), Peer::new());
    let waker = CountingWaker::new();
    let mut calls: Vec<_> = (0..2).map(|_| run(&coalesce, 7, &peer)).collect();
    for call in &mut calls {
        assert!(waker.poll(call.as_mut()).is_pending());
    }
    let error = run(&coalesce, 7, &peer).await.expect_err("one too many");
    let rejection = error.rejection().expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::Full);
    assert_eq!(rejection.guard(), "waiters");
    peer.open();
    for result in join_all(calls).await {
        assert_eq!(result.expect("a number"), 0);
    }
    assert_eq!((coalesce.stats().rejected, peer.calls()), (1, 1));
}

#[test]
fn leader_that_nobody_polls_holds_up_no_one() {
    let (coalesce, peer) = (Coalesce::new("unpolled"), Peer::new());
    let inner = {
        let peer = peer.clone();
        service_fn(move |_: u32| {
            let call = peer.call();
            async move { Ok::<_, io::Error>(call.await) }
        })
    };
    let mut service = CoalesceLayer::any(coalesce, |id: &u32| Some(*id)).layer(inner);
    let waker = CountingWaker::new();
    let mut leader = waker.call(&mut service, 7);
    let mut waiter = waker.call(&mut service, 7);
    assert!(waker.poll(waiter.as_mut()).is_pending());
    peer.open();
    assert_eq!(waker.count(), 1);
    assert!(matches!(waker.poll(waiter.as_mut()), Poll::Ready(Ok(0))));
    assert!(matches!(waker.poll(leader.as_mut()), Poll::Ready(Ok(0))));
    assert_eq!(peer.calls(), 1);
}

#[test]
fn waiter_holds_no_readiness_of_the_service() {
    let coalesce = Coalesce::new("readiness");
    let slots = tower::limit::ConcurrencyLimitLayer::new(2);
    let peer = Peer::new();
    let inner = {
        let peer = peer.clone();
        slots.layer(service_fn(move |_: u32| {
            let call = peer.call();
            async move { Ok::<_, io::Error>(call.await) }
        }))
    };
    let service = CoalesceLayer::any(coalesce, |_: &u32| Some(())).layer(inner.clone());
    let waker = CountingWaker::new();
    let (mut one, mut other) = (service.clone(), service);
    let _leader = waker.call(&mut one, 1);
    let _waiter = waker.call(&mut other, 2);
    let mut inner = inner;
    let ready = waker.poll_ready::<u32, _>(&mut inner);
    assert!(ready.is_ready(), "the second slot is free");
}

#[test]
fn settings_are_checked_and_applied_and_operators_control_it() {
    let build = |settings: CoalesceSettings| Coalesce::builder("x").settings(&settings).build();
    let mut settings = CoalesceSettings::default();
    settings.max_body_bytes = 0;
    let error = build(settings.clone()).expect_err("a bad value");
    assert_eq!(
        error.to_string(),
        r#"coalesce "x": max_body_bytes is 0, must be 1 to 1073741824"#
    );
    let coalesce = Coalesce::new("coalesce.operated");
    assert!(coalesce.apply(&settings).is_err());
    assert_eq!(coalesce.settings(), CoalesceSettings::default());
    settings.max_body_bytes = 9;
    coalesce.apply(&settings).expect("valid settings");
    assert_eq!(coalesce.settings().max_body_bytes, 9);

    let entry = || {
        let mut all = registry::snapshots().into_iter();
        all.find(|entry| entry.name() == "coalesce.operated")
            .expect("an entry")
    };
    assert_eq!((entry().kind(), entry().state()), ("coalesce", "on"));
    let act = |action| registry::act("coalesce", "coalesce.operated", action);
    assert_eq!(act(GuardAction::Disable), 1);
    assert_eq!(entry().state(), "disabled");
    let peer = Peer::new();
    let waker = CountingWaker::new();
    let mut calls = [run(&coalesce, 7, &peer), run(&coalesce, 7, &peer)];
    for call in &mut calls {
        assert!(waker.poll(call.as_mut()).is_pending());
    }
    assert_eq!((peer.calls(), coalesce.stats().alone), (2, 2));
    assert_eq!(act(GuardAction::Reset), 1);
    assert_eq!(entry().state(), "on");
}

#[cfg(feature = "serde")]
#[test]
fn settings_come_from_a_file() {
    let settings: CoalesceSettings = toml::from_str("max_keys = 5").expect("settings");
    assert_eq!(settings.max_keys, 5);
    let error = toml::from_str::<CoalesceSettings>("keys = 5").expect_err("unknown");
    assert!(error.to_string().contains("max_keys"), "{error}");
}
