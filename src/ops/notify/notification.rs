use super::{AlertGroup, EventNotice};
use crate::ops::journal::Severity;

/// A notification: alerts, or an event, of which people are to be told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notification {
    /// Alerts of one rule that fire, or no longer do.
    Alerts(AlertGroup),
    /// An event that has no end.
    Event(EventNotice),
}

impl Notification {
    /// Returns the severity.
    pub fn severity(&self) -> Severity {
        match self {
            Notification::Alerts(group) => group.severity,
            Notification::Event(notice) => notice.severity,
        }
    }

    /// Returns the kind by which channels filter: `alert`, or that of the event.
    pub fn kind(&self) -> &str {
        match self {
            Notification::Alerts(_) => "alert",
            Notification::Event(notice) => &notice.kind,
        }
    }

    /// Returns one line: the rule or the title of the event, with what became of it.
    pub fn title(&self) -> String {
        match self {
            Notification::Alerts(group) => {
                let state = if group.is_firing {
                    "firing"
                } else {
                    "resolved"
                };
                format!("{} {state}", group.rule)
            }
            Notification::Event(notice) => notice.title.clone(),
        }
    }

    /// Returns the key of an alert group, by which a resolve finds its trigger.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Notification::Alerts(group) => Some(&group.key),
            Notification::Event(_) => None,
        }
    }

    /// Returns true for the end of an alert group.
    pub(super) fn is_resolve(&self) -> bool {
        matches!(self, Notification::Alerts(group) if !group.is_firing)
    }
}

impl From<AlertGroup> for Notification {
    fn from(group: AlertGroup) -> Self {
        Notification::Alerts(group)
    }
}

impl From<EventNotice> for Notification {
    fn from(event: EventNotice) -> Self {
        Notification::Event(event)
    }
}
