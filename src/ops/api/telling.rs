//! The reason for which nobody is told that an alert fires.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::ops::{
    alerts::{Alert, Engine, Untold},
    journal::Severity,
    notify::{Notifications, Refusal},
    time::unix,
};

/// The engine's part of the answer: its own reason, and what channels would be asked.
#[derive(Debug)]
pub(super) struct Telling {
    untold: Option<Untold>,
    key: String,
    severity: Severity,
}

impl Telling {
    /// Returns what the engine knows of an alert that is not over.
    pub(super) fn of(alert: &Alert, engine: &Engine, now: SystemTime) -> Option<Self> {
        (!alert.is_resolved()).then(|| Telling {
            untold: engine.untold(alert, now),
            key: engine.group_key(alert),
            severity: engine.group_severity(alert),
        })
    }

    /// Asks the channels. The lock of the engine must not be held.
    pub(super) fn to_json(&self, notifications: &Notifications) -> Value {
        let channels = notifications.channels().iter();
        let asked: Vec<_> = channels
            .map(|channel| (channel.name(), channel.refusal(&self.key, self.severity)))
            .collect();
        let refused = |(_, refusal): &(&str, Option<Refusal>)| refusal.is_some();
        let takes_none = |(_, refusal): &(&str, _)| *refusal == Some(Refusal::NoAlerts);
        let reason = match self.untold {
            Some(untold) => Some(untold.as_str()),
            None if asked.iter().all(takes_none) => Some("no_channel"),
            None if asked.iter().all(refused) => Some(Refusal::MinSeverity.as_str()),
            None => None,
        };
        let channels = asked
            .iter()
            .map(|(name, refusal)| json!({"name": name, "refuses": refusal.map(Refusal::as_str)}));
        json!({
            "reason": reason, "until": self.untold.and_then(Untold::until).map(unix),
            "channels": channels.collect::<Vec<_>>(),
        })
    }
}
