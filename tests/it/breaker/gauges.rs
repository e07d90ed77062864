//! `tower_keep_breaker_state`: how many breakers of a name are in each state.

use metrics::with_local_recorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower_keep::{CircuitBreaker, Outcome, breaker::KeyedBreaker};

use crate::support::listing::listing;

fn breaker(name: &'static str) -> CircuitBreaker {
    let builder = CircuitBreaker::builder(name).consecutive_failures(1);
    builder.build().expect("sound")
}

fn open(breaker: &CircuitBreaker) {
    let permit = breaker.try_acquire().expect("closed");
    permit.complete(Outcome::Failure);
}

fn shown(recorder: &PrometheusRecorder, name: &str) -> [Option<u32>; 2] {
    let text = recorder.handle().render();
    ["closed", "open"].map(|state| {
        let start = format!(r#"tower_keep_breaker_state{{breaker="{name}",state="{state}"}} "#);
        let line = text.lines().find_map(|line| line.strip_prefix(&start))?;
        Some(line.parse().expect("a number"))
    })
}

/// The later one said `closed`, and that was all that there was to see.
#[test]
fn state_gauge_sums_breakers_of_one_name() {
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        let first = breaker("twins");
        open(&first);
        assert_eq!(shown(&recorder, "twins"), [Some(0), Some(1)]);
        let second = breaker("twins");
        assert_eq!(shown(&recorder, "twins"), [Some(1), Some(1)]);
        open(&second);
        first.reset();
        assert_eq!(shown(&recorder, "twins"), [Some(1), Some(1)]);
        second.reset();
        assert_eq!(shown(&recorder, "twins"), [Some(2), Some(0)]);
    });
}

/// Only a success that was counted showed it: a breaker that rejects, or counts nothing, stayed away.
#[test]
fn state_gauge_reaches_late_recorder_when_open_or_disabled() {
    for (name, set) in [
        (
            "late_forced",
            CircuitBreaker::force_open as fn(&CircuitBreaker),
        ),
        ("late_opened", open),
        ("late_disabled", CircuitBreaker::disable),
    ] {
        let breaker = breaker(name);
        set(&breaker);
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || drop(breaker.try_acquire()));
        let states = recorder.handle().render();
        assert!(states.contains(&format!(r#"breaker="{name}""#)), "{states}");
    }
}

/// The last that was seen of it was `open`, for as long as the process lived.
#[test]
fn state_gauge_forgets_dropped_breaker() {
    let _listing = listing();
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        let handle = breaker("gone");
        open(&handle);
        let layer = handle.layer().any();
        drop(handle);
        assert_eq!(shown(&recorder, "gone"), [Some(0), Some(1)]);
        drop(layer);
        assert_eq!(shown(&recorder, "gone"), [Some(0), Some(0)]);
        let _again = breaker("gone");
        assert_eq!(shown(&recorder, "gone"), [Some(1), Some(0)]);
    });
}

fn keyed(name: &'static str) -> KeyedBreaker<String> {
    let template = CircuitBreaker::builder(name).consecutive_failures(1);
    KeyedBreaker::builder(template).build().expect("sound")
}

/// Each wrote its own counts into the one series that they share.
#[test]
fn state_gauge_sums_single_and_keyed_breakers() {
    let _listing = listing();
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        let single = breaker("mixed");
        let [set, other] = ["mixed"; 2].map(keyed);
        let one = set.get("a");
        open(&one);
        drop(other.get("b"));
        assert_eq!(shown(&recorder, "mixed"), [Some(2), Some(1)]);
        open(&single);
        assert_eq!(shown(&recorder, "mixed"), [Some(1), Some(2)]);
        drop(set);
        assert_eq!(shown(&recorder, "mixed"), [Some(1), Some(1)]);
        one.reset();
        assert_eq!(shown(&recorder, "mixed"), [Some(1), Some(1)]);
        drop(single);
        assert_eq!(shown(&recorder, "mixed"), [Some(1), Some(0)]);
        drop(other);
        assert_eq!(shown(&recorder, "mixed"), [Some(0), Some(0)]);
    });
}

#[test]
fn state_gauge_shows_all_to_late_recorder() {
    let _listing = listing();
    let [first, second, third] = ["late twins"; 3].map(breaker);
    open(&first);
    let recorder = PrometheusBuilder::new().build_recorder();
    assert_eq!(shown(&recorder, "late twins"), [None, None]);
    // One word is enough, whose it is.
    with_local_recorder(&recorder, || {
        second
            .try_acquire()
            .expect("closed")
            .complete(Outcome::Success)
    });
    assert_eq!(shown(&recorder, "late twins"), [Some(2), Some(1)]);
    with_local_recorder(&recorder, || drop(third));
    assert_eq!(shown(&recorder, "late twins"), [Some(1), Some(1)]);
}

/// The gauges of an earlier recorder must not stay there for ever either.
#[test]
fn state_gauge_updates_replaced_recorder() {
    let _listing = listing();
    let [earlier, later] = [(); 2].map(|()| PrometheusBuilder::new().build_recorder());
    let handle = with_local_recorder(&earlier, || breaker("replaced"));
    with_local_recorder(&later, || open(&handle));
    for recorder in [&earlier, &later] {
        assert_eq!(shown(recorder, "replaced"), [Some(0), Some(1)]);
    }
    drop(handle);
    for recorder in [&earlier, &later] {
        assert_eq!(shown(recorder, "replaced"), [Some(0), Some(0)]);
    }
}

#[test]
fn state_gauge_counts_initially_forced_breaker() {
    let switch = tower_keep::breaker::Switch::new();
    switch.force_open();
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        let builder = CircuitBreaker::builder("forced").switch(&switch);
        let _breaker = builder.build().expect("sound");
        let text = recorder.handle().render();
        let line = r#"tower_keep_breaker_state{breaker="forced",state="forced_open"} 1"#;
        assert!(text.contains(line), "{text}");
        assert_eq!(shown(&recorder, "forced"), [Some(0), Some(0)]);
    });
}
