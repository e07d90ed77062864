use std::time::{Duration, SystemTime};

use super::changes::{Changes, Write};
use crate::ops::{
    store::{Collection, Document},
    time::{to_millis, unix},
};

/// The time between two documents that say that the process runs. A restart does not know better how long it was down.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The time at which this process was seen to run, and the one before it, for as long as there are alerts.
#[derive(Debug)]
pub(super) struct Uptime {
    started_at: SystemTime,
    saved_at: Option<SystemTime>,
    before: Option<SystemTime>,
}

impl Uptime {
    pub(super) fn new(started_at: SystemTime) -> Self {
        Uptime {
            started_at,
            saved_at: None,
            before: None,
        }
    }

    /// Stores that the process runs, if it is time to.
    pub(super) fn save(&mut self, now: SystemTime, changes: &mut Changes) {
        // A clock that was set back does not end it.
        let age = self.saved_at.map(|at| now.duration_since(at));
        if matches!(age, Some(Ok(age)) if age < SAVE_EVERY) {
            return;
        }
        self.saved_at = Some(now);
        let document = Document {
            key: self.key(),
            at: now,
            json: format!("{{\"seen_at\": {}}}", unix(now)),
        };
        let write = Write::Put(Collection::Processes, document);
        changes.writes.push(write);
    }

    /// Takes in what processes have stored. What this one has is not of before the restart.
    pub(super) fn restore(&mut self, processes: &[Document]) {
        let own = self.key();
        let others = processes.iter().filter(|document| document.key != own);
        self.before = others.map(|document| document.at).max();
    }

    /// Returns when the process before this one was seen, if that is known and later than `seen_at`, which is a time of it.
    pub(super) fn last_seen(&self, seen_at: SystemTime) -> SystemTime {
        self.before.map_or(seen_at, |before| before.max(seen_at))
    }

    fn key(&self) -> String {
        to_millis(self.started_at).to_string()
    }
}
