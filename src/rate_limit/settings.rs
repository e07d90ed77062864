use std::time::Duration;

use super::{
    RateAlgorithm,
    quota::Quota,
    sliding_window,
    ticks::{duration, ticks, ticks_up},
};
use crate::{call::ConfigError, util::setting_changes::SettingChanges};

#[cfg(feature = "serde")]
use crate::util::setting_serde::{self, optional_duration};

/// High enough for most services of one process, low enough that a loop that has run wild is noticed.
const DEFAULT_RATE: f64 = 100.0;
const DEFAULT_PERIOD: Duration = Duration::from_secs(1);
/// Long enough to even out a burst, short enough that the caller of a server still waits.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(1);
/// The maximum of retries: a peer that asks for more is not obeyed to the letter.
const DEFAULT_MAX_PAUSE: Duration = Duration::from_secs(30);
/// The longest wait and the longest pause: a day, as of a `Retry-After`.
pub(super) const MAX_TIME: Duration = Duration::from_secs(86_400);
/// Within this time an empty bucket must be full again.
const MAX_REFILL: Duration = Duration::from_secs(365 * 86_400);
/// More could not be counted in ticks of 16 ns without an error of more than a percent.
pub(super) const MAX_RATE_PER_SECOND: f64 = 1_000_000.0;

/// The settings of a rate limit as plain values, for a file or a control plane.
///
/// [`RateLimitBuilder::settings`](super::RateLimitBuilder::settings) builds a limit with them, [`RateLimit::apply`](super::RateLimit::apply)
/// changes those of a live one. Both check the values as `build` does. What each field does, and its default, is said at
/// the setter of the same name.
///
/// In a file (feature `serde`) durations have a unit, what is switched off is `"off"`, a field that is absent has its
/// default, and a field that does not exist is an error:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use std::time::Duration;
/// use tower_keep::rate_limit::{RateLimit, RateLimitSettings};
///
/// let file = r#"
///     rate = 5
///     period = "1m"
///     burst = 20
///     max_pause = "off"
/// "#;
/// let settings: RateLimitSettings = toml::from_str(file).unwrap();
/// let limit = RateLimit::builder("login").settings(&settings).build().unwrap();
/// assert_eq!(limit.settings().period, Duration::from_secs(60));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct RateLimitSettings {
    /// The number of calls in each [period](super::RateLimitBuilder::rate). Default: 100.
    pub rate: f64,
    /// The [period](super::RateLimitBuilder::rate) of the rate. Default: 1 s.
    #[cfg_attr(feature = "serde", serde(with = "setting_serde::duration"))]
    pub period: Duration,
    /// The number of calls that may come [at once](super::RateLimitBuilder::burst). `None`, absent in a file, is the
    /// default: the rate, rounded up.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub burst: Option<u32>,
    /// The longest [wait](super::RateLimitBuilder::max_wait) of calls that wait instead of being rejected. Default: 1 s.
    #[cfg_attr(feature = "serde", serde(with = "setting_serde::duration"))]
    pub max_wait: Duration,
    /// The longest [pause](super::RateLimitBuilder::max_pause) that a peer can ask for when it is called too often. `None`
    /// ignores peers. Default: 30 s.
    #[cfg_attr(feature = "serde", serde(with = "optional_duration"))]
    pub max_pause: Option<Duration>,
    /// `true` for [shadow mode](super::RateLimitBuilder::shadow). Default: `false`.
    pub shadow: bool,
    /// The [algorithm](super::RateLimitBuilder::algorithm): in a file `gcra`, `fixed_window` or `sliding_window`. Default: `gcra`.
    pub algorithm: RateAlgorithm,
}

