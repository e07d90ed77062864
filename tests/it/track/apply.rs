//! Settings that are changed while calls use them.

use std::time::Duration;

use axum::body::Body;
use tower::ServiceExt;
use tower_keep::{
    BoxError, observe,
    track::{SlowThresholds, TrackSettings},
};
use tracing::Level;

use super::{shop, track};
use crate::support::{local, logs::logs, meter::meter};

const SLOW: SlowThresholds =
    SlowThresholds::new(Duration::from_nanos(1), Duration::from_secs(3_600));

/// Settings that log no success.
fn quiet() -> TrackSettings {
    let mut settings = TrackSettings::default();
    settings.sample = 0.0;
    settings
}

#[tokio::test]
async fn access_log_is_sampled_as_the_settings_say_with_which_a_call_began() -> Result<(), BoxError>
{
    let logs = logs();
    let track = track().build()?;
    let app = shop().layer(observe(track.clone()).server());
    let call = async || {
        let response = app.clone().oneshot(local("/orders/7")).await?;
        axum::body::to_bytes(response.into_body(), 100).await?;
        Ok::<_, BoxError>(())
    };
    call().await?;
    assert_eq!(logs.calls().len(), 1);
    let before = app.clone().oneshot(local("/orders/7")).await?;
    track.apply(&quiet())?;
    call().await?;
    assert_eq!(logs.calls().len(), 1);
    drop(axum::body::to_bytes(before.into_body(), 100).await?);
    assert_eq!(logs.calls().len(), 2, "it began before");
    let mut off = TrackSettings::default();
    off.access_log = false;
    track.apply(&off)?;
    call().await?;
    assert_eq!(logs.calls().len(), 2);
    track.apply(&TrackSettings::default())?;
    call().await?;
    assert_eq!(logs.calls().len(), 3);
    Ok(())
}

#[tokio::test]
async fn slow_calls_are_counted_as_the_settings_say_with_which_they_began() -> Result<(), BoxError>
{
    let meter = meter();
    let track = track().build()?;
    let app = shop().layer(observe(track.clone()).server());
    let slow = |target: &str, level: &str| {
        let labels = [("target", target), ("level", level)];
        meter
            .sum("tower_keep_slow_calls_total", &labels)
            .unwrap_or_default()
    };
    let begin = async |path: &str| app.clone().oneshot(local(path)).await;
    let end = async |body: Body| axum::body::to_bytes(body, 100).await;
    let before = begin("/orders/7").await?;
    let mut settings = TrackSettings::default();
    settings.slow_routes.insert("/orders/{id}".to_owned(), SLOW);
    track.apply(&settings)?;
    end(before.into_body()).await?;
    assert_eq!(slow("/orders/{id}", "warning"), 0.0);
    for path in ["/orders/7", "/livez"] {
        end(begin(path).await?.into_body()).await?;
    }
    assert_eq!(slow("/orders/{id}", "warning"), 1.0);
    assert_eq!(slow("/livez", "warning"), 0.0);
    settings.slow = Some(SLOW);
    settings.slow_routes.clear();
    let before = begin("/livez").await?;
    track.apply(&settings)?;
    end(before.into_body()).await?;
    assert_eq!(slow("/livez", "warning"), 0.0);
    for path in ["/orders/7", "/livez"] {
        end(begin(path).await?.into_body()).await?;
    }
    assert_eq!(slow("/orders/{id}", "warning"), 2.0);
    assert_eq!(slow("/livez", "warning"), 1.0);
    Ok(())
}

#[tokio::test]
async fn slow_route_that_is_applied_has_a_label_while_there_is_one() -> Result<(), BoxError> {
    for (max_targets, label, slow) in [(2, "/orders/{id}", Some(1.0)), (1, "_OTHER", None)] {
        let meter = meter();
        let track = track().max_targets(max_targets).build()?;
        let app = shop().layer(observe(track.clone()).server());
        app.clone().oneshot(local("/livez")).await?;
        let mut settings = TrackSettings::default();
        settings.slow_routes.insert("/orders/{id}".to_owned(), SLOW);
        track.apply(&settings)?;
        app.oneshot(local("/orders/7")).await?;
        let calls = meter.sum("tower_keep_calls_total", &[("http_route", label)]);
        assert_eq!(calls, Some(1.0), "{max_targets}");
        let is_slow = meter.sum("tower_keep_slow_calls_total", &[("target", label)]);
        assert_eq!(is_slow, slow, "{max_targets}");
    }
    Ok(())
}

#[test]
fn applied_settings_are_logged_if_they_change_something() -> Result<(), BoxError> {
    let logs = logs();
    let track = track().build()?;
    track.apply(&TrackSettings::default())?;
    assert!(logs.events("tower_keep::track").is_empty());
    for _ in 0..2 {
        track.apply(&quiet())?;
        let [event] = &logs.events("tower_keep::track")[..] else {
            panic!("one event expected");
        };
        assert_eq!(event.level, Level::INFO);
        assert_eq!(event.get("message"), "tracker settings applied");
        assert_eq!(event.get("service"), "shop");
        assert_eq!(event.get("changes"), "sample: 1.0 -> 0.0");
    }
    let mut invalid = TrackSettings::default();
    invalid.sample = 2.0;
    track.apply(&invalid).expect_err("no fraction");
    assert_eq!(track.settings(), quiet());
    assert_eq!(logs.events("tower_keep::track").len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_succeed_while_settings_change() -> Result<(), BoxError> {
    let track = track().build()?;
    let app = shop().layer(observe(track.clone()).server());
    let callers = (0..4).map(|_| {
        let app = app.clone();
        tokio::spawn(async move {
            for _ in 0..500 {
                let response = app.clone().oneshot(local("/livez")).await;
                assert_eq!(response.expect("infallible").status(), 200);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut slow = quiet();
    slow.slow_routes.insert("/livez".to_owned(), SLOW);
    while !callers.iter().all(|caller| caller.is_finished()) {
        for settings in [&quiet(), &slow, &TrackSettings::default()] {
            track.apply(settings)?;
        }
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await?;
    }
    Ok(())
}
