//! Holds of guards that operators make, and their ends, under a paused clock.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_keep::{CircuitBreaker, ops::Ops};

use super::{
    callsites::ask_all_subscribers,
    guards::{Guards, line, seconds},
};

#[tokio::test(start_paused = true)]
async fn hold_open_and_closed_end_by_themselves() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-hold");
    for (action, state) in [("hold_open", "forced_open"), ("hold_closed", "disabled")] {
        let body = json!({"action": action, "seconds": 60, "reason": "ledger is down"});
        assert_eq!(guards.act("control-hold", body).await, StatusCode::OK);
        let guard = guards.guard("control-hold").await;
        assert_eq!(
            (&guard["state"], &guard["held"]),
            (&json!(state), &json!(action))
        );
        assert!(guard["held_until"].as_f64().is_some());
        seconds(59).await;
        assert_eq!(guards.guard("control-hold").await["state"], state);
        seconds(2).await;
        let guard = guards.guard("control-hold").await;
        assert_eq!(
            (&guard["state"], &guard["held"]),
            (&json!("closed"), &Value::Null)
        );
    }
    assert!(!breaker.is_rejecting());
    let expected = [
        line(
            "hold_open for 60 s: ledger is down by mira",
            "closed",
            "forced_open",
        ),
        line("hold_open has ended: its time is over", "", "closed"),
        line(
            "hold_closed for 60 s: ledger is down by mira",
            "closed",
            "disabled",
        ),
        line("hold_closed has ended: its time is over", "", "closed"),
    ];
    assert_eq!(guards.journal("control-hold"), expected);
}

#[tokio::test(start_paused = true)]
async fn shadow_ends_and_can_be_released() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-shadow");
    let shadow = json!({"action": "shadow", "seconds": 60, "reason": "looking"});
    guards.act("control-shadow", shadow.clone()).await;
    assert!(breaker.is_shadow());
    seconds(61).await;
    assert!(!breaker.is_shadow());
    guards.act("control-shadow", shadow).await;
    let release = json!({"action": "release", "reason": "seen"});
    assert_eq!(
        guards.act("control-shadow", release.clone()).await,
        StatusCode::OK
    );
    assert!(!breaker.is_shadow());
    assert_eq!(
        guards.act("control-shadow", release).await,
        StatusCode::CONFLICT
    );
    let expected = [
        line(
            "shadow for 60 s: looking by mira",
            "closed",
            "closed, shadow",
        ),
        line("shadow has ended: its time is over", "", "closed"),
        line(
            "shadow for 60 s: looking by mira",
            "closed",
            "closed, shadow",
        ),
        line("release: seen by mira", "closed, shadow", "closed"),
    ];
    assert_eq!(guards.journal("control-shadow"), expected);
}

#[tokio::test(start_paused = true)]
async fn hold_replaces_another_hold() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-replace");
    let hold = |action, seconds| json!({"action": action, "seconds": seconds, "reason": "x"});
    guards.act("control-replace", hold("hold_open", 60)).await;
    guards.act("control-replace", hold("shadow", 120)).await;
    // The first is over: nothing of it is left beside the second.
    assert_eq!(
        (breaker.state().as_str(), breaker.is_shadow()),
        ("closed", true)
    );
    seconds(61).await;
    assert!(breaker.is_shadow());
    guards.act("control-replace", hold("hold_closed", 60)).await;
    assert_eq!(
        (breaker.state().as_str(), breaker.is_shadow()),
        ("disabled", false)
    );
    seconds(61).await;
    assert_eq!(
        (breaker.state().as_str(), breaker.is_shadow()),
        ("closed", false)
    );
}

#[tokio::test(start_paused = true)]
async fn hold_gives_back_what_the_application_had_set() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-before");
    breaker.force_open();
    breaker.set_shadow(true);
    let hold = |action| json!({"action": action, "seconds": 60, "reason": "x"});
    guards.act("control-before", hold("hold_closed")).await;
    assert_eq!(breaker.state().as_str(), "disabled");
    guards.act("control-before", hold("shadow")).await;
    seconds(61).await;
    assert_eq!(
        (breaker.state().as_str(), breaker.is_shadow()),
        ("forced_open", true)
    );
    guards
        .act("control-before", json!({"action": "reset", "reason": "x"}))
        .await;
    assert_eq!(breaker.state().as_str(), "closed");
}

