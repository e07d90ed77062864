use std::time::Duration;

use super::validate::validate;
use crate::{call::ConfigError, util::setting_changes::SettingChanges};

#[cfg(feature = "serde")]
use crate::util::setting_serde::{duration, duration_or_default, optional, optional_duration};

/// The window of Polly: long enough to see ten calls a minute, short enough to forget yesterday's outage.
const DEFAULT_WINDOW: (Duration, usize) = (Duration::from_secs(30), 10);
const DEFAULT_PROBES: u32 = 3;
/// Longer than most attempts' own time limits. Those end a probe that hangs, and a slow answer is not taken for none.
const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a breaker as plain values, for a file or a control plane.
///
/// [`CircuitBreakerBuilder::settings`](super::CircuitBreakerBuilder::settings) builds a breaker with them.
/// [`CircuitBreaker::apply`](super::CircuitBreaker::apply) changes those of a live one, as does `apply` of a
/// [`KeyedBreaker`](super::KeyedBreaker::apply) and of a [`BreakerRegistry`](super::BreakerRegistry::apply). All of them
/// check the values as `build` does. What each field does, and its default, is said at the setter of the same name. Hooks,
/// the name, the seed and the switch are no settings.
///
/// # In a file
///
/// With the feature `serde`. Durations are text with a unit, what is switched off is `"off"`, a field that is absent has
/// its default, and a field that does not exist is an error that lists the allowed names:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use std::{collections::BTreeMap, time::Duration};
/// use tower_keep::breaker::BreakerSettings;
///
/// let file = r#"
///     [payments]
///     failure_rate = 0.2
///     slow_call = "250ms"
///     max_open_time = "2m"
///
///     [quotes]
///     failure_rate = "off"
///     consecutive_failures = 5
/// "#;
/// let settings: BTreeMap<String, BreakerSettings> = toml::from_str(file).unwrap();
/// assert_eq!(settings["payments"].slow_call, Some(Duration::from_millis(250)));
/// assert_eq!(settings["quotes"].failure_rate, None);
/// assert_eq!(settings["quotes"].open_time, BreakerSettings::default().open_time);
/// # }
/// ```
///
/// # In code
///
/// ```
/// use tower_keep::{CircuitBreaker, breaker::BreakerSettings};
///
/// let mut settings = BreakerSettings::default();
/// settings.failure_rate = Some(0.2);
/// let breaker = CircuitBreaker::builder("payments").settings(&settings).build()?;
/// assert_eq!(breaker.settings(), settings);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// The time whose calls are [counted](super::CircuitBreakerBuilder::time_window). Not used with a count window.
    /// Default: 30 s.
    #[cfg_attr(feature = "serde", serde(with = "duration"))]
    pub time_window: Duration,
    /// The number of buckets of the [time window](super::CircuitBreakerBuilder::time_window). Default: 10.
    pub time_window_buckets: usize,
    /// The number of calls that are [counted](super::CircuitBreakerBuilder::count_window) instead of those of the time
    /// window. Default: off.
    #[cfg_attr(feature = "serde", serde(with = "optional"))]
    pub count_window: Option<usize>,
    /// The number of calls from which on rates are [evaluated](super::CircuitBreakerBuilder::min_calls). `None`, absent in
    /// a file, is the default: 20, or all of a smaller count window.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub min_calls: Option<u32>,
    /// The fraction of failed calls that [opens](super::CircuitBreakerBuilder::failure_rate) the circuit. Default: 0.5.
    #[cfg_attr(feature = "serde", serde(with = "optional"))]
    pub failure_rate: Option<f64>,
    /// The number of failures in a row that [opens](super::CircuitBreakerBuilder::consecutive_failures) the circuit.
    /// Default: off.
    #[cfg_attr(feature = "serde", serde(with = "optional"))]
    pub consecutive_failures: Option<u32>,
    /// The time to the head from which on a call is [slow](super::CircuitBreakerBuilder::slow_call). Default: off.
    #[cfg_attr(feature = "serde", serde(with = "optional_duration"))]
    pub slow_call: Option<Duration>,
    /// The fraction of slow calls that [opens](super::CircuitBreakerBuilder::slow_rate) the circuit. Default: off.
    #[cfg_attr(feature = "serde", serde(with = "optional"))]
    pub slow_rate: Option<f64>,
    /// The time for which the circuit is [open](super::CircuitBreakerBuilder::open_time) at first. Default: 5 s.
    #[cfg_attr(feature = "serde", serde(with = "duration"))]
    pub open_time: Duration,
    /// The factor by which the open time [grows](super::CircuitBreakerBuilder::open_backoff). Default: 2.
    pub open_backoff: f64,
    /// The [maximum](super::CircuitBreakerBuilder::max_open_time) of the open time. `None`, absent in a file, is the
    /// default: 60 s, or the open time if that is longer.
    #[cfg_attr(
        feature = "serde",
        serde(with = "duration_or_default", skip_serializing_if = "Option::is_none")
    )]
    pub max_open_time: Option<Duration>,
    /// The fraction of the open time by which it is randomly [extended](super::CircuitBreakerBuilder::open_jitter).
    /// Default: 0.5.
    pub open_jitter: f64,
    /// The number of [probes](super::CircuitBreakerBuilder::probes). Default: 3.
    pub probes: u32,
    /// The fraction of probes that must [succeed](super::CircuitBreakerBuilder::probe_success_ratio). Default: 0.5.
    pub probe_success_ratio: f64,
    /// The [time](super::CircuitBreakerBuilder::probe_timeout) that a probe may take. Default: 30 s.
    #[cfg_attr(feature = "serde", serde(with = "duration"))]
    pub probe_timeout: Duration,
    /// `true` for [shadow mode](super::CircuitBreakerBuilder::shadow). Default: `false`.
    pub shadow: bool,
    /// The maximum of the time that a [peer asks for](super::CircuitBreakerBuilder::open_on_retry_after). Default: off.
    #[cfg_attr(feature = "serde", serde(with = "optional_duration"))]
    pub open_on_retry_after: Option<Duration>,
}

