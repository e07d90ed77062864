use std::time::Duration;

use super::{NoData, RuleSettings, Trigger, checked_rule::CheckedRule};
use crate::{call::ConfigError, ops::journal::Severity};

/// A rule: when an alert fires, how much it matters, and what is told; see the [module](super).
///
/// ```
/// use std::time::Duration;
/// use tower_keep::ops::{Ops, alerts::Rule};
///
/// let rule = Rule::new("payments_errors")
///     .when("error_ratio{route=\"POST /pay\"} > 5%")
///     .for_(Duration::from_secs(120))
///     .critical()
///     .label("team", "payments")
///     .summary("{value} of the payments fail");
/// let ops = Ops::builder("orders").rule(rule).build()?;
/// # let _ = ops;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Rule {
    settings: RuleSettings,
    /// The condition, unless it is the text of the settings.
    trigger: Option<Trigger>,
}

impl Rule {
    /// Creates a rule with a name that no other rule has: 1 to 128 bytes. It needs a [condition](Self::when).
    ///
    /// ```
    /// use tower_keep::ops::alerts::Rule;
    ///
    /// let rule = Rule::new("mail_backlog").when("mail_queue_length > 1000");
    /// assert!(rule.check().is_ok());
    /// assert!(Rule::new("mail_backlog").check().is_err());
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Rule::from(RuleSettings {
            name: name.into(),
            ..RuleSettings::default()
        })
    }

    /// Sets the condition: [text](super#conditions), or a [`Trigger`]. A text that is none is an error of `build`.
    ///
    /// ```
    /// use tower_keep::ops::alerts::{Comparison, Rule, Trigger};
    /// use tower_keep::ops::series::Query;
    ///
    /// let text = Rule::new("backlog").when("mail_queue_length by (shop) > 1000");
    /// let typed = Trigger::query(Query::new("mail_queue_length").by(["shop"]), Comparison::Gt, 1_000.0);
    /// let typed = Rule::new("backlog").when(typed);
    /// assert!(text.check().is_ok() && typed.check().is_ok());
    /// ```
    pub fn when(mut self, trigger: impl Into<Trigger>) -> Self {
        let trigger = trigger.into();
        self.settings.when = trigger.text.clone().unwrap_or_default();
        self.trigger = Some(trigger);
        self
    }

    /// Sets the time for which the condition must hold before an alert is active: at most 7 days. It is pending until then.
    /// Events have none. Default: zero, so that it is active at once.
    pub fn for_(mut self, time: Duration) -> Self {
        self.settings.for_ = time;
        self
    }

    /// Sets the time for which an active alert fires on after its condition no longer holds, or after its last event: at most 7
    /// days. It bridges gaps, and makes one alert of a number that moves around its threshold. Default: 1 min; for events, most of
    /// which have no end, 15 min.
    pub fn keep_firing_for(mut self, time: Duration) -> Self {
        self.settings.keep_firing_for = Some(time);
        self
    }

    /// Sets the time between two evaluations: 1 s to 1 h. What is of now, such as an open circuit breaker, is also evaluated as
    /// soon as it changes. Default: 10 s: the numbers are in memory, and a minute would make each alert later by a minute.
    pub fn every(mut self, time: Duration) -> Self {
        self.settings.every = time;
        self
    }

    /// Sets the severity. Default: warning; for events that of the event.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.settings.severity = Some(severity);
        self
    }

    /// Sets the severity to critical: wakes somebody.
    pub fn critical(self) -> Self {
        self.severity(Severity::Critical)
    }

    /// Sets the severity to warning.
    pub fn warning(self) -> Self {
        self.severity(Severity::Warning)
    }

    /// Sets a second threshold, beyond the first one, from which on an alert is critical. An acknowledgement of the lower
    /// severity does not hold for the higher one. Default: none.
    pub fn critical_at(mut self, threshold: f64) -> Self {
        self.settings.critical_at = Some(threshold);
        self
    }

    /// Adds a label that each alert has besides those of its series, at most 16. Silences and notifications match it. Default: none.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.insert(name.into(), value.into());
        self
    }

    /// Adds a text that notifications have, such as `runbook_url`, at most 16. It has the same [places](Self::summary) as the
    /// summary. Default: none.
    pub fn annotation(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.settings.annotations.insert(name.into(), text.into());
        self
    }

    /// Sets the sentence that tells what is wrong, at most 1 KiB. `{value}`, `{threshold}`, `{rule}`, `{for}` and the names of
    /// labels, such as `{route}`, stand for what they name. Default: a sentence with name, value, threshold and labels.
    pub fn summary(mut self, text: impl Into<String>) -> Self {
        self.settings.summary = Some(text.into());
        self
    }

    /// Sets the meaning of a value that is unknown. Default: [`NoData::Keep`].
    pub fn no_data(mut self, policy: NoData) -> Self {
        self.settings.no_data = policy;
        self
    }

    /// Sets the least time between two notifications that one alert fires, at most 7 days. That it is resolved, or more severe, is
    /// told whatever this is. Default: 5 min.
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.settings.cooldown = time;
        self
    }

    /// Sets the maximum number of alerts of this rule, one for each series: 1 to 1,000. The rest is counted. Default: 100.
    pub fn max_alerts(mut self, alerts: usize) -> Self {
        self.settings.max_alerts = alerts;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Checks each setting as `build` does.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.clone().checked().map(drop)
    }

    pub(super) fn checked(self) -> Result<CheckedRule, ConfigError> {
        CheckedRule::new(self.settings, self.trigger)
    }
}

impl From<RuleSettings> for Rule {
    fn from(settings: RuleSettings) -> Self {
        Rule {
            settings,
            trigger: None,
        }
    }
}
