//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    HedgeSettings,
    settings::{
        MAX_DELAY, MAX_HEDGES, MAX_PERCENTILE, MAX_SAMPLES, MAX_WINDOW, MIN_DELAY, MIN_PERCENTILE,
        MIN_SAMPLES, MIN_WINDOW,
    },
};
use crate::registry::Setting;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &HedgeSettings) -> Vec<Setting> {
    let percentiles = MIN_PERCENTILE..=MAX_PERCENTILE;
    vec![
        Setting::count("max_hedges", settings.max_hedges, 0..=MAX_HEDGES),
        Setting::seconds("delay_seconds", settings.delay, MIN_DELAY..=MAX_DELAY).or_off(),
        Setting::number("percentile", settings.percentile, percentiles),
        Setting::count(
            "min_samples",
            settings.min_samples,
            MIN_SAMPLES..=MAX_SAMPLES,
        ),
        Setting::seconds("window_seconds", settings.window, MIN_WINDOW..=MAX_WINDOW),
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &HedgeSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<HedgeSettings> {
    let mut settings = settings.clone();
    match (setting, value) {
        ("delay_seconds", value) => settings.delay = value.map(Duration::from_secs_f64),
        ("max_hedges", Some(hedges)) => settings.max_hedges = hedges as u32,
        ("percentile", Some(fraction)) => settings.percentile = fraction,
        ("min_samples", Some(samples)) => settings.min_samples = samples as u32,
        ("window_seconds", Some(seconds)) => settings.window = Duration::from_secs_f64(seconds),
        _ => return None,
    }
    Some(settings)
}
