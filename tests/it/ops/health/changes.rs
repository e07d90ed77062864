//! The reports of changes: events, the log, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{sync::broadcast::error::TryRecvError, time::sleep};
use tower_keep::ops::health::{Check, Health, HealthStatus};

use super::support::*;
use crate::support::logs::logs;

/// A component that a test switches on and off.
#[derive(Clone)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn new() -> Self {
        Switch(Arc::new(AtomicBool::new(true)))
    }

    fn set(&self, works: bool) {
        self.0.store(works, Ordering::SeqCst);
    }

    fn check(&self, name: &'static str) -> Check {
        let switch = self.clone();
        Check::new(name, move || {
            let works = switch.0.load(Ordering::SeqCst);
            async move { if works { Ok(()) } else { Err("refused") } }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_each_change_with_its_reason() {
    let db = Switch::new();
    let health = Health::builder("orders")
        .check(db.check("db").critical())
        .build()
        .expect("valid");
    let mut changes = health.subscribe();
    health.spawn();
    let change = changes.recv().await.expect("a change");
    assert_eq!(
        (change.from, change.to),
        (HealthStatus::Unknown, HealthStatus::Healthy)
    );
    assert!(health.snapshot().version >= change.version);
    db.set(false);
    let change = changes.recv().await.expect("a change");
    assert_eq!(
        (change.component.as_str(), change.is_critical),
        ("db", true)
    );
    assert_eq!(
        (change.from, change.to),
        (HealthStatus::Healthy, HealthStatus::Unhealthy)
    );
    assert_eq!(
        (change.overall_from, change.overall_to),
        (change.from, change.to)
    );
    assert_eq!(
        (change.text.as_deref(), change.failures),
        (Some("refused"), 1)
    );
    assert_eq!(changes.try_recv().err(), Some(TryRecvError::Empty));
    // It goes on failing, which is no change.
    sleep(secs(200)).await;
    assert_eq!(changes.try_recv().err(), Some(TryRecvError::Empty));
    db.set(true);
    let change = changes.recv().await.expect("a change");
    assert_eq!(
        (change.from, change.to),
        (HealthStatus::Unhealthy, HealthStatus::Healthy)
    );
    assert_eq!((change.text, change.failures), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn log_has_a_line_for_each_change_at_warn_unless_healthy() {
    let logs = logs();
    let db = Switch::new();
    let health = Health::builder("orders")
        .check(db.check("db").critical())
        .build()
        .expect("valid");
    let mut changes = health.subscribe();
    health.spawn();
    for works in [false, true] {
        changes.recv().await.expect("a change");
        db.set(works);
    }
    changes.recv().await.expect("a change");
    let lines = logs.events("tower_keep::health");
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            let [from, to] = [line.get("from"), line.get("to")];
            assert_eq!((line.get("component"), line.get("overall")), ("db", to));
            format!("{} {from} {to} {}", line.level, line.get("reason"))
        })
        .collect();
    let expected = [
        "INFO unknown healthy ",
        "WARN healthy unhealthy refused",
        "INFO unhealthy healthy ",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn watch_has_the_latest_snapshot() {
    let health = Health::builder("orders")
        .check(Switch::new().check("db").critical())
        .build()
        .expect("valid");
    let mut watch = health.watch();
    assert!(!watch.borrow_and_update().is_ready);
    health.spawn();
    watch
        .wait_for(|latest| latest.is_ready)
        .await
        .expect("ready");
    health.begin_shutdown();
    watch.changed().await.expect("a change");
    assert!(!watch.borrow_and_update().is_ready);
}

#[tokio::test(start_paused = true)]
async fn watcher_that_keeps_a_borrowed_snapshot_delays_no_reader() {
    let health = Health::builder("orders").build().expect("valid");
    let watch = health.watch();
    let borrowed = watch.borrow();
    let (writer, reader) = (health.clone(), health.clone());
    // It waits for what is borrowed.
    let writer = std::thread::spawn(move || writer.set_ready(false));
    while reader.snapshot().is_ready {
        std::thread::yield_now();
    }
    assert!(borrowed.is_ready);
    drop(borrowed);
    writer.join().expect("no panic");
    assert!(!watch.borrow().is_ready);
}

#[tokio::test(start_paused = true)]
async fn metrics_have_status_and_duration_of_each_component() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _local = metrics::set_default_local_recorder(&recorder);
    let (db, cache) = (Switch::new(), Switch::new());
    let health = Health::builder("orders")
        .check(db.check("db").interval(secs(10)))
        .check(cache.check("cache").interval(secs(10)).failures(3))
        .build()
        .expect("valid");
    assert!(
        !handle.render().contains("health_check"),
        "nothing was checked yet"
    );
    health.spawn();
    first_runs().await;
    let has = |line: &str| {
        let text = handle.render();
        assert!(text.lines().any(|each| each == line), "{line}\n{text}");
    };
    has(r#"health_check_status{component="db"} 1"#);
    has(r#"health_check_status{component="cache"} 1"#);
    has(r#"health_check_duration_seconds_count{component="db"} 1"#);
    db.set(false);
    cache.set(false);
    sleep(secs(11)).await;
    has(r#"health_check_status{component="db"} 0"#);
    has(r#"health_check_status{component="cache"} 0.5"#);
    has(r#"health_check_duration_seconds_count{component="db"} 2"#);
    has("# TYPE health_check_status gauge");
}
