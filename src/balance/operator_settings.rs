//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    BalanceSettings,
    settings::{MAX_PENALTY, MAX_TIME, MIN_DECAY, MIN_SLOW_START},
};
use crate::registry::Setting;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &BalanceSettings) -> Vec<Setting> {
    vec![
        Setting::number("max_ejected", settings.max_ejected, 0.0..=1.0),
        Setting::seconds("decay_seconds", settings.decay, MIN_DECAY..=MAX_TIME),
        Setting::seconds(
            "failure_penalty_seconds",
            settings.failure_penalty,
            Duration::ZERO..=MAX_PENALTY,
        ),
        Setting::seconds(
            "slow_start_seconds",
            settings.slow_start,
            MIN_SLOW_START..=MAX_TIME,
        )
        .or_off(),
    ]
}

/// Changes one of the settings. An unknown one changes nothing.
pub(super) fn set(settings: &mut BalanceSettings, setting: &str, value: Option<f64>) {
    match (setting, value) {
        ("max_ejected", Some(value)) => settings.max_ejected = value,
        ("decay_seconds", Some(value)) => settings.decay = Duration::from_secs_f64(value),
        ("failure_penalty_seconds", Some(value)) => {
            settings.failure_penalty = Duration::from_secs_f64(value);
        }
        ("slow_start_seconds", value) => settings.slow_start = value.map(Duration::from_secs_f64),
        _ => {}
    }
}
