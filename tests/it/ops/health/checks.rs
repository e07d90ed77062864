//! The meaning of results.

use std::io;

use tokio::time::sleep;
use tower::service_fn;
use tower_keep::{
    CircuitBreaker,
    ops::health::{Check, CheckResult, Health, HealthStatus},
};

use super::support::*;

fn spawn(check: Check) -> Health {
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    health
}

#[tokio::test(start_paused = true)]
async fn closure_may_return_nothing_a_status_a_result_or_an_error() {
    let failed = || async { Err::<(), _>(io::Error::other("refused by redis://:hunter2@cache")) };
    let health = Health::builder("orders")
        .check(Check::new("nothing", || async {}))
        .check(Check::new("status", || async { HealthStatus::Degraded }))
        .check(Check::new("result", || async {
            CheckResult::degraded("40 s behind")
        }))
        .check(Check::new("ok", || async {
            Ok::<_, io::Error>(CheckResult::unknown("no leader"))
        }))
        .check(Check::new("error", failed))
        .check(Check::new("text", || async { Err::<(), _>("no pool") }))
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    let snapshot = health.snapshot();
    for (name, status, text) in [
        ("nothing", HealthStatus::Healthy, ""),
        ("status", HealthStatus::Degraded, ""),
        ("result", HealthStatus::Degraded, "40 s behind"),
        ("ok", HealthStatus::Unknown, "no leader"),
        (
            "error",
            HealthStatus::Unhealthy,
            "refused by redis://REDACTED@cache",
        ),
        ("text", HealthStatus::Unhealthy, "no pool"),
    ] {
        assert_eq!(
            component(&snapshot, name),
            (status, text.to_owned()),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn slow_check_is_degraded_and_has_its_durations() {
    let check = Check::new("db", || sleep(ms(300))).slower_than(ms(250));
    let health = spawn(check);
    sleep(ms(1_400)).await;
    let snapshot = health.snapshot();
    let slow = "answers in 300 ms, limit 250 ms".to_owned();
    assert_eq!(component(&snapshot, "db"), (HealthStatus::Degraded, slow));
    let db = snapshot.component("db").expect("there");
    assert_eq!(
        (db.last, db.average, db.worst),
        (Some(ms(300)), Some(ms(300)), Some(ms(300)))
    );
    assert_eq!((db.runs, db.failures), (1, 0));
    assert!(db.checked_at.is_some() && db.next_at > db.checked_at);
}

#[tokio::test(start_paused = true)]
async fn threshold_delays_unhealthy_and_one_success_recovers() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        let works = !(1..4).contains(&counter.add());
        async move { if works { Ok(()) } else { Err("refused") } }
    });
    let health = spawn(check.failures(3).interval(secs(10)));
    let mut statuses = Vec::new();
    for run in 1..=5 {
        while runs.get() < run {
            sleep(ms(100)).await;
        }
        statuses.push(status(&health, "db"));
    }
    use HealthStatus::*;
    assert_eq!(statuses, [Healthy, Degraded, Degraded, Unhealthy, Healthy]);
}

#[tokio::test(start_paused = true)]
async fn breaker_is_checked_at_each_transition() {
    let breaker = CircuitBreaker::new("payments");
    let health = spawn(Check::breaker(&breaker).interval(secs(3_600)));
    first_runs().await;
    assert_eq!(status(&health, "payments"), HealthStatus::Healthy);
    let mut watch = health.watch();
    breaker.force_open();
    let open =
        |latest: &std::sync::Arc<_>| component(latest, "payments").0 == HealthStatus::Unhealthy;
    let begin = tokio::time::Instant::now();
    watch.wait_for(open).await.expect("open");
    assert!(begin.elapsed() < secs(1), "{:?}", begin.elapsed());
    breaker.reset();
    let closed =
        |latest: &std::sync::Arc<_>| component(latest, "payments").0 == HealthStatus::Healthy;
    watch.wait_for(closed).await.expect("closed");
    assert!(begin.elapsed() < secs(1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn service_is_healthy_if_it_responds() {
    let works = service_fn(async |_: &'static str| Ok::<_, io::Error>("pong"));
    let fails = service_fn(async |_: &'static str| Err::<(), _>(io::Error::other("no leader")));
    let client = service_fn(async |request: http::Request<()>| {
        let status = if request.uri().path() == "/ok" {
            204
        } else {
            429
        };
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        Ok::<_, io::Error>(response)
    });
    let get = |path: &str| http::Request::get(path).body(()).expect("a request");
    let health = Health::builder("orders")
        .check(Check::service("works", works, "ping"))
        .check(Check::service("fails", fails, "ping"))
        .check(Check::http_service("ok", client, get("/ok")))
        .check(Check::http_service("busy", client, get("/busy")))
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    let snapshot = health.snapshot();
    for (name, status, text) in [
        ("works", HealthStatus::Healthy, ""),
        ("fails", HealthStatus::Unhealthy, "no leader"),
        ("ok", HealthStatus::Healthy, ""),
        ("busy", HealthStatus::Unhealthy, "responds 429"),
    ] {
        assert_eq!(
            component(&snapshot, name),
            (status, text.to_owned()),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn runtime_that_is_not_late_is_healthy() {
    let health = spawn(Check::runtime_lag(ms(100)));
    first_runs().await;
    sleep(ms(60)).await;
    assert_eq!(status(&health, "runtime"), HealthStatus::Healthy);
}
