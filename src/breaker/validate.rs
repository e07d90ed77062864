//! Checks the settings of a breaker.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{config::BreakerConfig, settings::BreakerSettings};
use crate::{
    call::{ConfigError, check_fraction, check_range, fraction_hint},
    util::text::truncate,
};

/// The minimum of Hystrix: a rate of fewer calls says little.
const DEFAULT_MIN_CALLS: u32 = 20;
/// A circuit that re-opens again and again still notices a recovery within a minute.
const DEFAULT_MAX_OPEN_TIME: Duration = Duration::from_secs(60);
/// More probes than these are no probes any more, but the traffic itself.
pub(super) const MAX_PROBES: u32 = 1_000;
const MAX_BUCKETS: usize = 1_000;
const MAX_COUNT_WINDOW: usize = 10_000;
/// A longer name is no name that a program gives, and would be a costly label.
pub(super) const MAX_NAME_LEN: usize = 256;

/// Checks the settings of the breaker of this name, and computes what follows from them.
///
/// # Errors
///
/// Returns an error that names the first setting that is invalid.
pub(super) fn validate(
    name: &str,
    settings: &BreakerSettings,
) -> Result<BreakerConfig, ConfigError> {
    validate_time_window(name, settings)?;
    let capacity = validate_count_window(name, settings)?;
    let min_calls = validate_min_calls(name, settings, capacity)?;
    validate_thresholds(name, settings)?;
    validate_times(name, settings)?;
    Ok(BreakerConfig {
        min_calls,
        max_open_time: validate_open_backoff(name, settings)?,
        probes_required: validate_probes(name, settings)?,
        settings: settings.clone(),
    })
}

/// Checks settings by name, for a registry of at most so many names.
///
/// # Errors
///
/// Returns an error that names the first breaker and its setting that is invalid.
pub(super) fn validate_named(
    settings: &BTreeMap<String, BreakerSettings>,
    max_names: usize,
) -> Result<BTreeMap<String, BreakerConfig>, ConfigError> {
    let error = |field, value: String, expected| {
        Err(ConfigError::new("breaker registry", field, value, expected))
    };
    if settings.len() > max_names {
        let value = format!("for {} names", settings.len());
        return error("settings", value, format!("for at most {max_names} names"));
    }
    if let Some(name) = settings.keys().find(|name| name.len() > MAX_NAME_LEN) {
        let value = format!("{:?}.. of {} bytes", truncate(name, 64), name.len());
        return error("name", value, format!("at most {MAX_NAME_LEN} bytes"));
    }
    let checked = settings.iter().map(|(name, settings)| {
        let config = validate(name, settings)?;
        Ok((name.clone(), config))
    });
    checked.collect()
}

fn validate_time_window(name: &str, settings: &BreakerSettings) -> Result<(), ConfigError> {
    let (window, buckets) = (settings.time_window, settings.time_window_buckets);
    if !(1..=MAX_BUCKETS).contains(&buckets) {
        let value = format!("in {buckets} buckets");
        return Err(invalid(name, "time_window", value, "in 1 to 1000 buckets"));
    }
    if window / (buckets as u32) < Duration::from_millis(1) {
        let value = format!("{window:?} in {buckets} buckets");
        let expected = "at least a millisecond for each bucket";
        return Err(invalid(name, "time_window", value, expected));
    }
    Ok(())
}

/// Returns how many calls the window holds.
fn validate_count_window(name: &str, settings: &BreakerSettings) -> Result<u32, ConfigError> {
    match settings.count_window {
        None => Ok(u32::MAX),
        Some(calls @ 1..=MAX_COUNT_WINDOW) => Ok(calls as u32),
        Some(calls) => Err(invalid(name, "count_window", calls, "1 to 10000")),
    }
}

/// Returns the minimum of calls: the default, or all of a smaller count window, if none is set.
pub(super) fn effective_min_calls(settings: &BreakerSettings) -> u32 {
    let capacity = settings.count_window.unwrap_or(usize::MAX);
    let default = DEFAULT_MIN_CALLS.min(u32::try_from(capacity).unwrap_or(u32::MAX));
    settings.min_calls.unwrap_or(default)
}

