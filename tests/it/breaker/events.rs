//! The reports of a breaker: transitions, logs, metrics, figures.

use std::{io, time::Duration};

use metrics_exporter_prometheus::PrometheusBuilder;
use tower_keep::{
    CircuitBreaker, GuardLayer, Outcome,
    breaker::CircuitState,
    registry::{Snapshot, Stat},
    testing::{Reply, Script},
};

use crate::support::{listing::listing, logs::logs};

fn two_in_a_row(name: &'static str) -> CircuitBreaker {
    CircuitBreaker::builder(name)
        .consecutive_failures(2)
        .open_jitter(0.0)
        .probes(1)
        .build()
        .expect("sound")
}

fn settle(breaker: &CircuitBreaker, outcome: Outcome) {
    breaker.try_acquire().expect("passes").complete(outcome);
}

fn fail(breaker: &CircuitBreaker, why: &'static str) {
    let failed = breaker.run(|| Err::<(), _>(io::Error::other(why)));
    failed.expect_err("fails");
}

#[tokio::test(start_paused = true)]
async fn transition_event_carries_last_error() {
    let breaker = two_in_a_row("told");
    let mut events = breaker.subscribe();
    fail(&breaker, "the first");
    fail(&breaker, "the disk is on fire");
    let event = events.try_recv().expect("an event");
    let error = event.last_error.expect("an error");
    assert_eq!(error.as_str(), "the disk is on fire");
    tokio::time::advance(Duration::from_secs(5)).await;
    settle(&breaker, Outcome::Success);
    for _ in 0..2 {
        let event = events.try_recv().expect("an event");
        assert!(event.last_error.is_none(), "{event:?}");
    }
}

#[tokio::test]
async fn rejection_last_error_names_response_status() {
    let breaker = two_in_a_row("status");
    let script: Script = Script::new([Reply::status(500), Reply::status(502)]);
    let service = tower::Layer::layer(&GuardLayer::client(breaker.clone()), script);
    for _ in 0..2 {
        let call = tower::ServiceExt::oneshot(service.clone(), http::Request::new(String::new()));
        drop(call.await.expect("a response"));
    }
    let why = breaker.try_acquire().expect_err("open");
    assert_eq!(why.last_error(), Some("502 Bad Gateway"));
}

/// An error says its own level only. hyper-util's client was quoted as "client error (Connect)", which tells nobody
/// whether the peer is gone or the name is wrong.
#[tokio::test]
async fn last_error_lists_sources_without_repeats() {
    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Layered>>);
    impl std::fmt::Display for Layered {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }
    impl std::error::Error for Layered {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(self.1.as_deref()?)
        }
    }
    let layered = |texts: &[&'static str]| {
        let texts = texts.iter().rev();
        let whole = texts.fold(None, |inner, text| Some(Box::new(Layered(text, inner))));
        *whole.expect("a text")
    };
    for (texts, told) in [
        (
            &["client error", "connect", "refused"][..],
            "client error: connect: refused",
        ),
        // Some say what their source says, or end with it.
        (&["refused", "refused", "by a rule"], "refused: by a rule"),
        (&["connect: refused", "refused"], "connect: refused"),
    ] {
        let breaker = two_in_a_row("layered");
        for _ in 0..2 {
            let failed = breaker.run(|| Err::<(), _>(layered(texts)));
            failed.expect_err("fails");
        }
        let why = breaker.try_acquire().expect_err("open");
        assert_eq!(why.last_error(), Some(told));
    }
}

#[tokio::test]
async fn last_error_endless_text_is_truncated() {
    struct Endless;
    impl std::fmt::Display for Endless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            loop {
                f.write_str("and so on ")?;
            }
        }
    }
    let breaker = two_in_a_row("endless");
    for _ in 0..2 {
        assert!(breaker.run_display(|| Err::<(), _>(Endless)).is_err());
    }
    let why = breaker.try_acquire().expect_err("open");
    let length = why.last_error().expect("a text").len();
    assert!((1_000..=1_100).contains(&length), "{length}");
}

