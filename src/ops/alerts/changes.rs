use std::time::SystemTime;

use super::{
    alert::{Alert, AlertPhase, AlertStep},
    stored,
};
use crate::ops::{
    journal::{Event, EventKind, Severity},
    notify::Notification,
    store::{Collection, Document},
};

/// The changes of an evaluation, for others to record, to keep and to tell.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Events of the journal, with their times.
    pub(super) events: Vec<(SystemTime, Event)>,
    pub(super) notifications: Vec<Notification>,
    pub(super) writes: Vec<Write>,
    /// The alerts that were resolved.
    pub(super) resolved: Vec<Alert>,
}

/// A change of what is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    Put(Collection, Document),
    Delete(Collection, String),
}

impl Changes {
    /// Takes in what has become of an alert.
    pub(super) fn add(&mut self, alert: &mut Alert, step: AlertStep, now: SystemTime) {
        match step {
            AlertStep::Same => {}
            AlertStep::Pending => self.save(alert),
            AlertStep::Active => self.activated(alert, now),
            AlertStep::Rose => self.rose(alert, now),
            AlertStep::Resolved => self.resolved(alert, now, None),
            AlertStep::Lapsed if alert.told.is_some() => self.save(alert),
            AlertStep::Lapsed | AlertStep::Gone => self.forget(&alert.fingerprint),
        }
    }

    /// Keeps an alert as it is now.
    pub(super) fn save(&mut self, alert: &mut Alert) {
        alert.saved_at = alert.saved_at.max(alert.seen_at);
        let document = stored::alert_document(alert);
        self.writes.push(Write::Put(Collection::Alerts, document));
    }

    /// Forgets an alert that nobody has to know of any more.
    pub(super) fn forget(&mut self, fingerprint: &str) {
        let write = Write::Delete(Collection::Alerts, fingerprint.to_owned());
        self.writes.push(write);
    }

    pub(super) fn activated(&mut self, alert: &mut Alert, now: SystemTime) {
        alert.note(now, "active", alert.summary.clone(), None);
        self.record(alert, now, alert.severity, alert.summary.clone(), "active");
        self.save(alert);
    }

    /// Takes in that an active alert is more severe than it was.
    pub(super) fn rose(&mut self, alert: &mut Alert, now: SystemTime) {
        let text = format!("{}: {}", alert.severity.as_str(), alert.summary);
        alert.note(now, "severity", text.clone(), None);
        self.record(alert, now, alert.severity, text, "active");
        self.save(alert);
    }

    /// Takes in that an alert was resolved, by itself or by somebody.
    pub(super) fn resolved(&mut self, alert: &mut Alert, now: SystemTime, by: Option<&str>) {
        let reason = match &alert.phase {
            AlertPhase::Resolved { reason, .. } => reason.clone(),
            _ => String::new(),
        };
        alert.note(now, "resolved", reason.clone(), by);
        let text = format!("resolved, {reason}; it was: {}", alert.summary);
        self.record(alert, now, Severity::Info, text, "resolved");
        match alert.told {
            // Until that is told.
            Some(_) => self.save(alert),
            None => self.forget(&alert.fingerprint),
        }
        let document = stored::history_document(alert);
        self.writes
            .push(Write::Put(Collection::AlertHistory, document));
        self.resolved.push(alert.clone());
    }

    fn record(
        &mut self,
        alert: &Alert,
        now: SystemTime,
        severity: Severity,
        text: String,
        to: &'static str,
    ) {
        let event = Event::new(EventKind::Alert, severity, &alert.rule, text)
            .with("kind", "alert")
            .with("to", to)
            .with("fingerprint", alert.fingerprint.as_str())
            .with("value", alert.value);
        self.events.push((now, event));
    }
}
