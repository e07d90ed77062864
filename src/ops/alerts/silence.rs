use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::alert::Alert;
use crate::ops::series::Filter;

/// The longest silence: what is not of interest for longer is no rule.
pub(in crate::ops) const MAX_SILENCE: Duration = Duration::from_secs(30 * 86_400);
/// The longest time until a silence begins.
pub(in crate::ops) const MAX_AHEAD: Duration = Duration::from_secs(365 * 86_400);
pub(in crate::ops) const MAX_MATCHERS: usize = 10;

/// An order of an operator not to tell of some alerts for a time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Silence {
    pub(in crate::ops) id: String,
    /// All must match.
    pub(in crate::ops) matchers: Vec<Matcher>,
    pub(in crate::ops) starts_at: SystemTime,
    pub(in crate::ops) ends_at: SystemTime,
    pub(in crate::ops) by: Option<String>,
    pub(in crate::ops) comment: String,
}

/// A condition on a label of an alert; `alertname` is the rule, `severity` the severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Matcher {
    pub(in crate::ops) text: String,
    filter: Filter,
}

impl Matcher {
    /// Returns the matcher of a text such as `route=POST /pay`, `severity!=critical` or `route=POST /*`.
    pub(in crate::ops) fn parse(text: &str) -> Option<Self> {
        let filter = Filter::from_text(text)?;
        let text = text.to_owned();
        Some(Matcher { text, filter })
    }
}

impl Silence {
    /// Returns whether it keeps anything silent now.
    pub(in crate::ops) fn is_active(&self, now: SystemTime) -> bool {
        self.starts_at <= now && now < self.ends_at
    }

    pub(super) fn matches(&self, alert: &Alert) -> bool {
        let own = [
            ("alertname", alert.rule.as_str()),
            ("severity", alert.severity.as_str()),
        ];
        let labels = alert.labels.iter();
        let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
        // Its own come first, and so are those that are found.
        let labels: Vec<(Arc<str>, Arc<str>)> = own
            .into_iter()
            .chain(labels)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut matchers = self.matchers.iter();
        matchers.all(|matcher| matcher.filter.matches(&labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::alerts::fixtures::active;

    #[test]
    fn silence_matches_rule_severity_and_labels() {
        let alert = active("errors", &[("route", "POST /pay"), ("severity", "info")]);
        for (matchers, expected) in [
            (&["alertname=errors"][..], true),
            (&["alertname=error"], false),
            (&["alertname=error*"], true),
            (&["severity!=critical"], true),
            (&["severity=warning"], true),
            (&["route=POST /*", "team="], true),
            (&["route!=POST /pay"], false),
            (&["alertname=errors", "team=payments"], false),
        ] {
            let matchers = matchers
                .iter()
                .map(|text| Matcher::parse(text).expect(text));
            let silence = Silence {
                id: String::new(),
                matchers: matchers.collect(),
                starts_at: SystemTime::UNIX_EPOCH,
                ends_at: SystemTime::UNIX_EPOCH,
                by: None,
                comment: String::new(),
            };
            assert_eq!(silence.matches(&alert), expected, "{silence:?}");
        }
        assert_eq!(Matcher::parse("errors"), None);
    }

    #[test]
    fn silence_is_active_from_its_start_until_before_its_end() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let silence = Silence {
            id: "1".to_owned(),
            matchers: Vec::new(),
            starts_at: at(10),
            ends_at: at(20),
            by: None,
            comment: String::new(),
        };
        let active = [9, 10, 19, 20].map(|now| silence.is_active(at(now)));
        assert_eq!(active, [false, true, true, false]);
    }
}
