//! The settings of a breaker that an operator may change by the registry.

use std::time::Duration;

use super::{settings::BreakerSettings, validate};
use crate::registry::Setting;

/// A day: nobody waits for longer.
const MAX_TIME: Duration = Duration::from_secs(24 * 3_600);
const MIN_TIME: Duration = Duration::from_millis(1);
/// Of calls: all that a window by count can hold.
const MAX_CALLS: u32 = 10_000;

/// Returns the settings with their values.
pub(super) fn list(settings: &BreakerSettings) -> Vec<Setting> {
    let rate = |name, value: Option<f64>| Setting::number(name, value, 0.001..=1.0).or_off();
    let time = |name, value: Option<Duration>| Setting::seconds(name, value, MIN_TIME..=MAX_TIME);
    let count = |name, value: Option<u32>| Setting::count(name, value, 1..=MAX_CALLS);
    vec![
        rate("failure_rate", settings.failure_rate),
        rate("slow_rate", settings.slow_rate),
        time("slow_call_seconds", settings.slow_call).or_off(),
        count("consecutive_failures", settings.consecutive_failures).or_off(),
        count("min_calls", Some(validate::effective_min_calls(settings))),
        time("open_time_seconds", Some(settings.open_time)),
        Setting::count("probes", settings.probes, 1..=validate::MAX_PROBES),
        time("probe_timeout_seconds", Some(settings.probe_timeout)),
    ]
}

/// Returns the settings with one of them changed to a value that it allows; `None` if there is no such setting.
pub(super) fn with(
    settings: &BreakerSettings,
    name: &str,
    value: Option<f64>,
) -> Option<BreakerSettings> {
    let mut settings = settings.clone();
    let time = value.map(Duration::from_secs_f64);
    let count = value.map(|value| value as u32);
    match (name, time, count) {
        ("failure_rate", ..) => settings.failure_rate = value,
        ("slow_rate", ..) => settings.slow_rate = value,
        ("slow_call_seconds", ..) => settings.slow_call = time,
        ("consecutive_failures", ..) => settings.consecutive_failures = count,
        ("min_calls", _, Some(_)) => settings.min_calls = count,
        ("open_time_seconds", Some(time), _) => settings.open_time = time,
        ("probes", _, Some(count)) => settings.probes = count,
        ("probe_timeout_seconds", Some(time), _) => settings.probe_timeout = time,
        _ => return None,
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        breaker::{CircuitBreaker, KeyedBreaker},
        registry,
    };

    #[test]
    fn settings_are_changed_one_by_one() {
        let mut settings = BreakerSettings {
            slow_call: Some(Duration::from_secs(2)),
            slow_rate: Some(0.5),
            consecutive_failures: Some(5),
            ..BreakerSettings::default()
        };
        for setting in list(&settings) {
            let changed = if setting.is_whole() { 7.0 } else { 0.25 };
            settings = with(&settings, setting.name(), Some(changed)).expect("known");
            let now = list(&settings);
            let found = now.iter().find(|each| each.name() == setting.name());
            assert_eq!(found.expect("listed").value(), Some(changed));
            let off = with(&settings, setting.name(), None);
            assert_eq!(off.is_some(), setting.can_be_off(), "{}", setting.name());
        }
        assert!(validate::validate("all", &settings).is_ok());
        assert_eq!(with(&settings, "open_jitter", Some(0.5)), None);
    }

    #[test]
    fn breaker_is_set_by_the_registry() {
        let breaker = CircuitBreaker::new("set by the registry");
        let set = |setting, value| registry::set("circuit_breaker", breaker.name(), setting, value);
        assert_eq!(set("consecutive_failures", Some(3.0)), Ok(1));
        assert_eq!(set("failure_rate", None), Ok(1));
        let settings = breaker.settings();
        assert_eq!(settings.consecutive_failures, Some(3));
        assert_eq!(settings.failure_rate, None);
        assert_eq!(set("none of these", Some(1.0)), Ok(0));
        let error = set("slow_rate", Some(0.5)).expect_err("there is no slow call");
        assert_eq!(error.field(), "slow_call");
        assert_eq!(breaker.settings(), settings);
    }

    #[test]
    fn keyed_breaker_is_set_for_all_keys_by_the_registry() {
        let name = "keys set by the registry";
        let keyed: KeyedBreaker<u8> = KeyedBreaker::builder(CircuitBreaker::builder(name))
            .build()
            .expect("valid");
        let present = keyed.get_owned(1);
        let set = |value| registry::set("keyed_circuit_breaker", name, "probes", Some(value));
        assert_eq!(set(9.0), Ok(1));
        assert_eq!(set(0.0).expect_err("too few").field(), "probes");
        for breaker in [present, keyed.get_owned(2)] {
            assert_eq!(breaker.settings().probes, 9);
        }
    }
}
