use std::collections::VecDeque;

use super::{
    alert::Alert,
    changes::{Changes, Write},
    stored,
};
use crate::ops::store::{Collection, Document};

/// The alerts that were resolved, up to a number of them.
#[derive(Debug)]
pub(super) struct ResolvedAlerts {
    max: usize,
    /// The oldest first.
    alerts: VecDeque<Alert>,
}

impl ResolvedAlerts {
    pub(super) fn new(max: usize) -> Self {
        ResolvedAlerts {
            max,
            alerts: VecDeque::new(),
        }
    }

    /// Takes over the alerts that were resolved by changes.
    pub(super) fn keep(&mut self, changes: &mut Changes) {
        for alert in changes.resolved.drain(..) {
            if self.alerts.len() == self.max
                && let Some(oldest) = self.alerts.pop_front()
            {
                let key = stored::history_document(&oldest).key;
                let write = Write::Delete(Collection::AlertHistory, key);
                changes.writes.push(write);
            }
            self.alerts.push_back(alert);
        }
    }

    /// Takes in what was stored before a restart, and returns the highest number of an alert in it.
    pub(super) fn restore(&mut self, documents: &[Document]) -> u64 {
        let documents = documents.iter();
        let history = documents.filter_map(|document| stored::alert(&document.json));
        let mut history: Vec<_> = history.collect();
        history.sort_by_key(|alert| alert.seq);
        let last = history.last().map_or(0, |alert| alert.seq);
        self.alerts.extend(history);
        while self.alerts.len() > self.max {
            self.alerts.pop_front();
        }
        last
    }

    /// Returns the alerts, the oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Alert> {
        self.alerts.iter()
    }
}
