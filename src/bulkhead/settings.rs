use std::time::Duration;

use super::{QueueOrder, slots::MAX_LIMIT};
use crate::{adaptive::AdaptiveSettings, call::ConfigError, util::setting_changes::SettingChanges};

/// The default of resilience4j: enough for a peer that answers in milliseconds, few enough that a peer that hangs does not
/// take all tasks, connections and memory of the process.
const DEFAULT_LIMIT: u32 = 25;
/// The limit of Netflix's blocking limiters and of linkerd's inbound proxy: what waits for longer is mostly not wanted any
/// more when its turn comes.
const DEFAULT_WAIT_LIMIT: Duration = Duration::from_secs(1);

/// The settings of a [`Bulkhead`](super::Bulkhead) that a file may have: for
/// [`BulkheadBuilder::settings`](super::BulkheadBuilder::settings) and [`Bulkhead::apply`](super::Bulkhead::apply).
///
/// In a file (feature `serde`) durations have a unit (`"250ms"`), and what can be switched off is `"off"` then. Settings
/// that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::bulkhead::{Bulkhead, BulkheadSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: BulkheadSettings = toml::from_str(
///     r#"
///     limit = 10
///     queue_limit = 20
///     queue_order = "lifo"
///     wait_limit = "250ms"
///     "#,
/// )?;
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
    /// The number of calls that may wait for a slot; 0 to reject calls at once where none is free. Must be at most
    /// 1,000,000. Default: 0, since a queue adds its wait to every call while the peer is slow, and helps only against
    /// short bursts.
    pub queue_limit: u32,
    /// The call that is next when a slot becomes free, in a file `"fifo"` or `"lifo"`. Default: first in, first out.
    pub queue_order: QueueOrder,
    /// The longest wait for a slot; `None` to wait until the deadline of the call, if it has one. Must be longer than zero.
    /// Default: 1 s, since what has waited for longer is mostly not wanted any more.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional_duration")
    )]
    pub wait_limit: Option<Duration>,
    /// `true` to give the slot back at the head of the response, `false` to hold it until the body ends. Default: `false`,
    /// since a body that is still coming costs a connection, memory and the peer's time.
    pub until_head: bool,
    /// The way in which the limit adapts itself, beginning at `limit`; `None` if it does not. Default: `None`.
    pub adaptive: Option<AdaptiveSettings>,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        BulkheadSettings {
            limit: DEFAULT_LIMIT,
            queue_limit: 0,
            queue_order: QueueOrder::Fifo,
            wait_limit: Some(DEFAULT_WAIT_LIMIT),
            until_head: false,
            adaptive: None,
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
        let error = |field, value: String, expected| {
            let component = format!("bulkhead {name:?}");
            Err(ConfigError::new(component, field, value, expected))
        };
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return error("limit", self.limit.to_string(), "1 to 1000000");
        }
        if self.queue_limit > MAX_LIMIT {
            let value = self.queue_limit.to_string();
            return error("queue_limit", value, "at most 1000000");
        }
        if self.wait_limit.is_some_and(|time| time.is_zero()) {
            return error("wait_limit", "0ns".to_owned(), "longer than zero");
        }
        let Some(adaptive) = &self.adaptive else {
            return Ok(());
        };
        if !(1..=adaptive.max).contains(&adaptive.min) {
            return error(
                "adaptive.min",
                adaptive.min.to_string(),
                "1 to adaptive.max",
            );
        }
        if adaptive.max > MAX_LIMIT {
            return error(
                "adaptive.max",
                adaptive.max.to_string(),
                "adaptive.min to 1000000",
            );
        }
        if !(adaptive.min..=adaptive.max).contains(&self.limit) {
            return error(
                "limit",
                self.limit.to_string(),
                "adaptive.min to adaptive.max",
            );
        }
        Ok(())
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &BulkheadSettings) -> SettingChanges {
        let BulkheadSettings {
            limit,
            queue_limit,
            queue_order,
            wait_limit,
            until_head,
            adaptive,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("limit", limit, &to.limit);
        changes.compare("queue_limit", queue_limit, &to.queue_limit);
        changes.compare("queue_order", queue_order, &to.queue_order);
        changes.compare_optional("wait_limit", "off", wait_limit, &to.wait_limit);
        changes.compare("until_head", until_head, &to.until_head);
        changes.compare_optional("adaptive", "off", adaptive, &to.adaptive);
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
            queue_limit: 5,
            queue_order: QueueOrder::Lifo,
            wait_limit: None,
            until_head: true,
            adaptive: Some(AdaptiveSettings::default()),
        };
        let text = "limit: 25 -> 7, queue_limit: 0 -> 5, queue_order: Fifo -> Lifo, wait_limit: 1s -> off, \
                    until_head: false -> true, adaptive: off -> AdaptiveSettings { algorithm: Correlation, min: 1, max: 200 }";
        assert_eq!(before.changes(&after).text(), text);
    }
}
