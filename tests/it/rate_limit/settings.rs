//! Settings of limits: in the builder, in a file, and changed while they are in use.

use std::time::Duration;

use tokio::time::advance;
use tower_keep::rate_limit::{RateLimit, RateLimitSettings};

use super::{SECOND, builder, limit};
use crate::support::logs::logs;

#[test]
fn build_names_the_invalid_setting() {
    for (builder, field) in [
        (RateLimit::builder("bad").rate(0, SECOND), "rate"),
        (RateLimit::builder("bad").rate(f64::NAN, SECOND), "rate"),
        (RateLimit::builder("bad").rate(1, Duration::ZERO), "period"),
        (RateLimit::builder("bad").burst(0), "burst"),
        (
            RateLimit::builder("bad").max_wait(Duration::MAX),
            "max_wait",
        ),
        (
            RateLimit::builder("bad").max_pause(Duration::MAX),
            "max_pause",
        ),
    ] {
        let error = builder.build().expect_err("invalid");
        assert_eq!(error.field(), field);
        assert!(error.to_string().starts_with(r#"rate limit "bad": "#));
    }
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_read_as_they_were_written() {
    let mut settings = RateLimitSettings::default();
    for burst in [None, Some(7)] {
        settings.burst = burst;
        settings.max_pause = burst.map(|_| SECOND);
        let text = toml::to_string(&settings).expect("TOML");
        assert_eq!(toml::from_str(&text), Ok(settings.clone()), "{text}");
    }
    let empty = toml::from_str::<RateLimitSettings>("").expect("defaults");
    assert_eq!(empty, RateLimitSettings::default());
    let error = toml::from_str::<RateLimitSettings>("rates = 5").expect_err("unknown");
    for name in [
        "rates",
        "rate",
        "period",
        "burst",
        "max_wait",
        "max_pause",
        "shadow",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn applied_settings_change_rate_and_burst_and_keep_what_was_used() {
    let limit = limit(10);
    limit.check_n(8).expect("of the burst");
    let mut settings = limit.settings();
    (settings.rate, settings.burst) = (10.0, Some(20));
    limit.apply(&settings).expect("valid");
    assert_eq!(limit.settings(), settings);
    assert_eq!(limit.available(), 12);
    advance(SECOND / 2).await;
    assert_eq!(limit.available(), 17);
    (settings.rate, settings.burst) = (0.5, Some(2));
    limit.clone().apply(&settings).expect("valid");
    // Three are missing, and two are all that there are.
    let rejection = limit.check().expect_err("used up");
    assert_eq!(rejection.retry_after(), Some(4 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn invalid_settings_change_nothing() {
    let limit = limit(10);
    limit.check_n(8).expect("of the burst");
    let before = limit.settings();
    let mut settings = before.clone();
    (settings.rate, settings.burst) = (10.0, Some(0));
    let error = limit.apply(&settings).expect_err("invalid");
    assert_eq!(error.field(), "burst");
    assert_eq!(limit.settings(), before);
    assert_eq!(limit.available(), 2);
}

#[tokio::test(start_paused = true)]
async fn change_is_logged_once_with_what_has_changed() {
    let (limit, logs) = (limit(10), logs());
    let mut settings = limit.settings();
    settings.rate = 5.0;
    for _ in 0..2 {
        limit.apply(&settings).expect("valid");
    }
    let events = logs.events("tower_keep::rate_limit");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].get("rate_limit"), "peer");
    assert_eq!(events[0].get("changes"), "rate: 1.0 -> 5.0");
}

#[tokio::test(start_paused = true)]
async fn shadow_of_the_settings_and_of_the_handle_are_one() {
    let limit = builder(1).shadow(true).build().expect("valid");
    assert!(limit.is_shadow());
    let mut settings = limit.settings();
    settings.shadow = false;
    limit.apply(&settings).expect("valid");
    assert!(!limit.is_shadow());
    limit.set_shadow(true);
    assert!(limit.settings().shadow);
}
