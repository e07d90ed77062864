use std::time::Duration;

use crate::{call::ConfigError, util::setting_changes::SettingChanges};

/// More calls at once with keys of their own than most processes have, and little memory.
const DEFAULT_MAX_KEYS: u32 = 10_000;
/// A call that waits costs its request and some 100 bytes; more of them than this is a fault of its own.
const DEFAULT_MAX_WAITERS: u32 = 10_000;
/// Most responses of an API are shorter.
const DEFAULT_MAX_BODY_BYTES: u32 = 1024 * 1024;
/// Memory that most processes can spare, and room for 64 of the longest bodies or thousands of usual ones at once.
const DEFAULT_MAX_BYTES_IN_FLIGHT: u32 = 64 * 1024 * 1024;
/// Longer than most calls that end well, and as long as nginx waits for one.
const DEFAULT_MAX_JOIN_AGE: Duration = Duration::from_secs(5);
pub(super) const MAX_KEYS: u32 = 1_000_000;
pub(super) const MAX_WAITERS: u32 = 1_000_000;
pub(super) const MAX_BODY_BYTES: u32 = 1024 * 1024 * 1024;
pub(super) const MAX_BYTES_IN_FLIGHT: u32 = u32::MAX;
/// With less, hardly a call would be joined.
pub(super) const MIN_JOIN_AGE: Duration = Duration::from_millis(1);
pub(super) const MAX_JOIN_AGE: Duration = Duration::from_secs(24 * 3_600);

/// The settings of a [`Coalesce`](super::Coalesce) that a file may have: for
/// [`CoalesceBuilder::settings`](super::CoalesceBuilder::settings) and [`Coalesce::apply`](super::Coalesce::apply).
///
/// In a file (feature `serde`) durations have a unit (`"30s"`). Settings that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::coalesce::{Coalesce, CoalesceSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: CoalesceSettings = toml::from_str("max_waiters = 500")?;
/// let coalesce = Coalesce::builder("quotes").settings(&settings).build()?;
/// assert_eq!(coalesce.settings().max_waiters, 500);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct CoalesceSettings {
    /// The largest number of shared calls in flight. Must be 1 to 1,000,000. Default: 10,000.
    pub max_keys: u32,
    /// The largest number of calls that wait for one shared call. Must be 1 to 1,000,000. Default: 10,000.
    pub max_waiters: u32,
    /// The longest response body that is shared over HTTP, in bytes. Must be 1 to 1,073,741,824. Default: 1 MiB.
    pub max_body_bytes: u32,
    /// The largest sum of the response bodies over HTTP that are shared at a time, or being read for that, in bytes. Must be 1 to
    /// 4,294,967,295. Default: 64 MiB.
    pub max_bytes_in_flight: u32,
    /// The age at which a shared call is not joined any more, so that the next caller makes another one; `None` for never, in a file
    /// `"off"`. Must be 1 ms to 24 h. Default: 5 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional_duration")
    )]
    pub max_join_age: Option<Duration>,
}

impl Default for CoalesceSettings {
    fn default() -> Self {
        CoalesceSettings {
            max_keys: DEFAULT_MAX_KEYS,
            max_waiters: DEFAULT_MAX_WAITERS,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_bytes_in_flight: DEFAULT_MAX_BYTES_IN_FLIGHT,
            max_join_age: Some(DEFAULT_MAX_JOIN_AGE),
        }
    }
}

impl CoalesceSettings {
    /// Checks each setting as `build` and `apply` do, for the handle of this name: to check several settings before the first is
    /// applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let component = || format!("coalesce {name:?}");
        for (field, value, max, expected) in [
            ("max_keys", self.max_keys, MAX_KEYS, "1 to 1000000"),
            ("max_waiters", self.max_waiters, MAX_WAITERS, "1 to 1000000"),
            (
                "max_body_bytes",
                self.max_body_bytes,
                MAX_BODY_BYTES,
                "1 to 1073741824",
            ),
            (
                "max_bytes_in_flight",
                self.max_bytes_in_flight,
                MAX_BYTES_IN_FLIGHT,
                "1 to 4294967295",
            ),
        ] {
            if !(1..=max).contains(&value) {
                return Err(ConfigError::new(component(), field, value, expected));
            }
        }
        let allowed = MIN_JOIN_AGE..=MAX_JOIN_AGE;
        if let Some(age) = self.max_join_age.filter(|age| !allowed.contains(age)) {
            let (value, expected) = (format!("{age:?}"), "1 ms to 24 h, or off");
            return Err(ConfigError::new(
                component(),
                "max_join_age",
                value,
                expected,
            ));
        }
        Ok(())
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &CoalesceSettings) -> SettingChanges {
        let CoalesceSettings {
            max_keys,
            max_waiters,
            max_body_bytes,
            max_bytes_in_flight,
            max_join_age,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("max_keys", max_keys, &to.max_keys);
        changes.compare("max_waiters", max_waiters, &to.max_waiters);
        changes.compare("max_body_bytes", max_body_bytes, &to.max_body_bytes);
        changes.compare(
            "max_bytes_in_flight",
            max_bytes_in_flight,
            &to.max_bytes_in_flight,
        );
        changes.compare_optional("max_join_age", "off", max_join_age, &to.max_join_age);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_every_field() {
        let before = CoalesceSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = CoalesceSettings {
            max_keys: 1,
            max_waiters: 2,
            max_body_bytes: 3,
            max_bytes_in_flight: 4,
            max_join_age: None,
        };
        let text = "max_keys: 10000 -> 1, max_waiters: 10000 -> 2, max_body_bytes: 1048576 -> 3, \
                    max_bytes_in_flight: 67108864 -> 4, max_join_age: 5s -> off";
        assert_eq!(before.changes(&after).text(), text);
    }

    #[test]
    fn settings_that_are_invalid_are_named() {
        let default = CoalesceSettings::default;
        for (field, settings) in [
            (
                "max_keys",
                CoalesceSettings {
                    max_keys: 0,
                    ..default()
                },
            ),
            (
                "max_waiters",
                CoalesceSettings {
                    max_waiters: MAX_WAITERS + 1,
                    ..default()
                },
            ),
            (
                "max_body_bytes",
                CoalesceSettings {
                    max_body_bytes: 0,
                    ..default()
                },
            ),
            (
                "max_bytes_in_flight",
                CoalesceSettings {
                    max_bytes_in_flight: 0,
                    ..default()
                },
            ),
            (
                "max_join_age",
                CoalesceSettings {
                    max_join_age: Some(Duration::ZERO),
                    ..default()
                },
            ),
            (
                "max_join_age",
                CoalesceSettings {
                    max_join_age: Some(MAX_JOIN_AGE + Duration::from_nanos(1)),
                    ..default()
                },
            ),
        ] {
            let error = settings.check("quotes").expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        assert_eq!(default().check("quotes"), Ok(()));
        for max_join_age in [None, Some(MIN_JOIN_AGE), Some(MAX_JOIN_AGE)] {
            let settings = CoalesceSettings {
                max_join_age,
                ..default()
            };
            assert_eq!(settings.check("quotes"), Ok(()));
        }
    }
}
