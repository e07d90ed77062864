use std::time::Duration;

use crate::{
    call::{ConfigError, Label},
    ops::journal::{EventKind, Severity},
    retry::{Backoff, Jitter},
};

use super::{Notification, Refusal};

/// The longest name, in bytes: it is a label, a line and part of an address.
const MAX_NAME: usize = 64;
const MAX_QUEUED: usize = 100_000;
const MAX_ATTEMPT: Duration = Duration::from_secs(300);
const MAX_GIVE_UP: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The settings that all channels have.
#[derive(Clone, Debug)]
pub(super) struct ChannelConfig {
    pub(super) name: Label,
    pub(super) min_severity: Severity,
    pub(super) has_alerts: bool,
    /// The kinds of events; `None` is all that the application tells.
    pub(super) events: Option<Vec<String>>,
    pub(super) journal: Vec<EventKind>,
    pub(super) attempt_limit: Duration,
    pub(super) give_up_after: Duration,
    pub(super) max_queued: usize,
    pub(super) backoff: Backoff,
}

impl ChannelConfig {
    pub(super) fn new(name: Label) -> Self {
        ChannelConfig {
            name,
            min_severity: Severity::Info,
            has_alerts: true,
            events: None,
            journal: Vec::new(),
            attempt_limit: Duration::from_secs(10),
            give_up_after: Duration::from_secs(24 * 3_600),
            max_queued: 1_000,
            backoff: Backoff::exponential(Duration::from_secs(1))
                .max(Duration::from_secs(300))
                .jitter(Jitter::Equal),
        }
    }

    pub(super) fn component(&self) -> String {
        format!("notification channel {:?}", self.name.as_str())
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let error = |field, value: String, expected: String| {
            Err(ConfigError::new(self.component(), field, value, expected))
        };
        let name = self.name.as_str();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            let expected = format!("1 to {MAX_NAME} letters, digits, '_', '-' and '.'");
            return error("name", format!("{name:?}"), expected);
        }
        for (field, value, max) in [
            ("attempt_limit", self.attempt_limit, MAX_ATTEMPT),
            ("give_up_after", self.give_up_after, MAX_GIVE_UP),
        ] {
            if value.is_zero() || value > max {
                let expected = format!("longer than zero and at most {max:?}");
                return error(field, format!("{value:?}"), expected);
            }
        }
        if !(1..=MAX_QUEUED).contains(&self.max_queued) {
            let expected = format!("1 to {MAX_QUEUED}");
            return error("max_queued", self.max_queued.to_string(), expected);
        }
        Ok(())
    }

    /// Returns whether the channel tells it. What has begun here goes on here, whatever its severity is now.
    pub(super) fn wants(&self, notification: &Notification, was_told: bool) -> bool {
        let is_severe = notification.severity() >= self.min_severity;
        match notification {
            Notification::Alerts(group) => self.refusal(group.severity, was_told).is_none(),
            Notification::Event(event) => {
                let kinds = self.events.as_ref();
                is_severe && kinds.is_none_or(|kinds| kinds.contains(&event.kind))
            }
        }
    }

    /// Returns why the channel does not tell of alerts of a severity, if it does not.
    pub(super) fn refusal(&self, severity: Severity, was_told: bool) -> Option<Refusal> {
        if !self.has_alerts {
            return Some(Refusal::NoAlerts);
        }
        let is_told = severity >= self.min_severity || was_told;
        (!is_told).then_some(Refusal::MinSeverity)
    }

    /// Returns whether the channel tells events of this kind of the journal.
    pub(super) fn wants_journal(&self, kind: EventKind, severity: Severity) -> bool {
        severity >= self.min_severity && self.journal.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notify::{EventNotice, fixtures::group};

    fn config() -> ChannelConfig {
        ChannelConfig::new("slack".into())
    }

    #[test]
    fn channel_config_filters_by_severity_kind_and_what_was_told() {
        let critical = ChannelConfig {
            min_severity: Severity::Critical,
            ..config()
        };
        let alert = |severity| Notification::Alerts(group("errors", severity, true));
        assert!(critical.wants(&alert(Severity::Critical), false));
        assert!(!critical.wants(&alert(Severity::Warning), false));
        assert!(critical.wants(&alert(Severity::Warning), true));
        let event = Notification::Event(EventNotice::deployment_started("2"));
        assert!(config().wants(&event, false) && !critical.wants(&event, false));
        let only = ChannelConfig {
            has_alerts: false,
            events: Some(vec!["deployment_failed".to_owned()]),
            ..config()
        };
        assert!(!only.wants(&event, false));
        assert!(!only.wants(&alert(Severity::Critical), false));
        let failed = Notification::Event(EventNotice::deployment_failed("2", "x"));
        assert!(only.wants(&failed, false));
    }

    #[test]
    fn channel_config_names_what_is_invalid() {
        assert_eq!(config().validate(), Ok(()));
        let text = |config: ChannelConfig| config.validate().expect_err("invalid").to_string();
        let name = ChannelConfig::new("a b".into());
        assert!(text(name).contains("name is \"a b\", must be 1 to 64 letters"));
        let limit = ChannelConfig {
            attempt_limit: Duration::ZERO,
            ..config()
        };
        let expected = "notification channel \"slack\": attempt_limit is 0ns, must be longer than zero and at most 300s";
        assert_eq!(text(limit), expected);
        let queue = ChannelConfig {
            max_queued: 0,
            ..config()
        };
        assert!(text(queue).ends_with("max_queued is 0, must be 1 to 100000"));
    }
}
