//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    CacheSettings,
    settings::{MAX_BYTES, MAX_ENTRIES, MAX_TIME, MIN_BYTES, MIN_TTL},
};
use crate::registry::Setting;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &CacheSettings) -> Vec<Setting> {
    let times = Duration::ZERO..=MAX_TIME;
    vec![
        Setting::seconds("ttl_seconds", settings.ttl, MIN_TTL..=MAX_TIME),
        Setting::seconds("stale_if_error_seconds", settings.stale_if_error, times).or_off(),
        Setting::count("max_entries", settings.max_entries, 1..=MAX_ENTRIES),
        Setting::count("max_bytes", settings.max_bytes, MIN_BYTES..=MAX_BYTES),
        Setting::count(
            "max_body_bytes",
            settings.max_body_bytes,
            1..=settings.max_bytes,
        ),
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &CacheSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<CacheSettings> {
    let mut settings = settings.clone();
    match (setting, value) {
        ("stale_if_error_seconds", time) => {
            settings.stale_if_error = time.map(Duration::from_secs_f64);
        }
        ("ttl_seconds", Some(time)) => settings.ttl = Duration::from_secs_f64(time),
        ("max_entries", Some(entries)) => settings.max_entries = entries as u32,
        ("max_bytes", Some(bytes)) => settings.max_bytes = bytes as u32,
        ("max_body_bytes", Some(bytes)) => settings.max_body_bytes = bytes as u32,
        _ => return None,
    }
    Some(settings)
}
