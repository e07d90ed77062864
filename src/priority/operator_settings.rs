//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    PrioritizerSettings,
    settings::{MAX_CALLS, MAX_FACTOR, MAX_FLOOR, MAX_WINDOW, MIN_WINDOW},
};
use crate::registry::Setting;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &PrioritizerSettings) -> Vec<Setting> {
    vec![
        Setting::number("floor", settings.floor, 0.0..=MAX_FLOOR),
        Setting::number("factor", settings.factor, 1.0..=MAX_FACTOR),
        Setting::number("max_shed_rate", settings.max_shed_rate, 0.0..=1.0),
        Setting::count("min_calls", settings.min_calls, 1..=MAX_CALLS),
        Setting::seconds("window_seconds", settings.window, MIN_WINDOW..=MAX_WINDOW),
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &PrioritizerSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<PrioritizerSettings> {
    let (mut settings, value) = (settings.clone(), value?);
    match setting {
        "floor" => settings.floor = value,
        "factor" => settings.factor = value,
        "max_shed_rate" => settings.max_shed_rate = value,
        "min_calls" => settings.min_calls = value as u32,
        "window_seconds" => settings.window = Duration::from_secs_f64(value),
        _ => return None,
    }
    Some(settings)
}
