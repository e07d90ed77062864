//! Calls that take long: from some age on nobody joins them, and another one is made.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use proptest::{collection::vec, prelude::*};
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};
use tower_keep::{
    coalesce::{Coalesce, CoalesceLayer},
    registry,
    testing::CountingWaker,
};

use super::{Peer, Work, run};
use crate::support::text;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Returns a caller that has been polled once, and waits.
fn waiting(coalesce: &Coalesce, peer: &Peer) -> Work<usize> {
    let mut caller = run(coalesce, 7, peer);
    assert!(CountingWaker::new().poll(caller.as_mut()).is_pending());
    caller
}

/// While the peer hung on one connection, all callers joined the call that never ended.
#[tokio::test(start_paused = true)]
async fn call_of_the_largest_age_is_left_to_its_callers_and_the_next_one_leads_another() {
    let (coalesce, peer) = (Coalesce::new("age"), Peer::new());
    let leader = waiting(&coalesce, &peer);
    advance(5 * SECOND - MILLI).await;
    let in_time = waiting(&coalesce, &peer);
    advance(MILLI).await;
    let late = waiting(&coalesce, &peer);
    let later = waiting(&coalesce, &peer);
    let stats = coalesce.stats();
    assert_eq!((stats.led, stats.joined, stats.in_flight), (2, 2, 2));
    assert_eq!((peer.calls(), peer.in_flight()), (2, 2));
    drop(leader);
    assert_eq!(coalesce.stats().handed_over, 1, "an old one as well");
    peer.open();
    let numbers = tokio::join!(in_time, late, later);
    let number = |result: Result<usize, _>| result.expect("a number");
    assert_eq!(
        (number(numbers.0), number(numbers.1), number(numbers.2)),
        (0, 1, 1)
    );
    assert_eq!((coalesce.stats().in_flight, peer.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn old_calls_take_none_of_the_keys_and_count_until_they_are_dropped() {
    let coalesce = Coalesce::builder("old").max_keys(1).build();
    let (coalesce, peer) = (coalesce.expect("valid settings"), Peer::new());
    let mut callers = Vec::new();
    for calls in 1..=4 {
        callers.push(waiting(&coalesce, &peer));
        callers.push(waiting(&coalesce, &peer));
        assert_eq!((coalesce.stats().in_flight, peer.calls()), (calls, calls));
        advance(5 * SECOND).await;
    }
    for calls in (1..=4).rev() {
        assert_eq!(
            (coalesce.stats().in_flight, peer.in_flight()),
            (calls, calls)
        );
        drop(callers.drain(..2));
    }
    assert_eq!((coalesce.stats().in_flight, peer.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn age_is_a_live_setting_and_can_be_switched_off() {
    let builder = Coalesce::builder("coalesce.age").max_join_age(None);
    let (coalesce, peer) = (builder.build().expect("valid settings"), Peer::new());
    let setting = || {
        let mut all = registry::snapshots().into_iter();
        let entry = all.find(|entry| entry.name() == "coalesce.age");
        let entry = entry.expect("an entry");
        let mut settings = entry.settings().iter();
        let setting = settings.find(|setting| setting.name() == "max_join_age_seconds");
        setting.expect("a setting").clone()
    };
    let _leader = waiting(&coalesce, &peer);
    advance(3_600 * SECOND).await;
    let _waiter = waiting(&coalesce, &peer);
    assert_eq!((peer.calls(), setting().value()), (1, None));
    let set = |value| registry::set("coalesce", "coalesce.age", "max_join_age_seconds", value);
    assert!(set(Some(0.0)).is_err());
    set(Some(0.5)).expect("a valid value");
    assert_eq!(setting().value(), Some(0.5));
    assert_eq!(coalesce.settings().max_join_age, Some(500 * MILLI));
    let _next = waiting(&coalesce, &peer);
    assert_eq!(peer.calls(), 2, "for calls in flight as well");
    set(None).expect("off");
    assert_eq!(
        (setting().value(), coalesce.settings().max_join_age),
        (None, None)
    );
}

#[cfg(feature = "serde")]
#[test]
fn age_comes_from_a_file() {
    use tower_keep::coalesce::CoalesceSettings;
    let age = |text| {
        let settings: Result<CoalesceSettings, _> = toml::from_str(text);
        settings.map(|settings| settings.max_join_age)
    };
    assert_eq!(age(""), Ok(Some(5 * SECOND)));
    assert_eq!(age(r#"max_join_age = "250ms""#), Ok(Some(250 * MILLI)));
    assert_eq!(age(r#"max_join_age = "off""#), Ok(None));
}

/// A router whose first response has a body that never ends.
fn router(calls: Arc<AtomicUsize>) -> Router {
    let handler = move || {
        let call = calls.fetch_add(1, SeqCst);
        async move {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from(format!("call {call}")))]);
            match call {
                0 => Body::from_stream(first.chain(stream::pending())),
                _ => Body::from_stream(first),
            }
        }
    };
    Router::new().route("/", get(handler))
}

#[tokio::test(start_paused = true)]
async fn body_that_hangs_keeps_nobody_who_comes_later() {
    let (coalesce, calls) = (Coalesce::new("body"), Arc::new(AtomicUsize::new(0)));
    let layer = CoalesceLayer::server(coalesce.clone());
    let service = layer.layer(router(calls.clone()));
    let call = || {
        let request = Request::get("/").body(Body::empty()).expect("a request");
        tokio::spawn(service.clone().oneshot(request))
    };
    let hanging = call();
    while coalesce.stats().led == 0 {
        tokio::task::yield_now().await;
    }
    advance(4 * SECOND).await;
    let joined = call();
    while coalesce.stats().joined == 0 {
        tokio::task::yield_now().await;
    }
    advance(SECOND).await;
    let Ok(response) = call().await.expect("no panic");
    assert_eq!(text(response.map(Body::new)).await, "call 1");
    assert_eq!((calls.load(SeqCst), coalesce.stats().in_flight), (2, 1));
    assert!(!hanging.is_finished() && !joined.is_finished());
    hanging.abort();
    joined.abort();
    assert!(hanging.await.is_err() && joined.await.is_err());
    let stats = coalesce.stats();
    assert_eq!((stats.in_flight, stats.bytes_in_flight), (0, 0));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come,
    Go(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Come),
        1 => (0..12_usize).prop_map(Step::Go),
        2 => (1..=1_500_u64).prop_map(Step::Pass),
    ];
    vec(step, 1..60)
}

struct Caller {
    work: Work<usize>,
    /// The call that it has to wait for.
    number: usize,
}

/// Plays the steps, in which each caller waits for the latest call if that is in flight and younger than a second.
async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let coalesce = Coalesce::builder("model").max_join_age(SECOND).build();
    let (coalesce, peer) = (coalesce.expect("valid settings"), Peer::new());
    let (mut callers, mut began_at) = (Vec::<Caller>::new(), Vec::new());
    for step in steps {
        match step {
            Step::Come => {
                let latest = began_at.len().checked_sub(1);
                let is_joinable = |number: &usize| {
                    let began_at: Instant = began_at[*number];
                    let in_flight = callers.iter().any(|caller| caller.number == *number);
                    in_flight && began_at.elapsed() < SECOND
                };
                let number = latest.filter(is_joinable).unwrap_or_else(|| {
                    began_at.push(Instant::now());
                    began_at.len() - 1
                });
                let work = waiting(&coalesce, &peer);
                callers.push(Caller { work, number });
            }
            Step::Go(index) if index < callers.len() => drop(callers.remove(index)),
            Step::Go(_) => {}
            Step::Pass(millis) => advance(Duration::from_millis(millis)).await,
        }
        prop_assert_eq!(peer.calls(), began_at.len());
        prop_assert_eq!(coalesce.stats().in_flight, peer.in_flight());
    }
    peer.open();
    let waker = CountingWaker::new();
    // Who drives a call is polled at the latest in the first turn, so that all have a result in the second.
    let mut turns = 2;
    while !callers.is_empty() {
        prop_assert!(turns > 0, "{} are stuck", callers.len());
        turns -= 1;
        let mut waiting = Vec::new();
        for mut caller in callers {
            match waker.poll(caller.work.as_mut()) {
                Poll::Ready(result) => prop_assert_eq!(result.expect("a number"), caller.number),
                Poll::Pending => waiting.push(caller),
            }
        }
        callers = waiting;
    }
    prop_assert_eq!((coalesce.stats().in_flight, peer.in_flight()), (0, 0));
    Ok(())
}

proptest! {
    #[test]
    fn callers_join_the_latest_call_while_it_is_young(steps in steps()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(play(steps))?;
    }
}
