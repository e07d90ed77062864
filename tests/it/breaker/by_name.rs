//! Breakers by name.

use std::{io, sync::OnceLock};

use metrics_exporter_prometheus::PrometheusBuilder;
use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{BreakerRegistry, CircuitState},
    registry::Stat,
};

use crate::support::{listing::listing, logs::logs};

fn fail(breaker: &CircuitBreaker) {
    breaker
        .try_acquire()
        .expect("closed")
        .complete(Outcome::Failure);
}

fn one_in_a_row() -> BreakerRegistry {
    let template = CircuitBreaker::builder("any").consecutive_failures(1);
    BreakerRegistry::builder()
        .template(template)
        .build()
        .expect("sound")
}

#[tokio::test]
async fn global_registry_has_one_breaker_per_name() {
    let quote = async { Err::<(), _>(io::Error::other("no")) };
    tower_keep::breaker("quotes")
        .call(quote)
        .await
        .expect_err("fails");
    assert_eq!(tower_keep::breaker("quotes").counts().failures, 1);
    assert_eq!(tower_keep::breaker("other quotes").counts().failures, 0);
    let late = BreakerRegistry::new().set_global();
    assert!(late.is_err(), "somebody has asked already");
}

#[test]
fn registry_template_lends_settings_not_name() {
    let breakers = one_in_a_row();
    fail(&breakers.get_or_create("a"));
    let [a, b] = ["a", "b"].map(|name| breakers.get_or_create(name));
    assert_eq!((a.name(), a.state()), ("a", CircuitState::Open));
    assert_eq!((b.name(), b.state()), ("b", CircuitState::Closed));
    let silly = CircuitBreaker::builder("any").probes(0);
    let error = BreakerRegistry::builder().template(silly).build();
    assert_eq!(error.expect_err("silly").field(), "probes");
}

#[test]
fn registry_factory_gets_name_and_falls_back() {
    let breakers = BreakerRegistry::builder().factory(|name| match name {
        "strict" => CircuitBreaker::builder("x").consecutive_failures(1),
        "silly" => CircuitBreaker::builder("x").probes(0),
        _ => panic!("a bug"),
    });
    let breakers = breakers.build().expect("sound");
    for (name, state) in [
        ("strict", CircuitState::Open),
        ("silly", CircuitState::Closed),
        ("unknown", CircuitState::Closed),
    ] {
        let breaker = breakers.get_or_create(name);
        fail(&breaker);
        assert_eq!((breaker.name(), breaker.state()), (name, state));
        assert_eq!(breakers.get(name).expect("kept").counts(), breaker.counts());
    }
}

/// The one for all others was made while everybody waited for it, the factory included.
#[test]
fn registry_factory_may_reenter_beyond_max() {
    static BREAKERS: OnceLock<BreakerRegistry> = OnceLock::new();
    let factory = |_: &str| {
        let parent = BREAKERS.get().expect("set").get_or_create("parent");
        assert_eq!(parent.name(), "_OTHER");
        CircuitBreaker::builder("x").consecutive_failures(1)
    };
    let breakers = BreakerRegistry::builder().factory(factory).max_names(1);
    let breakers = BREAKERS.get_or_init(|| breakers.build().expect("sound"));
    let full = CircuitBreaker::builder("full").build().expect("sound");
    breakers.insert(full);
    let other = breakers.get_or_create("a");
    fail(&other);
    assert_eq!(breakers.get_or_create("b").state(), CircuitState::Open);
    assert_eq!(breakers.names(), ["_OTHER", "full"]);
}

