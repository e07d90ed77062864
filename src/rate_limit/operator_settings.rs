//! The settings that operators change by the registry.

use std::time::Duration;

use super::{
    RateLimitSettings,
    settings::{MAX_RATE_PER_SECOND, MAX_TIME},
};
use crate::registry::Setting;

/// The rate of one call a day.
const MIN_RATE_PER_SECOND: f64 = 1.0 / 86_400.0;
/// More at once is no limit any more.
const MAX_BURST: u32 = 10_000_000;

/// Returns the settings with their values and ranges.
pub(super) fn list(settings: &RateLimitSettings) -> Vec<Setting> {
    let rates = MIN_RATE_PER_SECOND..=MAX_RATE_PER_SECOND;
    let times = Duration::ZERO..=MAX_TIME;
    vec![
        Setting::number("rate_per_second", settings.rate_per_second(), rates),
        Setting::count("burst", settings.effective_burst(), 1..=MAX_BURST),
        Setting::seconds("max_wait_seconds", settings.max_wait, times),
    ]
}

/// Returns the settings with one changed; `None` if there is none of this name.
pub(super) fn with(
    settings: &RateLimitSettings,
    setting: &str,
    value: Option<f64>,
) -> Option<RateLimitSettings> {
    let (mut settings, value) = (settings.clone(), value?);
    match setting {
        // The period stays: it says what the rate is meant for.
        "rate_per_second" => settings.rate = value * settings.period.as_secs_f64(),
        "burst" => settings.burst = Some(value as u32),
        "max_wait_seconds" => settings.max_wait = Duration::from_secs_f64(value),
        _ => return None,
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rate_limit::{KeyedRateLimit, RateLimit},
        registry,
    };

    #[test]
    fn rate_limit_is_set_by_the_registry_and_keeps_what_was_used() {
        let minute = Duration::from_secs(60);
        let limit = RateLimit::builder("set by the registry").rate(30, minute);
        let limit = limit.build().expect("valid");
        limit.check_n(20).expect("of the burst");
        let set = |setting, value| registry::set("rate_limit", limit.name(), setting, value);
        assert_eq!(set("burst", Some(50.0)), Ok(1));
        assert_eq!(limit.available(), 30);
        assert_eq!(set("rate_per_second", Some(2.0)), Ok(1));
        assert_eq!(set("max_wait_seconds", Some(0.25)), Ok(1));
        let settings = limit.settings();
        assert_eq!((settings.rate, settings.period), (120.0, minute));
        assert_eq!(settings.max_wait, Duration::from_millis(250));
        let values: Vec<_> = list(&settings).iter().map(Setting::value).collect();
        assert_eq!(values, [Some(2.0), Some(50.0), Some(0.25)]);
        for (setting, value) in [
            ("rate_per_second", Some(0.0)),
            ("rate_per_second", None),
            ("burst", Some(1.5)),
            ("max_wait_seconds", Some(1e6)),
        ] {
            let error = set(setting, value).expect_err("not allowed");
            assert_eq!(error.field(), setting);
        }
        assert_eq!(limit.settings(), settings);
        // A bucket must be full again within a year.
        let error = set("burst", Some(10_000_000.0)).and(set("rate_per_second", Some(0.001)));
        assert_eq!(error.expect_err("too slow").field(), "burst");
    }

    #[test]
    fn keyed_rate_limit_is_set_by_the_registry() {
        let name = "set by the registry for all keys";
        let limits = KeyedRateLimit::new(name);
        let set = |value| registry::set("keyed_rate_limit", name, "burst", value);
        assert_eq!(set(Some(7.0)), Ok(1));
        assert_eq!(limits.available("a key"), 7);
    }
}
