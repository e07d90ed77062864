use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::{DeliveryState, Notification};
use crate::ops::{journal::Severity, time::unix};

/// The attempts of a message that the log lists: the last ones.
const MAX_TRIES: usize = 10;

/// A notification to a channel, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delivery {
    pub(super) id: Arc<str>,
    pub(super) kind: String,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) queued_at: SystemTime,
    pub(super) state: DeliveryState,
    pub(super) attempts: u32,
    /// The time of the next attempt, or of one that is being made.
    pub(super) next_at: Option<SystemTime>,
    pub(super) tries: VecDeque<Attempted>,
    /// The content of a dead letter, which is sent again if an operator wants so.
    pub(super) notification: Option<Arc<Notification>>,
}

/// An attempt, as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempted {
    pub(super) at: SystemTime,
    pub(super) latency: Duration,
    pub(super) status: Option<u16>,
    /// `None` if it was delivered.
    pub(super) error: Option<String>,
}

impl Delivery {
    pub(super) fn new(id: Arc<str>, notification: &Notification, queued_at: SystemTime) -> Self {
        Delivery {
            id,
            kind: notification.kind().to_owned(),
            title: notification.title(),
            severity: notification.severity(),
            queued_at,
            state: DeliveryState::Queued,
            attempts: 0,
            next_at: None,
            tries: VecDeque::new(),
            notification: None,
        }
    }

    pub(super) fn tried(&mut self, attempted: Attempted) {
        if self.tries.len() == MAX_TRIES {
            self.tries.pop_front();
        }
        self.tries.push_back(attempted);
    }

    /// Returns the delivery as the API has it.
    pub(crate) fn to_json(&self) -> Value {
        let last = self.tries.back();
        let tries: Vec<Value> = self.tries.iter().map(Attempted::to_json).collect();
        json!({
            "id": &*self.id, "kind": self.kind, "title": self.title, "severity": self.severity.as_str(),
            "queued_at": unix(self.queued_at), "state": self.state.as_str(), "attempts": self.attempts,
            "at": last.map(|last| unix(last.at)), "seconds": last.map(|last| last.latency.as_secs_f64()),
            "status": last.and_then(|last| last.status), "error": last.and_then(|last| last.error.as_deref()),
            "next_at": self.next_at.map(unix), "can_retry": self.notification.is_some(), "tries": tries,
        })
    }
}

impl Attempted {
    fn to_json(&self) -> Value {
        json!({
            "at": unix(self.at), "seconds": self.latency.as_secs_f64(), "status": self.status, "error": self.error,
        })
    }
}
