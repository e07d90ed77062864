//! Settings that are changed while calls use them.

use std::time::Duration;

use futures_util::poll;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError,
    timeout::{TimeLimits, TimeLimitsSettings, TimeoutLayer, TimeoutSettings, Timeouts},
};
use tracing::Level;

use super::{HOUR, MILLI, SECOND, elapsed};
use crate::support::logs::logs;

fn settings(attempt: Duration, total: Duration) -> TimeoutSettings {
    let mut settings = TimeoutSettings::default();
    settings.attempt = Some(attempt);
    settings.total = total;
    settings
}

#[tokio::test(start_paused = true)]
async fn call_keeps_the_limits_with_which_it_began() -> Result<(), BoxError> {
    let timeouts = Timeouts::builder("api")
        .settings(&settings(2 * SECOND, HOUR))
        .build()?;
    let layer = TimeoutLayer::any(timeouts.attempt());
    let service = layer.layer(service_fn(async |()| {
        tokio::time::sleep(HOUR).await;
        Ok::<_, BoxError>(())
    }));
    let mut before = Box::pin(service.clone().oneshot(()));
    assert!(poll!(&mut before).is_pending());
    timeouts.apply(&settings(MILLI, SECOND))?;
    let error = service.oneshot(()).await.expect_err("late");
    assert_eq!(elapsed(&error).limit(), Some(MILLI));
    let error = before.await.expect_err("late");
    assert_eq!(elapsed(&error).limit(), Some(2 * SECOND));
    Ok(())
}

#[test]
fn applied_timeouts_are_logged_if_they_change_something() -> Result<(), BoxError> {
    let logs = logs();
    let timeouts = Timeouts::new("api");
    timeouts.apply(&TimeoutSettings::default())?;
    assert!(logs.events("tower_keep::timeout").is_empty());
    for _ in 0..2 {
        timeouts.apply(&settings(SECOND, 20 * SECOND))?;
        let [event] = &logs.events("tower_keep::timeout")[..] else {
            panic!("one event expected");
        };
        assert_eq!(event.level, Level::INFO);
        assert_eq!(event.get("message"), "time limit settings applied");
        assert_eq!(event.get("timeouts"), "api");
        assert_eq!(
            event.get("changes"),
            "attempt: 10s -> 1s, total: 30s -> 20s"
        );
    }
    timeouts
        .apply(&settings(HOUR, SECOND))
        .expect_err("above the total");
    assert_eq!(logs.events("tower_keep::timeout").len(), 1);
    // A limit that was set by itself is changed as well.
    timeouts.total().set(SECOND / 2);
    timeouts.apply(&settings(SECOND, 20 * SECOND))?;
    let last = logs.events("tower_keep::timeout").pop().expect("an event");
    assert_eq!(
        last.get("changes"),
        "attempt: 500ms -> 1s, total: 500ms -> 20s"
    );
    Ok(())
}

#[test]
fn applied_time_limits_are_logged_if_they_change_something() -> Result<(), BoxError> {
    let logs = logs();
    let limits = TimeLimits::builder().build()?;
    let mut settings = TimeLimitsSettings::default();
    limits.apply(&settings)?;
    assert!(logs.events("tower_keep::timeout").is_empty());
    settings.limits.insert("db".to_owned(), SECOND);
    settings.limits.insert("otherwise".to_owned(), SECOND);
    for _ in 0..2 {
        limits.apply(&settings)?;
        let [event] = &logs.events("tower_keep::timeout")[..] else {
            panic!("one event expected");
        };
        assert_eq!(event.level, Level::INFO);
        assert_eq!(event.get("message"), "time limit settings applied");
        assert_eq!(event.get("changes"), "db: 5s -> 1s, otherwise: 30s -> 1s");
    }
    Ok(())
}
