use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::HealthStatus;
use crate::call::Label;

/// The state of a component at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ComponentSnapshot {
    /// The name.
    pub name: Label,
    /// The kind: `database`, `cache`, `external_api`, or whatever the application calls it.
    pub kind: Label,
    /// True if the process cannot work without it.
    pub is_critical: bool,
    /// The groups that it belongs to.
    pub groups: Vec<Label>,
    /// The status.
    pub status: HealthStatus,
    /// The reason of the status, or a figure.
    pub text: Option<Arc<str>>,
    /// The time since which it has this status.
    pub since: SystemTime,
    /// The number of runs of its check.
    pub runs: u64,
    /// The number of failures in a row.
    pub failures: u32,
    /// The duration of the last run.
    pub last: Option<Duration>,
    /// The average duration of the last 60 runs.
    pub average: Option<Duration>,
    /// The longest duration of the last 60 runs.
    pub worst: Option<Duration>,
    /// The end of the last run.
    pub checked_at: Option<SystemTime>,
    /// The time of the next run.
    pub next_at: Option<SystemTime>,
    /// The usual time between two runs.
    pub interval: Duration,
    /// The longest time that a run may take.
    pub timeout: Duration,
    /// The duration from which on a run is slow, and the component degraded.
    pub slower_than: Option<Duration>,
}

impl ComponentSnapshot {
    /// Returns whether it belongs to a group.
    pub fn is_in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|each| each.as_str() == group)
    }
}