impl RateLimitSettings {
    /// Checks each setting as `build` and `apply` do, for the limit of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        self.quota(name).map(drop)
    }

    /// Returns the calls per second.
    pub(super) fn rate_per_second(&self) -> f64 {
        self.rate / self.period.as_secs_f64()
    }

    /// Returns the burst, the default included.
    pub(super) fn effective_burst(&self) -> u32 {
        // As a cast does it: a rate above all bursts is that of the largest one.
        self.burst.unwrap_or(self.rate.ceil() as u32)
    }

    /// Returns the quota of valid settings.
    pub(super) fn quota(&self, name: &str) -> Result<Quota, ConfigError> {
        self.check_rate(name)?;
        let burst = self.effective_burst();
        let interval = Duration::try_from_secs_f64(self.period.as_secs_f64() / self.rate);
        // Rounded up: at most the rate, never more.
        let interval = ticks_up(interval.unwrap_or(Duration::MAX)).max(1);
        let capacity = interval.saturating_mul(u64::from(burst));
        if burst == 0 || capacity > ticks(MAX_REFILL) {
            let max = ticks(MAX_REFILL) / interval;
            let expected = match max {
                0 => "at least 1, and the rate at least 1 per year".to_owned(),
                _ => format!("1 to {max}, which come back within a year"),
            };
            return invalid(name, "burst", burst.to_string(), &expected);
        }
        self.check_waits(name)?;
        let quota = Quota::new(self.algorithm, interval, burst);
        if self.algorithm == RateAlgorithm::SlidingWindow {
            check_window(name, quota, capacity)?;
        }
        Ok(quota)
    }

    fn check_rate(&self, name: &str) -> Result<(), ConfigError> {
        let (rate, period) = (self.rate, self.period);
        if period.is_zero() || period > MAX_TIME {
            let expected = "above zero and at most a day";
            return invalid(name, "period", format!("{period:?}"), expected);
        }
        // Negated, so that NaN is invalid.
        if !(rate > 0.0 && self.rate_per_second() <= MAX_RATE_PER_SECOND) {
            let expected = "above 0 and at most 1000000 per second";
            return invalid(name, "rate", format!("{rate} per {period:?}"), expected);
        }
        Ok(())
    }

    fn check_waits(&self, name: &str) -> Result<(), ConfigError> {
        let (wait, pause) = (Some(self.max_wait), self.max_pause);
        for (field, time) in [("max_wait", wait), ("max_pause", pause)] {
            if let Some(time) = time.filter(|time| *time > MAX_TIME) {
                return invalid(name, field, format!("{time:?}"), "at most a day");
            }
        }
        Ok(())
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &RateLimitSettings) -> SettingChanges {
        // Names every field, so that a new one is not forgotten.
        let RateLimitSettings {
            rate,
            period,
            burst,
            max_wait,
            max_pause,
            shadow,
            algorithm,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("rate", rate, &to.rate);
        changes.compare("period", period, &to.period);
        changes.compare_optional("burst", "default", burst, &to.burst);
        changes.compare("max_wait", max_wait, &to.max_wait);
        changes.compare_optional("max_pause", "off", max_pause, &to.max_pause);
        changes.compare("shadow", shadow, &to.shadow);
        let [from, to] = [algorithm, &to.algorithm].map(|it| it.as_str());
        changes.compare("algorithm", &from, &to);
        changes
    }
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        RateLimitSettings {
            rate: DEFAULT_RATE,
            period: DEFAULT_PERIOD,
            burst: None,
            max_wait: DEFAULT_MAX_WAIT,
            max_pause: Some(DEFAULT_MAX_PAUSE),
            shadow: false,
            algorithm: RateAlgorithm::default(),
        }
    }
}

pub(super) fn component(name: &str) -> String {
    format!("rate limit {name:?}")
}

