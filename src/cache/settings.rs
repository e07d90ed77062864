use std::time::Duration;

use crate::{call::ConfigError, util::setting_changes::SettingChanges};

/// Long enough to take most calls off a peer, short enough that few notice.
const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// More distinct results than most processes ask for in a minute.
const DEFAULT_MAX_ENTRIES: u32 = 10_000;
/// Memory that most processes can spare, and room for 10,000 responses of an API.
const DEFAULT_MAX_BYTES: u32 = 64 * 1024 * 1024;
/// Most responses of an API are shorter.
const DEFAULT_MAX_BODY_BYTES: u32 = 1024 * 1024;
pub(super) const MIN_TTL: Duration = Duration::from_millis(1);
/// A year, as RFC 9111 has it for what never changes.
pub(super) const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3_600);
pub(super) const MAX_ENTRIES: u32 = 100_000_000;
pub(super) const MIN_BYTES: u32 = 1024;
pub(super) const MAX_BYTES: u32 = u32::MAX;

/// The settings of a [`Cache`](super::Cache) that a file may have: for [`CacheBuilder::settings`](super::CacheBuilder::settings) and
/// [`Cache::apply`](super::Cache::apply).
///
/// In a file (feature `serde`) durations have a unit (`"30s"`). Settings that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::cache::{Cache, CacheSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: CacheSettings = toml::from_str(
///     r#"
///     ttl = "5s"
///     stale_if_error = "10m"
///     "#,
/// )?;
/// let cache = Cache::builder("quotes").settings(&settings).build()?;
/// assert_eq!(cache.settings().ttl, Duration::from_secs(5));
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
pub struct CacheSettings {
    /// The time for which a result is served, except over HTTP, where the response says it. Must be 1 ms to 365 days. Default: 60 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub ttl: Duration,
    /// The time after that in which a result is served if the call fails; `None` for not at all, in a file `"off"`. Must be at most 365
    /// days. Default: `None`.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional_duration")
    )]
    pub stale_if_error: Option<Duration>,
    /// The largest number of results. Must be 1 to 100,000,000. Default: 10,000.
    pub max_entries: u32,
    /// The memory of all results, in bytes. Must be 1,024 to 4,294,967,295. Default: 64 MiB.
    pub max_bytes: u32,
    /// The longest response body that is kept over HTTP, in bytes. Must be 1 to `max_bytes`. Default: 1 MiB.
    pub max_body_bytes: u32,
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            ttl: DEFAULT_TTL,
            stale_if_error: None,
            max_entries: DEFAULT_MAX_ENTRIES,
            max_bytes: DEFAULT_MAX_BYTES,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }
}

impl CacheSettings {
    /// Checks each setting as `build` and `apply` do, for the cache of this name: to check several settings before the first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let error = |field, value: String, expected: String| {
            let component = format!("cache {name:?}");
            Err(ConfigError::new(component, field, value, expected))
        };
        if !(MIN_TTL..=MAX_TIME).contains(&self.ttl) {
            return error("ttl", format!("{:?}", self.ttl), "1 ms to 365 days".into());
        }
        if let Some(time) = self.stale_if_error.filter(|time| *time > MAX_TIME) {
            let expected = "at most 365 days, or off";
            return error("stale_if_error", format!("{time:?}"), expected.into());
        }
        for (field, value, allowed) in [
            ("max_entries", self.max_entries, 1..=MAX_ENTRIES),
            ("max_bytes", self.max_bytes, MIN_BYTES..=MAX_BYTES),
            ("max_body_bytes", self.max_body_bytes, 1..=self.max_bytes),
        ] {
            if !allowed.contains(&value) {
                let expected = format!("{} to {}", allowed.start(), allowed.end());
                return error(field, value.to_string(), expected);
            }
        }
        Ok(())
    }

    /// Returns the least that a result counts for, by which the number of results is bounded as their memory is.
    pub(super) fn min_weight(&self) -> u32 {
        self.max_bytes.div_ceil(self.max_entries).max(1)
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &CacheSettings) -> SettingChanges {
        let CacheSettings {
            ttl,
            stale_if_error,
            max_entries,
            max_bytes,
            max_body_bytes,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("ttl", ttl, &to.ttl);
        changes.compare_optional("stale_if_error", "off", stale_if_error, &to.stale_if_error);
        changes.compare("max_entries", max_entries, &to.max_entries);
        changes.compare("max_bytes", max_bytes, &to.max_bytes);
        changes.compare("max_body_bytes", max_body_bytes, &to.max_body_bytes);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_every_field() {
        let before = CacheSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = CacheSettings {
            ttl: Duration::from_secs(1),
            stale_if_error: Some(Duration::from_secs(2)),
            max_entries: 3,
            max_bytes: 4_000,
            max_body_bytes: 5,
        };
        let text = before.changes(&after).text().into_owned();
        for field in [
            "ttl",
            "stale_if_error",
            "max_entries",
            "max_bytes",
            "max_body_bytes",
        ] {
            assert!(text.contains(field), "{field}: {text}");
        }
    }

    #[test]
    fn settings_that_are_invalid_are_named() {
        let check = |change: fn(&mut CacheSettings)| {
            let mut settings = CacheSettings::default();
            change(&mut settings);
            let error = settings.check("quotes").expect_err("a bad value");
            error.field()
        };
        assert_eq!(check(|it| it.ttl = Duration::ZERO), "ttl");
        assert_eq!(
            check(|it| it.stale_if_error = Some(Duration::MAX)),
            "stale_if_error"
        );
        assert_eq!(check(|it| it.max_entries = 0), "max_entries");
        assert_eq!(check(|it| it.max_bytes = 1), "max_bytes");
        assert_eq!(
            check(|it| it.max_body_bytes = it.max_bytes + 1),
            "max_body_bytes"
        );
        assert_eq!(CacheSettings::default().check("quotes"), Ok(()));
    }
}
