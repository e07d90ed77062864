//! All keys of a set are one in metrics and in the registry; the log and subscribers see the key.

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower_keep::{Outcome, breaker::CircuitState, registry::Stat};

use super::{census, fail, keyed};
use crate::support::{listing::listing, logs::logs};

#[tokio::test(start_paused = true)]
async fn keyed_gauge_counts_by_state_without_key_label() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let hosts = keyed("counted keys", 16);
    let shown = |state: &str| {
        let start =
            format!(r#"tower_keep_breaker_state{{breaker="counted keys",state="{state}"}} "#);
        let text = recorder.handle().render();
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.expect("a series").parse::<u32>().expect("a number")
    };
    assert_eq!((shown("closed"), shown("open")), (0, 0));
    fail(&hosts, "a");
    fail(&hosts, "b");
    hosts.get("c");
    assert_eq!((shown("closed"), shown("open")), (1, 2));
    tokio::time::advance(Duration::from_secs(5)).await;
    let probe = hosts.get("a").try_acquire().expect("a probe");
    assert_eq!((shown("half_open"), shown("open")), (1, 1));
    probe.complete(Outcome::Success);
    hosts.remove("b").expect("there").reset();
    assert_eq!((shown("closed"), shown("open")), (2, 0));
    for flood in 0..100 {
        hosts.get(format!("wire-{flood}").as_str());
    }
    assert_eq!(shown("closed"), 16);
    hosts.get("wire-99").force_open();
    hosts.get("wire-99").try_acquire().expect_err("forced");
    let text = recorder.handle().render();
    let evicted = r#"tower_keep_breaker_evictions_total{breaker="counted keys"} 86"#;
    assert!(text.contains(evicted), "{text}");
    let rejected = r#"tower_keep_breaker_rejections_total{breaker="counted keys"} 1"#;
    assert!(text.contains(rejected), "{text}");
    assert!(!text.contains("wire"), "{text}");
}

#[test]
fn keyed_gauge_reaches_late_recorder() {
    let hosts = keyed("late keys", 16);
    fail(&hosts, "a");
    hosts.get("b");
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || fail(&hosts, "c"));
    let text = recorder.handle().render();
    for (state, keys) in [("closed", 1), ("open", 2)] {
        let line = format!(r#"breaker_state{{breaker="late keys",state="{state}"}} {keys}"#);
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn keyed_breaker_is_one_registry_entry() {
    let hosts = keyed("entry", 10);
    fail(&hosts, "a");
    hosts.get("b");
    hosts.get("a").try_acquire().expect_err("open");
    let all = listing().snapshots();
    let mut entries = all.iter().filter(|guard| guard.name() == "entry");
    let entry = entries.next().expect("one");
    assert!(entries.next().is_none());
    assert_eq!(
        (entry.kind(), entry.state()),
        ("keyed_circuit_breaker", "open")
    );
    for (stat, count) in [
        ("keys", 2),
        ("max_keys", 10),
        ("open", 1),
        ("closed", 1),
        ("rejected", 1),
    ] {
        assert_eq!(entry.stat(stat), Some(&Stat::Count(count)), "{stat}");
    }
}

#[test]
fn keyed_transition_logs_key_escaped() {
    let logs = logs();
    let hosts = keyed("named", 10);
    let mut events = hosts.subscribe();
    let mut of_one = hosts.get("b").subscribe();
    fail(&hosts, "evil\n2026-01-01 INFO all is well\u{1b}[2J");
    fail(&hosts, &"x".repeat(10_000));
    let event = events.try_recv().expect("an event");
    assert_eq!(event.breaker.as_str(), "named");
    let clean = "evil?2026-01-01 INFO all is well?[2J";
    assert_eq!(event.key.expect("a key").as_str(), clean);
    let event = events.try_recv().expect("an event");
    assert!(event.key.expect("a key").as_str().len() <= 132);
    assert!(of_one.try_recv().is_err(), "another key's");
    assert_eq!(logs.events("tower_keep::breaker")[0].get("key"), clean);
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

/// The panic went to the caller, whose call had nothing to do with it, and nobody was told of any transition of the
/// key any more.
#[test]
fn keyed_subscriber_waker_panic_is_contained() {
    let hosts = keyed("waked", 10);
    let (mut bad, mut good) = (hosts.subscribe(), hosts.subscribe());
    let waker = Waker::from(Arc::new(BadWaker));
    let mut event = Box::pin(bad.recv());
    let first = Future::poll(event.as_mut(), &mut Context::from_waker(&waker));
    assert!(first.is_pending());
    fail(&hosts, "a");
    hosts.get("a").reset();
    for state in [CircuitState::Open, CircuitState::Closed] {
        assert_eq!(good.try_recv().expect("an event").to, state);
    }
}

fn shown(recorder: &PrometheusRecorder, name: &str, state: &str) -> u64 {
    let start = format!(r#"tower_keep_breaker_state{{breaker="{name}",state="{state}"}} "#);
    let text = recorder.handle().render();
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.expect("a series").parse().expect("a number")
}

/// The gauge said for ever that circuits were open which nobody had any more.
#[test]
fn keyed_gauge_forgets_dropped_set() {
    let _listing = listing();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let hosts = keyed("leaves", 10);
    let guard = hosts.keyed_by_authority();
    fail(&hosts, "a");
    let b = hosts.get("b");
    let in_flight = b.try_acquire().expect("closed");
    drop(hosts);
    assert_eq!(shown(&recorder, "leaves", "open"), 1, "a guard is left");
    drop(guard);
    for state in CircuitState::ALL {
        assert_eq!(shown(&recorder, "leaves", state.as_str()), 0, "{state}");
    }
    in_flight.complete(Outcome::Failure);
    assert_eq!(b.state(), CircuitState::Open);
    assert_eq!(shown(&recorder, "leaves", "open"), 0, "it counts no more");
}

/// Each set showed its own numbers alone.
#[test]
fn keyed_gauge_sums_sets_of_one_name() {
    let _listing = listing();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (one, other) = (keyed("twin sets", 10), keyed("twin sets", 10));
    fail(&one, "a");
    fail(&one, "b");
    fail(&other, "a");
    other.get("c");
    assert_eq!(
        (census(&one), census(&other)),
        ([0, 2, 0, 0, 0], [1, 1, 0, 0, 0])
    );
    let both = || ["closed", "open"].map(|state| shown(&recorder, "twin sets", state));
    assert_eq!(both(), [1, 3]);
    drop(one);
    assert_eq!(both(), [1, 1]);
    other.remove("a");
    let third = keyed("twin sets", 10);
    fail(&third, "z");
    assert_eq!(both(), [1, 1]);
    drop((other, third));
    assert_eq!(both(), [0, 0]);
}

#[test]
fn keyed_gauge_clears_in_every_recorder() {
    let _listing = listing();
    let hosts = keyed("leaves all", 10);
    fail(&hosts, "a");
    let [early, late] = [(); 2].map(|()| PrometheusBuilder::new().build_recorder());
    metrics::with_local_recorder(&early, || fail(&hosts, "b"));
    assert_eq!(shown(&early, "leaves all", "open"), 2);
    metrics::with_local_recorder(&late, || fail(&hosts, "c"));
    assert_eq!(shown(&late, "leaves all", "open"), 3);
    // Where neither is the recorder.
    drop(hosts);
    for recorder in [&early, &late] {
        assert_eq!(shown(recorder, "leaves all", "open"), 0);
    }
}
