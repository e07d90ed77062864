use std::time::Duration;

use crate::call::ConfigError;

/// Long enough for a slow response, short enough that three attempts fit into the total.
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(10);
/// The time that people and load balancers wait for.
const DEFAULT_TOTAL: Duration = Duration::from_secs(30);

/// The settings of [`Timeouts`](super::Timeouts), as a file may have them: for [`TimeoutsBuilder::settings`] and
/// [`Timeouts::apply`].
///
/// In a file (feature `serde`) durations have a unit (`"250ms"`). Settings that are absent have their defaults; unknown ones
/// are errors.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::timeout::{TimeoutSettings, Timeouts};
///
/// # #[cfg(feature = "serde")] {
/// let settings: TimeoutSettings = toml::from_str("attempt = '2s'")?;
/// let timeouts = Timeouts::builder("payments").settings(&settings).build()?;
/// assert_eq!(timeouts.attempt().get(), Duration::from_secs(2));
/// assert_eq!(timeouts.total().get(), Duration::from_secs(30));
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`TimeoutsBuilder::settings`]: super::TimeoutsBuilder::settings
/// [`Timeouts::apply`]: super::Timeouts::apply
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct TimeoutSettings {
    /// The limit of one attempt; `None` for the default, which depends on the total. Must be above zero and at most the
    /// total. Default: 10 s, or the total if that is shorter, so that three attempts fit into the default total.
    #[cfg_attr(
        feature = "serde",
        serde(
            with = "crate::util::setting_serde::duration_or_default",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub attempt: Option<Duration>,
    /// The limit of all attempts together. Must be above zero. Default: 30 s, which people and load balancers wait for.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub total: Duration,
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        TimeoutSettings {
            attempt: None,
            total: DEFAULT_TOTAL,
        }
    }
}

impl TimeoutSettings {
    /// Returns the limit of one attempt, the default included.
    pub(super) fn effective_attempt(&self) -> Duration {
        self.attempt.unwrap_or(DEFAULT_ATTEMPT.min(self.total))
    }

    /// Checks each setting as `build` and `apply` do, for the handle of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let error = |field, time: Duration, expected| {
            let component = format!("timeouts {name:?}");
            Err(ConfigError::new(
                component,
                field,
                format!("{time:?}"),
                expected,
            ))
        };
        let (attempt, total) = (self.effective_attempt(), self.total);
        // The total first, since the attempt is compared with it.
        if total.is_zero() {
            return error("total", total, "above 0".to_owned());
        }
        if attempt.is_zero() || attempt > total {
            let expected = format!("above 0 and at most total, {total:?}");
            return error("attempt", attempt, expected);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn attempt_defaults_to_10_seconds_or_a_shorter_total() {
        for (total, attempt) in [(30, 10), (11, 10), (10, 10), (9, 9)] {
            let settings = TimeoutSettings {
                attempt: None,
                total: total * SECOND,
            };
            assert_eq!(settings.effective_attempt(), attempt * SECOND);
            assert_eq!(settings.check("api"), Ok(()));
        }
    }

    #[test]
    fn attempt_is_above_zero_and_at_most_the_total() {
        let nano = Duration::from_nanos(1);
        for (attempt, total, error) in [
            (SECOND, SECOND, None),
            (nano, SECOND, None),
            (
                SECOND + nano,
                SECOND,
                Some("attempt is 1.000000001s, must be above 0 and at most total, 1s"),
            ),
            (
                Duration::ZERO,
                SECOND,
                Some("attempt is 0ns, must be above 0 and at most total, 1s"),
            ),
            (
                SECOND,
                Duration::ZERO,
                Some("total is 0ns, must be above 0"),
            ),
        ] {
            let attempt = Some(attempt);
            let validated = TimeoutSettings { attempt, total }.check("api");
            let text = validated.err().map(|error| error.to_string());
            let expected = error.map(|error| format!("timeouts \"api\": {error}"));
            assert_eq!(text, expected);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn settings_are_read_as_they_were_written() {
        for attempt in [None, Some(SECOND / 4)] {
            let settings = TimeoutSettings {
                attempt,
                total: SECOND,
            };
            let text = toml::to_string(&settings).expect("TOML");
            assert_eq!(
                toml::from_str::<TimeoutSettings>(&text),
                Ok(settings),
                "{text}"
            );
        }
        assert_eq!(
            toml::from_str::<TimeoutSettings>(""),
            Ok(TimeoutSettings::default())
        );
        let error = toml::from_str::<TimeoutSettings>("total = '1s'\nattempts = '1s'");
        let error = error.expect_err("no such setting").to_string();
        for part in ["line 2", "attempts", "expected `attempt` or `total`"] {
            assert!(error.contains(part), "{error}");
        }
        let error = toml::from_str::<TimeoutSettings>("attempt = 'off'").expect_err("no duration");
        assert!(
            error.to_string().contains("a duration with its unit"),
            "{error}"
        );
    }
}
