use super::slots::MAX_LIMIT;
use crate::{call::ConfigError, util::setting_changes::SettingChanges};

/// The default of resilience4j: enough for a peer that answers in milliseconds, few enough that a peer that hangs does not
/// take all tasks, connections and memory of the process.
const DEFAULT_LIMIT: u32 = 25;

/// The settings of a [`Bulkhead`](super::Bulkhead) that a file may have: for
/// [`BulkheadBuilder::settings`](super::BulkheadBuilder::settings) and [`Bulkhead::apply`](super::Bulkhead::apply).
///
/// In a file (feature `serde`) settings that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::bulkhead::{Bulkhead, BulkheadSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: BulkheadSettings = toml::from_str("limit = 10")?;
/// let bulkhead = Bulkhead::builder("reports").settings(&settings).build()?;
/// assert_eq!(bulkhead.limit(), 10);
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
pub struct BulkheadSettings {
    /// The number of calls that may be in flight at once. Must be 1 to 1,000,000. Default: 25, as in resilience4j.
    pub limit: u32,
    /// `true` to give the slot back at the head of the response, `false` to hold it until the body ends. Default: `false`,
    /// since a body that is still coming costs a connection, memory and the peer's time.
    pub until_head: bool,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        BulkheadSettings {
            limit: DEFAULT_LIMIT,
            until_head: false,
        }
    }
}

impl BulkheadSettings {
    /// Checks each setting as `build` and `apply` do, for the bulkhead of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let component = || format!("bulkhead {name:?}");
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            let expected = "1 to 1000000";
            return Err(ConfigError::new(component(), "limit", self.limit, expected));
        }
        Ok(())
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &BulkheadSettings) -> SettingChanges {
        let BulkheadSettings { limit, until_head } = self;
        let mut changes = SettingChanges::default();
        changes.compare("limit", limit, &to.limit);
        changes.compare("until_head", until_head, &to.until_head);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_every_field() {
        let before = BulkheadSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = BulkheadSettings {
            limit: 7,
            until_head: true,
        };
        let text = "limit: 25 -> 7, until_head: false -> true";
        assert_eq!(before.changes(&after).text(), text);
    }
}
