use std::time::Duration;

use super::{Rule, RuleSettings, checked_rule::CheckedRule};
use crate::call::ConfigError;

#[cfg(feature = "serde")]
use crate::util::setting_serde::{self, optional_duration};

/// Enough for the other alerts of a failure to join, too short to matter.
const DEFAULT_GROUP_WAIT: Duration = Duration::from_secs(10);
/// Twice in a night: a reminder, and no noise.
const DEFAULT_REPEAT: Duration = Duration::from_secs(4 * 3_600);
const MAX_GROUP_WAIT: Duration = Duration::from_secs(600);
const MIN_REPEAT: Duration = Duration::from_secs(60);
const MAX_REPEAT: Duration = Duration::from_secs(7 * 86_400);
const MAX_RULES: usize = 2_000;
const MAX_HISTORY: usize = 100_000;

/// The settings of all alerts as plain values, for a file or a control plane.
///
/// [`OpsBuilder::alerts`](crate::ops::OpsBuilder::alerts) takes them. In a file (feature `serde`) durations have a unit, what is
/// switched off is `"off"`, a field that is absent has its default, and a field that does not exist is an error:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use tower_keep::ops::{Ops, alerts::AlertSettings};
///
/// let file = r#"
///     repeat_interval = "2h"
///
///     [[rule]]
///     name = "payments_errors"
///     when = 'error_ratio{route="POST /pay"} > 5%'
///     for = "2m"
///     severity = "critical"
///     labels = { team = "payments" }
///     summary = "{value} of the payments fail"
///
///     [[rule]]
///     name = "new_errors"
///     when = "event(error)"
/// "#;
/// let settings: AlertSettings = toml::from_str(file).unwrap();
/// let ops = Ops::builder("orders").alerts(settings).build().unwrap();
/// # let _ = ops;
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct AlertSettings {
    /// The time for which a notification waits for others of the same rule: 0 s to 10 min. Default: 10 s.
    #[cfg_attr(feature = "serde", serde(with = "setting_serde::duration"))]
    pub group_wait: Duration,
    /// The time after which an alert that still fires is told again, unless it is acknowledged: 1 min to 7 days. `None` never
    /// does. Default: 4 h.
    #[cfg_attr(feature = "serde", serde(with = "optional_duration"))]
    pub repeat_interval: Option<Duration>,
    /// The number of resolved alerts that are kept: 1 to 100,000. Default: 1,000.
    pub max_history: usize,
    /// The rules, at most 2,000; `[[rule]]` in a file. Default: none.
    #[cfg_attr(feature = "serde", serde(rename = "rule"))]
    pub rules: Vec<RuleSettings>,
}

impl AlertSettings {
    /// Checks each setting, those of the rules included, as `build` does.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.checked_rules(Vec::new()).map(drop)
    }

    /// Returns these rules and others, all of which are valid.
    pub(super) fn checked_rules(&self, more: Vec<Rule>) -> Result<Vec<CheckedRule>, ConfigError> {
        let invalid = |field, value: String, expected: String| {
            Err(ConfigError::new("alerts", field, value, expected))
        };
        if self.group_wait > MAX_GROUP_WAIT {
            let value = format!("{:?}", self.group_wait);
            return invalid("group_wait", value, format!("at most {MAX_GROUP_WAIT:?}"));
        }
        if let Some(repeat) = self.repeat_interval
            && !(MIN_REPEAT..=MAX_REPEAT).contains(&repeat)
        {
            let expected = format!("{MIN_REPEAT:?} to {MAX_REPEAT:?}, or off");
            return invalid("repeat_interval", format!("{repeat:?}"), expected);
        }
        if !(1..=MAX_HISTORY).contains(&self.max_history) {
            let value = self.max_history.to_string();
            return invalid("max_history", value, format!("1 to {MAX_HISTORY}"));
        }
        let count = self.rules.len() + more.len();
        if count > MAX_RULES {
            return invalid("rules", count.to_string(), format!("0 to {MAX_RULES}"));
        }
        let own = self.rules.iter().cloned().map(Rule::from);
        let mut checked = Vec::with_capacity(count);
        let mut names = std::collections::BTreeSet::new();
        for rule in own.chain(more) {
            let rule = rule.checked()?;
            if !names.insert(rule.name().to_owned()) {
                let expected = "the name of one rule only".to_owned();
                return invalid("rules", format!("{:?} twice", rule.name()), expected);
            }
            checked.push(rule);
        }
        Ok(checked)
    }
}

impl Default for AlertSettings {
    fn default() -> Self {
        AlertSettings {
            group_wait: DEFAULT_GROUP_WAIT,
            repeat_interval: Some(DEFAULT_REPEAT),
            max_history: 1_000,
            rules: Vec::new(),
        }
    }
}
