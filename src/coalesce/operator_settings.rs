//! The settings that operators change by the registry.

use super::{
    CoalesceSettings,
    settings::{MAX_BODY_BYTES, MAX_BYTES_IN_FLIGHT, MAX_KEYS, MAX_WAITERS},
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
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &CoalesceSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<CoalesceSettings> {
    let (mut settings, value) = (settings.clone(), value?);
    match setting {
        "max_keys" => settings.max_keys = value as u32,
        "max_waiters" => settings.max_waiters = value as u32,
        "max_body_bytes" => settings.max_body_bytes = value as u32,
        "max_bytes_in_flight" => settings.max_bytes_in_flight = value as u32,
        _ => return None,
    }
    Some(settings)
}