fn validate_min_calls(
    name: &str,
    settings: &BreakerSettings,
    capacity: u32,
) -> Result<u32, ConfigError> {
    let calls = effective_min_calls(settings);
    if !(1..=capacity).contains(&calls) {
        let expected = format!("1 to {capacity}, which is all that the window holds");
        return Err(invalid(name, "min_calls", calls, expected));
    }
    Ok(calls)
}

fn validate_thresholds(name: &str, settings: &BreakerSettings) -> Result<(), ConfigError> {
    for (field, rate) in [
        ("failure_rate", settings.failure_rate),
        ("slow_rate", settings.slow_rate),
        ("probe_success_ratio", Some(settings.probe_success_ratio)),
    ] {
        if let Some(rate) = rate {
            check_positive_fraction(name, field, rate)?;
        }
    }
    check_fraction(&component(name), "open_jitter", settings.open_jitter)?;
    if settings.consecutive_failures == Some(0) {
        return Err(invalid(name, "consecutive_failures", 0, "at least 1"));
    }
    if settings.slow_rate.is_some() && settings.slow_call.is_none() {
        let expected = "set, or slow_rate has no effect";
        return Err(invalid(name, "slow_call", "not set", expected));
    }
    Ok(())
}

fn validate_times(name: &str, settings: &BreakerSettings) -> Result<(), ConfigError> {
    for (field, time) in [
        ("slow_call", settings.slow_call),
        ("open_time", Some(settings.open_time)),
        ("probe_timeout", Some(settings.probe_timeout)),
        ("open_on_retry_after", settings.open_on_retry_after),
    ] {
        check_not_zero(name, field, time)?;
    }
    Ok(())
}

/// Checks that a time, if there is one, is longer than zero.
pub(super) fn check_not_zero(
    name: &str,
    field: &'static str,
    time: Option<Duration>,
) -> Result<(), ConfigError> {
    if time == Some(Duration::ZERO) {
        return Err(invalid(name, field, "0s", "above zero"));
    }
    Ok(())
}

/// Returns the maximum of the open time.
fn validate_open_backoff(name: &str, settings: &BreakerSettings) -> Result<Duration, ConfigError> {
    let open_time = settings.open_time;
    // A longer open time raises the default. A maximum that was set below it is a contradiction.
    let default_max = DEFAULT_MAX_OPEN_TIME.max(open_time);
    let max_open_time = settings.max_open_time.unwrap_or(default_max);
    if max_open_time < open_time {
        let value = format!("{max_open_time:?}");
        let expected = format!("at least open_time, {open_time:?}");
        return Err(invalid(name, "max_open_time", value, expected));
    }
    let backoff = settings.open_backoff;
    // Negated, so that NaN is invalid.
    if !(backoff >= 1.0 && backoff.is_finite()) {
        return Err(invalid(name, "open_backoff", backoff, "at least 1"));
    }
    Ok(max_open_time)
}

/// Returns how many probes must succeed.
fn validate_probes(name: &str, settings: &BreakerSettings) -> Result<u32, ConfigError> {
    let (probes, ratio) = (settings.probes, settings.probe_success_ratio);
    check_range(&component(name), "probes", probes, 1..=MAX_PROBES)?;
    // Divided, not multiplied: 0.07 of 100 probes is more than 7 in floating point.
    let reaches_ratio = |successes: &u32| f64::from(*successes) / f64::from(probes) >= ratio;
    Ok((1..=probes).find(reaches_ratio).unwrap_or(probes))
}

fn check_positive_fraction(name: &str, field: &'static str, rate: f64) -> Result<(), ConfigError> {
    if rate > 0.0 && rate <= 1.0 {
        return Ok(());
    }
    let expected = format!("above 0 and at most 1{}", fraction_hint(rate));
    Err(invalid(name, field, rate, expected))
}

fn component(name: &str) -> String {
    format!("breaker {name:?}")
}

pub(super) fn invalid(
    name: &str,
    field: &'static str,
    value: impl fmt::Display,
    expected: impl Into<String>,
) -> ConfigError {
    ConfigError::new(component(name), field, value, expected)
}
