use std::collections::BTreeMap;

use super::{
    config::BreakerConfig, settings::BreakerSettings, settings_version::next_settings_version,
    validate::validate,
};
use crate::{call::ConfigError, util::text::truncate};

/// A longer name is no name that a program gives, and would be a costly label.
pub(super) const MAX_NAME_LEN: usize = 256;

/// The settings that were applied to a registry, by name.
#[derive(Default)]
pub(super) struct NamedSettings {
    by_name: BTreeMap<String, BreakerConfig>,
    /// The version of these settings; 0 before any were applied.
    pub(super) version: u64,
}

impl NamedSettings {
    /// Checks settings for a registry of at most so many names.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first breaker and its setting that is invalid.
    pub(super) fn validate(
        settings: &BTreeMap<String, BreakerSettings>,
        max_names: usize,
    ) -> Result<BTreeMap<String, BreakerConfig>, ConfigError> {
        let error = |field, value: String, expected| {
            Err(ConfigError::new("breaker registry", field, value, expected))
        };
        if settings.len() > max_names {
            let value = format!("for {} names", settings.len());
            return error("settings", value, format!("for at most {max_names} names"));
        }
        if let Some(name) = settings.keys().find(|name| name.len() > MAX_NAME_LEN) {
            let value = format!("{:?}.. of {} bytes", truncate(name, 64), name.len());
            return error("name", value, format!("at most {MAX_NAME_LEN} bytes"));
        }
        let checked = settings.iter().map(|(name, settings)| {
            let config = validate(name, settings)?;
            Ok((name.clone(), config))
        });
        checked.collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&BreakerConfig> {
        self.by_name.get(name)
    }

    /// Replaces all of them by settings of a new version. Returns those of before.
    pub(super) fn replace(
        &mut self,
        by_name: BTreeMap<String, BreakerConfig>,
    ) -> BTreeMap<String, BreakerConfig> {
        self.version = next_settings_version();
        std::mem::replace(&mut self.by_name, by_name)
    }
}