impl BreakerSettings {
    /// Checks each setting as `build` and `apply` do, for the handle of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        validate(name, self).map(drop)
    }

    /// Returns the settings of textbooks: one probe decides after five failures in a row.
    pub(super) fn classic() -> Self {
        BreakerSettings {
            count_window: Some(100),
            failure_rate: None,
            consecutive_failures: Some(5),
            open_time: Duration::from_secs(30),
            open_backoff: 1.0,
            open_jitter: 0.0,
            probes: 1,
            ..BreakerSettings::default()
        }
    }

    /// Returns whether calls are counted by the same window.
    pub(super) fn has_window_of(&self, other: &BreakerSettings) -> bool {
        let time_window = |settings: &BreakerSettings| {
            let is_used = settings.count_window.is_none();
            is_used.then_some((settings.time_window, settings.time_window_buckets))
        };
        self.count_window == other.count_window && time_window(self) == time_window(other)
    }

    /// Returns what differs from these settings in others.
    pub(crate) fn changes(&self, to: &BreakerSettings) -> SettingChanges {
        // Names every field, so that a new one is not forgotten.
        let BreakerSettings {
            time_window,
            time_window_buckets,
            count_window,
            min_calls,
            failure_rate,
            consecutive_failures,
            slow_call,
            slow_rate,
            open_time,
            open_backoff,
            max_open_time,
            open_jitter,
            probes,
            probe_success_ratio,
            probe_timeout,
            shadow,
            open_on_retry_after,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("time_window", time_window, &to.time_window);
        changes.compare(
            "time_window_buckets",
            time_window_buckets,
            &to.time_window_buckets,
        );
        changes.compare_optional("count_window", "off", count_window, &to.count_window);
        changes.compare_optional("min_calls", "default", min_calls, &to.min_calls);
        changes.compare_optional("failure_rate", "off", failure_rate, &to.failure_rate);
        changes.compare_optional(
            "consecutive_failures",
            "off",
            consecutive_failures,
            &to.consecutive_failures,
        );
        changes.compare_optional("slow_call", "off", slow_call, &to.slow_call);
        changes.compare_optional("slow_rate", "off", slow_rate, &to.slow_rate);
        changes.compare("open_time", open_time, &to.open_time);
        changes.compare("open_backoff", open_backoff, &to.open_backoff);
        changes.compare_optional("max_open_time", "default", max_open_time, &to.max_open_time);
        changes.compare("open_jitter", open_jitter, &to.open_jitter);
        changes.compare("probes", probes, &to.probes);
        changes.compare(
            "probe_success_ratio",
            probe_success_ratio,
            &to.probe_success_ratio,
        );
        changes.compare("probe_timeout", probe_timeout, &to.probe_timeout);
        changes.compare("shadow", shadow, &to.shadow);
        changes.compare_optional(
            "open_on_retry_after",
            "off",
            open_on_retry_after,
            &to.open_on_retry_after,
        );
        changes
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings {
            time_window: DEFAULT_WINDOW.0,
            time_window_buckets: DEFAULT_WINDOW.1,
            count_window: None,
            min_calls: None,
            failure_rate: Some(0.5),
            consecutive_failures: None,
            slow_call: None,
            slow_rate: None,
            open_time: Duration::from_secs(5),
            open_backoff: 2.0,
            max_open_time: None,
            open_jitter: 0.5,
            probes: DEFAULT_PROBES,
            probe_success_ratio: 0.5,
            probe_timeout: DEFAULT_PROBE_TIMEOUT,
            shadow: false,
            open_on_retry_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_name_the_fields_with_both_values() {
        let before = BreakerSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = BreakerSettings {
            failure_rate: None,
            slow_call: Some(Duration::from_millis(1_500)),
            max_open_time: Some(Duration::from_secs(7)),
            shadow: true,
            ..before.clone()
        };
        let text = "failure_rate: 0.5 -> off, slow_call: off -> 1.5s, max_open_time: default -> 7s, \
                    shadow: false -> true";
        assert_eq!(before.changes(&after).text(), text);
    }

    #[test]
    fn changes_have_every_field() {
        let before = BreakerSettings::default();
        let second = Duration::from_secs(1);
        let after = BreakerSettings {
            time_window: second,
            time_window_buckets: 1,
            count_window: Some(2),
            min_calls: Some(1),
            failure_rate: Some(0.1),
            consecutive_failures: Some(5),
            slow_call: Some(second),
            slow_rate: Some(0.2),
            open_time: second,
            open_backoff: 1.0,
            max_open_time: Some(second),
            open_jitter: 0.0,
            probes: 1,
            probe_success_ratio: 1.0,
            probe_timeout: second,
            shadow: true,
            open_on_retry_after: Some(second),
        };
        let changes = before.changes(&after);
        let text = "time_window: 30s -> 1s, time_window_buckets: 10 -> 1, count_window: off -> 2, \
                    min_calls: default -> 1, failure_rate: 0.5 -> 0.1, consecutive_failures: off -> 5, \
                    slow_call: off -> 1s, slow_rate: off -> 0.2, open_time: 5s -> 1s, \
                    open_backoff: 2.0 -> 1.0, max_open_time: default -> 1s, open_jitter: 0.5 -> 0.0, \
                    probes: 3 -> 1, probe_success_ratio: 0.5 -> 1.0, probe_timeout: 30s -> 1s, \
                    shadow: false -> true, open_on_retry_after: off -> 1s";
        assert_eq!(changes.text(), text);
    }

    #[test]
    fn window_is_that_of_other_settings_if_what_it_counts_is_the_same() {
        let time = BreakerSettings::default();
        let count = BreakerSettings {
            count_window: Some(5),
            ..time.clone()
        };
        let longer = |settings: &BreakerSettings| BreakerSettings {
            time_window: Duration::from_secs(31),
            ..settings.clone()
        };
        let finer = |settings: &BreakerSettings| BreakerSettings {
            time_window_buckets: 11,
            ..settings.clone()
        };
        let strict = BreakerSettings {
            failure_rate: Some(0.1),
            ..time.clone()
        };
        assert!(time.has_window_of(&strict));
        assert!(count.has_window_of(&longer(&count)) && count.has_window_of(&finer(&count)));
        for other in [longer(&time), finer(&time), count.clone()] {
            assert!(!time.has_window_of(&other) && !other.has_window_of(&time));
        }
        let more = BreakerSettings {
            count_window: Some(6),
            ..count.clone()
        };
        assert!(!count.has_window_of(&more));
    }
}