/// Checks a sliding window, whose counts have a word in common.
fn check_window(name: &str, quota: Quota, capacity: u64) -> Result<(), ConfigError> {
    if quota.burst() > sliding_window::MAX_BURST {
        let expected = "1 to 4095 with a sliding window";
        return invalid(name, "burst", quota.burst().to_string(), expected);
    }
    if capacity < ticks(Duration::from_secs(1)) {
        let window = format!("a window of {:?}", duration(capacity));
        let expected = "one whose windows, burst / rate, are a second or longer";
        return invalid(name, "algorithm", window, expected);
    }
    Ok(())
}

fn invalid<T>(
    name: &str,
    field: &'static str,
    value: String,
    expected: &str,
) -> Result<T, ConfigError> {
    Err(ConfigError::new(component(name), field, value, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings(rate: f64, period: Duration, burst: Option<u32>) -> RateLimitSettings {
        RateLimitSettings {
            rate,
            period,
            burst,
            ..RateLimitSettings::default()
        }
    }

    #[test]
    fn quota_has_the_interval_of_the_rate_and_the_burst() {
        for (rate, period, burst, interval, cells) in [
            (100.0, SECOND, None, SECOND / 100, 100),
            (5.0, 60 * SECOND, None, 12 * SECOND, 5),
            (0.5, SECOND, None, 2 * SECOND, 1),
            (2.5, SECOND, None, SECOND * 2 / 5, 3),
            (1.0, SECOND, Some(20), SECOND, 20),
            (1_000_000.0, SECOND, Some(7), Duration::from_nanos(1_008), 7),
        ] {
            let quota = settings(rate, period, burst).quota("api").expect("valid");
            assert_eq!(quota.interval, ticks(interval), "{rate} per {period:?}");
            assert_eq!(quota.burst(), cells);
        }
    }

    #[test]
    fn invalid_settings_are_named_with_what_is_allowed() {
        let valid = RateLimitSettings::default();
        let day = Duration::from_secs(86_400);
        let invalid = |settings: RateLimitSettings| {
            let error = settings.check("api").expect_err("invalid");
            let text = error.to_string();
            text.strip_prefix(r#"rate limit "api": "#)
                .expect("the component")
                .to_owned()
        };
        for (rate, value) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (f64::NAN, "NaN"),
            (2e6, "2000000"),
        ] {
            assert_eq!(
                invalid(settings(rate, SECOND, None)),
                format!("rate is {value} per 1s, must be above 0 and at most 1000000 per second")
            );
        }
        for period in [Duration::ZERO, 2 * day] {
            assert_eq!(
                invalid(settings(1.0, period, None)),
                format!("period is {period:?}, must be above zero and at most a day")
            );
        }
        assert_eq!(
            invalid(settings(1.0, day, Some(366))),
            "burst is 366, must be 1 to 365, which come back within a year"
        );
        assert_eq!(
            invalid(settings(1e-9, day, None)),
            "burst is 1, must be at least 1, and the rate at least 1 per year"
        );
        assert!(invalid(settings(1.0, SECOND, Some(0))).starts_with("burst is 0, must be 1 to "));
        assert_eq!(
            invalid(RateLimitSettings {
                max_wait: 2 * day,
                ..valid.clone()
            }),
            "max_wait is 172800s, must be at most a day"
        );
        assert_eq!(
            invalid(RateLimitSettings {
                max_pause: Some(2 * day),
                ..valid
            }),
            "max_pause is 172800s, must be at most a day"
        );
    }

    #[test]
    fn changes_have_every_field() {
        let before = RateLimitSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = RateLimitSettings {
            rate: 5.0,
            period: 60 * SECOND,
            burst: Some(7),
            max_wait: Duration::ZERO,
            max_pause: None,
            shadow: true,
            algorithm: RateAlgorithm::FixedWindow,
        };
        let text = "rate: 100.0 -> 5.0, period: 1s -> 60s, burst: default -> 7, \
                    max_wait: 1s -> 0ns, max_pause: 30s -> off, shadow: false -> true, \
                    algorithm: \"gcra\" -> \"fixed_window\"";
        assert_eq!(before.changes(&after).text(), text);
    }
}
