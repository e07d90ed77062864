use tower_keep::ops::health::{Check, Health, HealthStatus};

use super::support::*;

#[tokio::test(start_paused = true)]
async fn panicking_check_has_failed_and_is_run_again() {
    let runs = Counter::default();
    let counter = runs.clone();
    let check = Check::new("db", move || {
        let run = counter.add();
        async move { assert!(run > 0, "no pool") }
    });
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    let db = component(&health.snapshot(), "db");
    assert_eq!(
        db,
        (HealthStatus::Unhealthy, "panicked: no pool".to_owned())
    );
    tokio::time::sleep(secs(33)).await;
    assert_eq!(status(&health, "db"), HealthStatus::Healthy);
    assert_eq!(runs.get(), 2);
}
