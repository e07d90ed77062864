//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    ThrottleSettings,
    settings::{MAX_CALLS, MAX_FACTOR, MAX_WINDOW, MIN_WINDOW},
};
use crate::registry::Setting;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &ThrottleSettings) -> Vec<Setting> {
    vec![
        Setting::number("factor", settings.factor, 1.0..=MAX_FACTOR),
        Setting::number("max_rejection_rate", settings.max_rejection_rate, 0.0..=1.0),
        Setting::count("min_calls", settings.min_calls, 1..=MAX_CALLS),
        Setting::seconds("window_seconds", settings.window, MIN_WINDOW..=MAX_WINDOW),
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &ThrottleSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<ThrottleSettings> {
    let (mut settings, value) = (settings.clone(), value?);
    match setting {
        "factor" => settings.factor = value,
        "max_rejection_rate" => settings.max_rejection_rate = value,
        "min_calls" => settings.min_calls = value as u32,
        "window_seconds" => settings.window = Duration::from_secs_f64(value),
        _ => return None,
    }
    Some(settings)
}