#[tokio::test(start_paused = true)]
async fn hold_of_a_guard_that_is_gone_ends() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-gone");
    let hold = json!({"action": "hold_open", "seconds": 60, "reason": "x"});
    assert_eq!(
        guards.act("control-gone", hold.clone()).await,
        StatusCode::OK
    );
    drop(breaker);
    assert_eq!(
        guards.act("control-gone", hold).await,
        StatusCode::NOT_FOUND
    );
    seconds(61).await;
    let last = guards.journal("control-gone").pop();
    assert_eq!(
        last,
        Some(line("hold_open has ended: the guard is gone", "", ""))
    );
}

#[tokio::test(start_paused = true)]
async fn holds_end_with_the_operations_side() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-drop");
    let hold = json!({"action": "hold_open", "seconds": 60, "reason": "x"});
    guards.act("control-drop", hold).await;
    assert!(breaker.is_rejecting());
    drop(guards);
    assert!(!breaker.is_rejecting());
}

#[tokio::test(start_paused = true)]
async fn check_that_hangs_for_ever_delays_no_tick() {
    let ops = Ops::builder("orders");
    let ops = ops.check(hanging().critical()).build().expect("valid");
    ops.spawn();
    seconds(30).await;
    let query = tower_keep::ops::series::Query::new("ticks_total");
    metrics::with_local_recorder(ops.recorder(), || {
        metrics::counter!("ticks_total").increment(1)
    });
    seconds(2).await;
    let result = ops.recorder().query(&query).expect("valid");
    let recorded = result.series.iter().flat_map(|line| &line.points);
    assert!(
        recorded
            .filter_map(|(_, number)| *number)
            .any(|number| number > 0.0)
    );
    let (status, probe) = {
        let request = Request::get("/livez")
            .body(Body::empty())
            .expect("a request");
        let response = ops.probes().oneshot(request).await.expect("infallible");
        (response.status(), ops.health().snapshot())
    };
    assert_eq!(status, StatusCode::OK);
    assert!(!probe.is_ready);
}

/// Between the end of the first hold and the begin of the second, calls were let through to what was held back.
#[tokio::test(start_paused = true)]
async fn hold_that_is_made_longer_has_no_gap() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-longer");
    let mut transitions = breaker.subscribe();
    let hold = |seconds| json!({"action": "hold_open", "seconds": seconds, "reason": "x"});
    guards.act("control-longer", hold(60)).await;
    seconds(30).await;
    assert_eq!(guards.act("control-longer", hold(60)).await, StatusCode::OK);
    seconds(59).await;
    assert!(breaker.is_rejecting());
    seconds(2).await;
    assert!(!breaker.is_rejecting());
    let mut seen = Vec::new();
    while let Ok(transition) = transitions.try_recv() {
        seen.push(transition.to.as_str());
    }
    assert_eq!(seen, ["forced_open", "closed"]);
}

/// The end of a hold took back what the application had set since.
#[tokio::test(start_paused = true)]
async fn hold_ends_only_what_it_has_set() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-since");
    let hold = |action| json!({"action": action, "seconds": 60, "reason": "x"});
    guards.act("control-since", hold("hold_closed")).await;
    breaker.force_open();
    seconds(61).await;
    assert_eq!(breaker.state().as_str(), "forced_open");
    let last = guards.journal("control-since").pop();
    let text = "hold_closed has ended: the guard was changed meanwhile";
    assert_eq!(last, Some(line(text, "", "forced_open")));
    breaker.set_shadow(true);
    guards.act("control-since", hold("hold_closed")).await;
    // Another guard of this name is none that was held.
    drop(breaker);
    let breaker = CircuitBreaker::new("control-since");
    breaker.force_open();
    seconds(61).await;
    assert_eq!(breaker.state().as_str(), "forced_open");
}

