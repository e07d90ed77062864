use std::future::pending;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tower_keep::ops::health::{Check, Health, HealthStatus};

use super::support::*;

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_critical_components_and_liveness_does_not() {
    let health = Health::builder("orders")
        .check(Check::new("db", || async {}).critical())
        .build()
        .expect("valid");
    assert_eq!(probe(&health, "/livez").await, (200, "ok".to_owned()));
    assert_eq!(
        probe(&health, "/readyz").await,
        (503, "not ready".to_owned())
    );
    assert_eq!(
        probe(&health, "/startupz").await,
        (503, "not started".to_owned())
    );
    health.spawn();
    first_runs().await;
    for path in ["/livez", "/readyz", "/startupz"] {
        let (status, headers, body) = get(&health, path).await;
        assert_eq!((status.as_u16(), &*body), (200, "ok"), "{path}");
        assert_eq!(headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_check_delays_no_other_and_no_probe() {
    let health = Health::builder("orders")
        .check(Check::new("stuck", || async { pending::<()>().await }))
        .check(Check::new("db", || async {}).critical())
        .build()
        .expect("valid");
    health.spawn();
    first_runs().await;
    assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
    assert_eq!(status(&health, "stuck"), HealthStatus::Unknown);
    tokio::time::sleep(secs(5)).await;
    let stuck = component(&health.snapshot(), "stuck");
    assert_eq!(
        stuck,
        (HealthStatus::Unhealthy, "no answer within 5s".to_owned())
    );
    assert_eq!(health.snapshot().status, HealthStatus::Degraded);
    assert_eq!(probe(&health, "/readyz").await, (200, "ok".to_owned()));
}
