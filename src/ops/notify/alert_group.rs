use super::AlertNotice;
use crate::{call::Label, ops::journal::Severity};

/// The most alerts that are listed.
const MAX_ALERTS: usize = 100;

/// The alerts of one rule, told together.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertGroup {
    pub(crate) rule: Label,
    /// The same for all that is told about them, also after a restart.
    pub(crate) key: String,
    /// False once all are resolved.
    pub(crate) is_firing: bool,
    /// The highest severity of those that fire, or that did.
    pub(crate) severity: Severity,
    pub(crate) alerts: Vec<AlertNotice>,
    /// The number of alerts that are not in the list.
    pub(crate) truncated: usize,
}

impl AlertGroup {
    /// Creates a group of a rule of the application, without alerts yet. Its key is the name of the rule.
    ///
    /// The rules of this crate make theirs themselves.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, journal::Severity, notify::{AlertGroup, AlertNotice}};
    ///
    /// let ops = Ops::builder("orders").build()?;
    /// let alert = AlertNotice::new(Severity::Critical, "the spool has 12 files, the oldest of 22:13")
    ///     .with_label("spool", "eu");
    /// ops.notify(AlertGroup::new("spool_stuck").with_alert(alert.clone()));
    /// // Once it is over, with the same key and the same labels:
    /// ops.notify(AlertGroup::new("spool_stuck").with_alert(alert.resolved()));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn new(rule: impl Into<Label>) -> Self {
        let rule = rule.into();
        AlertGroup {
            key: rule.as_str().to_owned(),
            rule,
            is_firing: false,
            severity: Severity::Info,
            alerts: Vec::new(),
            truncated: 0,
        }
    }

    /// Sets the key, where one rule has several groups. Default: the name of the rule.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Adds an alert; from 100 on, they are only counted. The group fires while one of them does, with the highest severity.
    #[must_use]
    pub fn with_alert(mut self, mut alert: AlertNotice) -> Self {
        alert.set_fingerprint(self.rule.as_str());
        self.severity = self.severity.max(alert.severity);
        self.is_firing |= alert.is_firing;
        match self.alerts.len() {
            MAX_ALERTS.. => self.truncated += 1,
            _ => self.alerts.push(alert),
        }
        self
    }

    /// Returns the name of the rule.
    pub fn rule(&self) -> &str {
        self.rule.as_str()
    }

    /// Returns the key, which is the same for all that is told about these alerts, also after a restart: what an incident is
    /// recognized by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns false once all alerts are resolved.
    pub fn is_firing(&self) -> bool {
        self.is_firing
    }

    /// Returns the highest severity of the alerts that fire, or that did.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the alerts, those that fire and those that no longer do.
    pub fn alerts(&self) -> &[AlertNotice] {
        &self.alerts
    }

    /// Returns the number of alerts that are not in the list, which is bounded.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// Returns the number of alerts in the list that fire.
    pub fn firing(&self) -> usize {
        self.alerts.iter().filter(|alert| alert.is_firing).count()
    }

    /// Returns who acknowledged the alerts, if somebody has acknowledged all that fire.
    pub fn acknowledged_by(&self) -> Option<&str> {
        let mut firing = self.alerts.iter().filter(|alert| alert.is_firing);
        let first = firing.next()?.acknowledged_by.as_deref()?;
        let is_done = self.truncated == 0 && firing.all(|alert| alert.acknowledged_by.is_some());
        is_done.then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alert_group_fires_while_one_of_its_alerts_does() {
        let alert = |severity| AlertNotice::new(severity, "x");
        let group = AlertGroup::new("pay").with_alert(alert(Severity::Critical).resolved());
        assert!(!group.is_firing());
        let group = group.with_alert(alert(Severity::Warning));
        assert_eq!(
            (group.is_firing(), group.severity(), group.firing()),
            (true, Severity::Critical, 1)
        );
    }

    #[test]
    fn alert_group_counts_the_alerts_that_it_does_not_list() {
        let group = (0..130).fold(AlertGroup::new("pay"), |group, n| {
            group.with_alert(AlertNotice::new(Severity::Info, "x").with_label("n", n.to_string()))
        });
        assert_eq!((group.alerts().len(), group.truncated()), (100, 30));
        let first = group.alerts()[0].fingerprint();
        assert_eq!(first.len(), 16);
        assert_ne!(first, group.alerts()[1].fingerprint());
    }
}
