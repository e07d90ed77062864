use std::{collections::BTreeMap, time::Duration};

use super::{NoData, checked_rule::CheckedRule};
use crate::{call::ConfigError, ops::journal::Severity};

#[cfg(feature = "serde")]
use crate::util::setting_serde::{self, duration_or_default};

/// A tenth of a minute: the numbers are in memory, so that looking costs little, and an alert is late by this time at most.
const DEFAULT_EVERY: Duration = Duration::from_secs(10);
/// A number that moves around its threshold tells 12 times an hour at most.
const DEFAULT_COOLDOWN: Duration = Duration::from_secs(300);
/// More alerts of one rule are one problem.
const DEFAULT_MAX_ALERTS: usize = 100;

/// The settings of a rule as plain values, for a file or a control plane.
///
/// [`Rule::from`](super::Rule) makes a rule of them; [`build`](crate::ops::OpsBuilder::build) checks them. What each field does,
/// and its default, is said at the setter of the same name.
///
/// In a file (feature `serde`) durations have a unit, a field that is absent has its default, and a field that does not exist is
/// an error; see [`AlertSettings`](super::AlertSettings).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct RuleSettings {
    /// The name, which no other rule has.
    pub name: String,
    /// The [condition](super::Rule::when) as text.
    pub when: String,
    /// The time [for](super::Rule::for_) which the condition must hold; `for` in a file. Default: zero.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "for", with = "setting_serde::duration")
    )]
    pub for_: Duration,
    /// The time for which an alert [keeps firing](super::Rule::keep_firing_for). `None`, absent in a file, is the default: 1 min,
    /// or 15 min for events.
    #[cfg_attr(
        feature = "serde",
        serde(with = "duration_or_default", skip_serializing_if = "Option::is_none")
    )]
    pub keep_firing_for: Option<Duration>,
    /// The time [between](super::Rule::every) two evaluations. Default: 10 s.
    #[cfg_attr(feature = "serde", serde(with = "setting_serde::duration"))]
    pub every: Duration,
    /// The [severity](super::Rule::severity): in a file `info`, `warning` or `critical`. `None` is the default: warning, or that
    /// of the event.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub severity: Option<Severity>,
    /// The threshold from which on an alert is [critical](super::Rule::critical_at). Default: none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub critical_at: Option<f64>,
    /// The [labels](super::Rule::label) that each alert has besides those of its series.
    pub labels: BTreeMap<String, String>,
    /// [Texts](super::Rule::annotation) that notifications have. Default: none.
    pub annotations: BTreeMap<String, String>,
    /// The [sentence](super::Rule::summary) that tells what is wrong. Default: one with name, value and threshold.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub summary: Option<String>,
    /// The meaning of [no data](super::Rule::no_data): in a file `keep`, `ok` or `alert`. Default: `keep`.
    pub no_data: NoData,
    /// The least time between two [notifications](super::Rule::cooldown) that one alert fires. Default: 5 min.
    #[cfg_attr(feature = "serde", serde(with = "setting_serde::duration"))]
    pub cooldown: Duration,
    /// The [maximum](super::Rule::max_alerts) number of alerts. Default: 100.
    pub max_alerts: usize,
}

impl RuleSettings {
    /// Checks each setting as `build` does.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self) -> Result<(), ConfigError> {
        CheckedRule::new(self.clone(), None).map(drop)
    }
}

impl Default for RuleSettings {
    fn default() -> Self {
        RuleSettings {
            name: String::new(),
            when: String::new(),
            for_: Duration::ZERO,
            keep_firing_for: None,
            every: DEFAULT_EVERY,
            severity: None,
            critical_at: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            summary: None,
            no_data: NoData::default(),
            cooldown: DEFAULT_COOLDOWN,
            max_alerts: DEFAULT_MAX_ALERTS,
        }
    }
}

pub(super) fn component(name: &str) -> String {
    format!("rule {name:?}")
}