/// A clock that was set after the start, as on a small machine without a battery, made the uptime some fifty years.
#[tokio::test(start_paused = true)]
async fn uptime_is_that_of_a_clock_that_nobody_sets() {
    let guards = Guards::start();
    seconds(3_600).await;
    let request = Request::get("/api/v1/status").body(Body::empty());
    let (_, status) = guards.send(request.expect("a request")).await;
    assert_eq!(status["uptime_seconds"], 3_600);
}

#[tokio::test(start_paused = true)]
async fn critical_component_that_cannot_be_judged_needs_attention() {
    use tower_keep::ops::health::{Check, CheckResult};
    let unclear =
        |name: &'static str| Check::new(name, async || CheckResult::unknown("no answer yet"));
    let ops = Ops::builder("orders")
        .check(unclear("attention: ledger").critical())
        .check(unclear("attention: cache"));
    let guards = Guards::with(ops);
    let attention = async || {
        let request = Request::get("/api/v1/status").body(Body::empty());
        let (_, status) = guards.send(request.expect("a request")).await;
        let all = status["attention"].as_array().expect("a list").iter();
        let mine = all
            .filter(|each| each["kind"] == "health")
            .map(|each| each["text"].clone());
        mine.collect::<Vec<_>>()
    };
    assert!(attention().await.is_empty(), "not checked yet");
    seconds(2).await;
    assert_eq!(
        attention().await,
        ["Health of attention: ledger is unknown: no answer yet"]
    );
}

/// A service and its console, of which nothing is left in the runtime once they are gone.
#[tokio::test(start_paused = true)]
async fn tasks_end_with_the_last_clone() {
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive();
    let guards = Guards::with(Ops::builder("orders").check(hanging()));
    let Guards { ops, router } = guards;
    seconds(3).await;
    // Driver, heartbeat, check.
    assert!(alive() >= before + 3);
    drop(ops.clone());
    drop(ops);
    seconds(3).await;
    assert!(alive() >= before + 3, "the console holds it");
    drop(router);
    seconds(3).await;
    assert_eq!(alive(), before);
}

fn hanging() -> tower_keep::ops::health::Check {
    tower_keep::ops::health::Check::new("hangs", std::future::pending::<()>)
}

/// The end of a hold left the second one rejecting for ever, as the application had set the first.
#[tokio::test(start_paused = true)]
async fn hold_of_guards_of_one_name_makes_none_what_another_was() {
    let guards = Guards::start();
    let breakers = [(); 2].map(|()| CircuitBreaker::new("control-twins"));
    breakers[0].force_open();
    let hold = |seconds| json!({"action": "hold_closed", "seconds": seconds, "reason": "x"});
    guards.act("control-twins", hold(60)).await;
    seconds(61).await;
    assert_eq!(
        breakers.each_ref().map(|breaker| breaker.state().as_str()),
        ["closed"; 2]
    );
    // As long as they are alike, it is as for one.
    breakers.iter().for_each(CircuitBreaker::force_open);
    guards.act("control-twins", hold(60)).await;
    seconds(61).await;
    assert_eq!(
        breakers.each_ref().map(|breaker| breaker.state().as_str()),
        ["forced_open"; 2]
    );
}

/// The journal is gone after a restart.
#[tokio::test(start_paused = true)]
async fn controls_are_in_the_log_in_one_line_each() {
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Lines(lines.clone()));
    ask_all_subscribers();
    let _default = tracing::subscriber::set_default(subscriber.finish());
    let guards = Guards::start();
    let _breaker = CircuitBreaker::new("control-log");
    let body = json!({"action": "shadow", "seconds": 60, "reason": "a \"test\", one\ntwo"});
    assert_eq!(guards.act("control-log", body).await, StatusCode::OK);
    let text = String::from_utf8(lines.lock().expect("no panic").clone()).expect("text");
    let line = text.lines().find(|line| line.contains("tower_keep::ops"));
    let line = line.expect("a line");
    for part in [
        "WARN",
        "kind=\"control\"",
        "subject=\"control-log\"",
        "who=\"mira\"",
        "guard_kind=\"circuit_breaker\"",
        // Once, and not in quotes of its own; what is escaped is escaped again by this format.
        "text=\"shadow for 60 s: a \\\"test\\\", one\\\\ntwo\"",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[derive(Clone)]
struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}