#[tokio::test]
async fn last_error_display_may_use_the_breaker() {
    struct Meddler(CircuitBreaker);
    impl std::fmt::Display for Meddler {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.reset();
            f.write_str("meddled")
        }
    }
    let breaker = two_in_a_row("meddler");
    let mut events = breaker.subscribe();
    for _ in 0..2 {
        assert!(
            breaker
                .run_display(|| Err::<(), _>(Meddler(breaker.clone())))
                .is_err()
        );
    }
    for (number, to) in [(1, CircuitState::Open), (2, CircuitState::Closed)] {
        let event = events.try_recv().expect("an event");
        assert_eq!((event.number, event.to), (number, to));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn transition_to_open_logs_warning() {
    let logs = logs();
    let breaker = two_in_a_row("levels");
    fail(&breaker, "no");
    fail(&breaker, "no route");
    tokio::time::advance(Duration::from_secs(5)).await;
    settle(&breaker, Outcome::Success);
    breaker.force_open();
    let told: Vec<_> = logs
        .events("tower_keep::breaker")
        .iter()
        .map(|event| (event.level, event.get("to").to_owned()))
        .collect();
    let (warn, info) = (tracing::Level::WARN, tracing::Level::INFO);
    let expected = [
        (warn, "open"),
        (info, "half_open"),
        (info, "closed"),
        (warn, "forced_open"),
    ];
    assert_eq!(told, expected.map(|(level, to)| (level, to.to_owned())));
    let first = &logs.events("tower_keep::breaker")[0];
    assert_eq!(first.get("last_error"), "no route");
    assert_eq!(first.get("open_for_ms"), "5000");
}

#[test]
fn state_gauge_reaches_recorder_installed_late() {
    for count_window in [true, false] {
        let builder = CircuitBreaker::builder("late").min_calls(2);
        let breaker = match count_window {
            true => builder.count_window(2),
            false => builder,
        };
        let breaker = breaker.build().expect("sound");
        for _ in 0..3 {
            settle(&breaker, Outcome::Success);
        }
        breaker.reset();
        let recorder = PrometheusBuilder::new().build_recorder();
        let up = |state: &str| {
            let line = format!(r#"tower_keep_breaker_state{{breaker="late",state="{state}"}} 1"#);
            recorder.handle().render().contains(&line)
        };
        assert!(!up("closed"));
        metrics::with_local_recorder(&recorder, || settle(&breaker, Outcome::Success));
        assert!(up("closed"));
        metrics::with_local_recorder(&recorder, || breaker.disable());
        assert!(up("disabled") && !up("closed"));
    }
}

/// Calls that are further apart than the buckets of the window never share one: each took the lock, and looked for no
/// recorder.
#[tokio::test(start_paused = true)]
async fn state_gauge_of_rarely_called_breaker_is_shown() {
    let breaker = two_in_a_row("rare");
    let recorder = PrometheusBuilder::new().build_recorder();
    tokio::time::advance(Duration::from_secs(10)).await;
    metrics::with_local_recorder(&recorder, || settle(&breaker, Outcome::Success));
    let line = r#"tower_keep_breaker_state{breaker="rare",state="closed"} 1"#;
    assert!(recorder.handle().render().contains(line));
}

#[test]
fn registry_snapshot_shows_state_gauge() {
    let breaker = two_in_a_row("listed late");
    breaker.disable();
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || listing().snapshots());
    let line = r#"tower_keep_breaker_state{breaker="listed late",state="disabled"} 1"#;
    assert!(recorder.handle().render().contains(line));
    drop(breaker);
}

#[test]
fn registry_lists_threshold_and_rejected_calls() {
    let stats = |name| {
        let all = listing().snapshots();
        let shown = all.iter().find(|guard| guard.name() == name)?;
        let stats = ["failure_rate_threshold", "rejected"];
        Some(stats.map(|stat| shown.stat(stat).cloned()))
    };
    let breaker = two_in_a_row("rejecting");
    breaker.force_open();
    for _ in 0..3 {
        breaker.try_acquire().expect_err("forced open");
    }
    breaker.reset();
    settle(&breaker, Outcome::Success);
    let expected = [Some(Stat::Number(0.5)), Some(Stat::Count(3))];
    assert_eq!(stats("rejecting"), Some(expected));
    let builder = CircuitBreaker::builder("consecutive").failure_rate(None);
    let _breaker = builder.consecutive_failures(2).build().expect("sound");
    let expected = [Some(Stat::Unknown), Some(Stat::Count(0))];
    assert_eq!(stats("consecutive"), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn registry_lists_reason_unless_closed() {
    let breaker = two_in_a_row("reasons");
    let reason = || {
        let all = listing().snapshots();
        let shown = all.iter().find(|guard| guard.name() == "reasons");
        shown.and_then(|shown: &Snapshot| shown.stat("reason").cloned())
    };
    let text = |reason: &str| Some(Stat::Text(reason.to_owned()));
    assert_eq!(reason(), Some(Stat::Unknown));
    fail(&breaker, "no");
    fail(&breaker, "no");
    assert_eq!(reason(), text("consecutive_failures"));
    tokio::time::advance(Duration::from_secs(5)).await;
    let probe = breaker.try_acquire().expect("a probe");
    assert_eq!(reason(), text("consecutive_failures"));
    probe.complete(Outcome::Success);
    assert_eq!(reason(), Some(Stat::Unknown));
    breaker.disable();
    assert_eq!(reason(), text("disabled"));
}
