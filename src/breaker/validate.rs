//! Checks the settings of a breaker.

use std::{fmt, time::Duration};

use super::builder::{CircuitBreakerBuilder, DEFAULT_MIN_CALLS};
use crate::call::{ConfigError, check_fraction};

/// More probes than these are no probes any more, but the traffic itself.
const MAX_PROBES: u32 = 1_000;
const MAX_BUCKETS: usize = 1_000;
const MAX_COUNT_WINDOW: usize = 10_000;

/// Finds the first invalid setting, and fills in the settings that depend on others.
pub(super) fn validate(builder: &mut CircuitBreakerBuilder) -> Result<(), ConfigError> {
    let capacity = validate_window(builder)?;
    validate_min_calls(builder, capacity)?;
    validate_thresholds(builder)?;
    validate_times(builder)?;
    validate_open_backoff(builder)?;
    validate_probes(builder)
}

/// Returns how many calls the window holds.
fn validate_window(builder: &CircuitBreakerBuilder) -> Result<u32, ConfigError> {
    if let Some(calls) = builder.config.count_window {
        return match calls {
            1..=MAX_COUNT_WINDOW => Ok(calls as u32),
            _ => Err(invalid(builder, "count_window", calls, "1 to 10000")),
        };
    }
    let (window, buckets) = builder.config.time_window;
    if !(1..=MAX_BUCKETS).contains(&buckets) {
        let value = format!("in {buckets} buckets");
        return Err(invalid(
            builder,
            "time_window",
            value,
            "in 1 to 1000 buckets",
        ));
    }
    if window / (buckets as u32) < Duration::from_millis(1) {
        let value = format!("{window:?} in {buckets} buckets");
        let expected = "at least a millisecond for each bucket";
        return Err(invalid(builder, "time_window", value, expected));
    }
    Ok(u32::MAX)
}

fn validate_min_calls(
    builder: &mut CircuitBreakerBuilder,
    capacity: u32,
) -> Result<(), ConfigError> {
    let calls = builder.min_calls.unwrap_or(DEFAULT_MIN_CALLS.min(capacity));
    if !(1..=capacity).contains(&calls) {
        let expected = format!("1 to {capacity}, which is all that the window holds");
        return Err(invalid(builder, "min_calls", calls, expected));
    }
    builder.config.min_calls = calls;
    Ok(())
}

fn validate_thresholds(builder: &CircuitBreakerBuilder) -> Result<(), ConfigError> {
    let config = &builder.config;
    for (field, rate) in [
        ("failure_rate", config.failure_rate),
        ("slow_rate", config.slow_rate),
        ("probe_success_ratio", Some(config.probe_success_ratio)),
    ] {
        if let Some(rate) = rate {
            check_positive_fraction(builder, field, rate)?;
        }
    }
    check_fraction(&component(builder), "open_jitter", config.open_jitter)?;
    if config.consecutive_failures == Some(0) {
        return Err(invalid(builder, "consecutive_failures", 0, "at least 1"));
    }
    if config.slow_rate.is_some() && config.slow_call.is_none() {
        let expected = "set, or slow_rate has no effect";
        return Err(invalid(builder, "slow_call", "not set", expected));
    }
    Ok(())
}

fn validate_times(builder: &CircuitBreakerBuilder) -> Result<(), ConfigError> {
    let config = &builder.config;
    let retry_after = &builder.retry_after;
    for (field, time) in [
        ("slow_call", config.slow_call),
        ("open_time", Some(config.open_time)),
        ("probe_timeout", Some(config.probe_timeout)),
        ("open_on_retry_after", retry_after.max_retry_after),
        (
            "open_on_head",
            retry_after.head_fn.as_ref().map(|head| head.0),
        ),
    ] {
        if time == Some(Duration::ZERO) {
            return Err(invalid(builder, field, "0s", "above zero"));
        }
    }
    Ok(())
}

fn validate_open_backoff(builder: &mut CircuitBreakerBuilder) -> Result<(), ConfigError> {
    let config = &builder.config;
    // A longer open time raises the default. A maximum that was set below it is a contradiction.
    let default_max = config.max_open_time.max(config.open_time);
    let max_open_time = builder.max_open_time.unwrap_or(default_max);
    if max_open_time < config.open_time {
        let value = format!("{max_open_time:?}");
        let expected = format!("at least open_time, {:?}", config.open_time);
        return Err(invalid(builder, "max_open_time", value, expected));
    }
    let backoff = config.open_backoff;
    // Negated, so that NaN is invalid.
    if !(backoff >= 1.0 && backoff.is_finite()) {
        return Err(invalid(builder, "open_backoff", backoff, "at least 1"));
    }
    builder.config.max_open_time = max_open_time;
    Ok(())
}

fn validate_probes(builder: &mut CircuitBreakerBuilder) -> Result<(), ConfigError> {
    let config = &mut builder.config;
    let (probes, ratio) = (config.probes, config.probe_success_ratio);
    if !(1..=MAX_PROBES).contains(&probes) {
        return Err(invalid(builder, "probes", probes, "1 to 1000"));
    }
    // Divided, not multiplied: 0.07 of 100 probes is more than 7 in floating point.
    let reaches_ratio = |successes: &u32| f64::from(*successes) / f64::from(probes) >= ratio;
    config.probes_required = (1..=probes).find(reaches_ratio).unwrap_or(probes);
    Ok(())
}

fn check_positive_fraction(
    builder: &CircuitBreakerBuilder,
    field: &'static str,
    rate: f64,
) -> Result<(), ConfigError> {
    if rate > 0.0 && rate <= 1.0 {
        return Ok(());
    }
    // Looks like a percentage.
    let hint = if rate > 1.0 && rate <= 100.0 {
        format!(" (a fraction; did you mean {}?)", rate / 100.0)
    } else {
        " (a fraction)".to_owned()
    };
    let expected = format!("above 0 and at most 1{hint}");
    Err(invalid(builder, field, rate, expected))
}

fn component(builder: &CircuitBreakerBuilder) -> String {
    format!("breaker {:?}", builder.name)
}

pub(super) fn invalid(
    builder: &CircuitBreakerBuilder,
    field: &'static str,
    value: impl fmt::Display,
    expected: impl Into<String>,
) -> ConfigError {
    ConfigError::new(component(builder), field, value, expected)
}
