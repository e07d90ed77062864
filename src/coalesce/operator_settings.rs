//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    CoalesceSettings,
    settings::{
        MAX_BODY_BYTES, MAX_BYTES_IN_FLIGHT, MAX_JOIN_AGE, MAX_KEYS, MAX_WAITERS, MIN_JOIN_AGE,
    },
};
use crate::registry::Setting;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &CoalesceSettings) -> Vec<Setting> {
    vec![
        Setting::count("max_keys", settings.max_keys, 1..=MAX_KEYS),
        Setting::count("max_waiters", settings.max_waiters, 1..=MAX_WAITERS),
        Setting::count(
            "max_body_bytes",
            settings.max_body_bytes,
            1..=MAX_BODY_BYTES,
        ),
        Setting::count(
            "max_bytes_in_flight",
            settings.max_bytes_in_flight,
            1..=MAX_BYTES_IN_FLIGHT,
        ),
        Setting::seconds(
            "max_join_age_seconds",
            settings.max_join_age,
            MIN_JOIN_AGE..=MAX_JOIN_AGE,
        )
        .or_off(),
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &CoalesceSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<CoalesceSettings> {
    let mut settings = settings.clone();
    match (setting, value) {
        ("max_join_age_seconds", age) => {
            settings.max_join_age = age.map(Duration::from_secs_f64);
        }
        ("max_keys", Some(keys)) => settings.max_keys = keys as u32,
        ("max_waiters", Some(calls)) => settings.max_waiters = calls as u32,
        ("max_body_bytes", Some(bytes)) => settings.max_body_bytes = bytes as u32,
        ("max_bytes_in_flight", Some(bytes)) => settings.max_bytes_in_flight = bytes as u32,
        _ => return None,
    }
    Some(settings)
}
