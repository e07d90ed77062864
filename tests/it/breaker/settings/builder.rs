use std::time::Duration;

use tower_keep::{
    CircuitBreaker,
    breaker::{BreakerSettings, CircuitBreakerBuilder},
};

use super::{invalid, with};

const SECOND: Duration = Duration::from_secs(1);

fn built(builder: CircuitBreakerBuilder) -> BreakerSettings {
    builder.build().expect("valid settings").settings()
}

#[test]
fn settings_of_a_builder_equal_its_setters() {
    let set = |change: fn(&mut BreakerSettings)| {
        let builder = CircuitBreaker::builder("b").settings(&with(change));
        built(builder)
    };
    let builder = || CircuitBreaker::builder("b");
    for (settings, setters) in [
        (set(|_| {}), builder()),
        (
            set(|s| (s.time_window, s.time_window_buckets) = (SECOND, 7)),
            builder().time_window(SECOND, 7),
        ),
        (set(|s| s.count_window = Some(9)), builder().count_window(9)),
        (set(|s| s.min_calls = Some(9)), builder().min_calls(9)),
        (set(|s| s.failure_rate = None), builder().failure_rate(None)),
        (
            set(|s| s.consecutive_failures = Some(9)),
            builder().consecutive_failures(9),
        ),
        (
            set(|s| (s.slow_call, s.slow_rate) = (Some(SECOND), Some(0.2))),
            builder().slow_call(SECOND).slow_rate(0.2),
        ),
        (set(|s| s.open_time = SECOND), builder().open_time(SECOND)),
        (set(|s| s.open_backoff = 3.0), builder().open_backoff(3.0)),
        (
            set(|s| s.max_open_time = Some(9 * SECOND)),
            builder().max_open_time(9 * SECOND),
        ),
        (set(|s| s.open_jitter = 0.0), builder().open_jitter(0.0)),
        (set(|s| s.probes = 9), builder().probes(9)),
        (
            set(|s| s.probe_success_ratio = 0.9),
            builder().probe_success_ratio(0.9),
        ),
        (
            set(|s| s.probe_timeout = SECOND),
            builder().probe_timeout(SECOND),
        ),
        (set(|s| s.shadow = true), builder().shadow(true)),
        (
            set(|s| s.open_on_retry_after = Some(SECOND)),
            builder().open_on_retry_after(SECOND),
        ),
    ] {
        assert_eq!(settings, built(setters));
    }
}

#[test]
fn setters_after_settings_override_them() {
    let settings = with(|s| (s.count_window, s.probes) = (Some(9), 9));
    let builder = CircuitBreaker::builder("b").probes(1).settings(&settings);
    assert_eq!(built(builder.clone()), settings);
    let later = built(builder.probes(2).time_window(SECOND, 5));
    assert_eq!((later.probes, later.count_window), (2, None));
}

#[test]
fn default_settings_are_those_of_a_new_breaker() {
    assert_eq!(
        CircuitBreaker::new("b").settings(),
        BreakerSettings::default()
    );
    let classic = built(CircuitBreaker::classic("b"));
    assert_eq!((classic.count_window, classic.probes), (Some(100), 1));
}

#[test]
fn builder_checks_each_field_of_settings() {
    for (change, text) in invalid() {
        let builder = CircuitBreaker::builder("b").settings(&with(change));
        let error = builder.build().expect_err(text).to_string();
        assert_eq!(error, format!("breaker \"b\": {text}"));
    }
}