#[test]
fn registry_names_beyond_max_share_a_breaker() {
    let template = CircuitBreaker::builder("any").consecutive_failures(1);
    let breakers = BreakerRegistry::builder().template(template).max_names(2);
    let breakers = breakers.build().expect("sound");
    fail(&breakers.get_or_create("a"));
    breakers.get_or_create("b");
    for wire in 0..10_000 {
        let other = breakers.get_or_create(&format!("wire-{wire}"));
        assert_eq!(other.name(), "_OTHER");
    }
    assert_eq!(breakers.get_or_create("a").state(), CircuitState::Open);
    fail(&breakers.get_or_create("c"));
    assert_eq!(breakers.get_or_create("d").state(), CircuitState::Open);
    assert_eq!(
        breakers.get("_OTHER").expect("made").state(),
        CircuitState::Open
    );
    assert!(breakers.reset("_OTHER"));
    assert_eq!(
        breakers.get_or_create("_OTHER").state(),
        CircuitState::Closed
    );
    breakers.insert(CircuitBreaker::builder("e").build().expect("sound"));
    assert_eq!(breakers.names(), ["_OTHER", "a", "b", "e"]);
    breakers.remove("a").expect("it was there");
    breakers.remove("b").expect("it was there");
    assert_eq!(breakers.get_or_create("f").name(), "f");
    let long = "x".repeat(1_000);
    assert_eq!(breakers.get_or_create(&long).name(), "_OTHER");
}

#[test]
fn registry_overflow_breaker_is_logged_and_listed() {
    let logs = logs();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let template = CircuitBreaker::builder("any").consecutive_failures(1);
    let breakers = BreakerRegistry::builder().template(template).max_names(1);
    let breakers = breakers.build().expect("sound");
    breakers.get_or_create("a");
    assert_eq!(logs.events("tower_keep::breaker").len(), 0);
    for name in ["b", "c"] {
        breakers.get_or_create(name);
    }
    assert_eq!(logs.events("tower_keep::breaker").len(), 1, "once");
    assert_eq!(
        logs.events("tower_keep::breaker")[0].get("breaker"),
        "_OTHER"
    );
    fail(&breakers.get_or_create("d"));
    let all = listing().snapshots();
    let mut listed = all.iter().filter(|guard| guard.name() == "_OTHER");
    assert!(listed.any(|guard| guard.state() == "open"));
    let text = recorder.handle().render();
    // Those of the other tests in this process have the same name.
    let open = r#"tower_keep_breaker_state{breaker="_OTHER",state="open"} "#;
    let value = text.lines().find_map(|line| line.strip_prefix(open));
    assert!(value.is_some_and(|value| value != "0"), "{text}");
}

#[test]
fn registry_inserts_lists_resets_and_removes() {
    let breakers = one_in_a_row();
    let own = CircuitBreaker::builder("own").build().expect("sound");
    assert!(breakers.insert(own.clone()).is_none());
    own.force_open();
    fail(&breakers.get_or_create("made"));
    let shown = |breakers: &BreakerRegistry| -> Vec<(String, &'static str)> {
        let all = breakers.snapshots();
        let shown = all
            .iter()
            .map(|shown| (shown.name().to_owned(), shown.state()));
        shown.collect()
    };
    let states = [
        ("made".to_owned(), "open"),
        ("own".to_owned(), "forced_open"),
    ];
    assert_eq!(shown(&breakers), states);
    assert!(breakers.reset("made") && !breakers.reset("nobody"));
    assert_eq!(breakers.get_or_create("made").state(), CircuitState::Closed);
    assert_eq!(own.state(), CircuitState::ForcedOpen);
    breakers.clone().reset_all();
    assert_eq!(own.state(), CircuitState::Closed);
    let calls = breakers.snapshots()[0].stat("calls").cloned();
    assert_eq!(calls, Some(Stat::Count(0)));
    fail(&own);
    let removed = breakers.remove("own").expect("it was there");
    assert_eq!(removed.counts(), own.counts());
    assert_eq!(breakers.get_or_create("own").counts().calls, 0);
}

#[test]
fn registry_concurrent_get_returns_same_breaker() {
    let breakers = BreakerRegistry::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|n| fail(&breakers.get_or_create(&n.to_string()))));
        }
    });
    let all = breakers.list();
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(|breaker| breaker.counts().calls == 8));
}
