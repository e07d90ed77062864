use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use super::{ComponentSnapshot, HealthStatus, Phase, aggregate::aggregate};
use crate::call::Label;

/// The group of components that readiness depends on. Without any, it depends on all.
pub const READINESS: &str = "readiness";
/// The group of components that must have worked once before the process counts as started. Without any, those of
/// [`READINESS`].
pub const STARTUP: &str = "startup";

/// The health of a process at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthSnapshot {
    /// The name of the service.
    pub service: Label,
    /// The version of the service.
    pub release: Option<Label>,
    /// The number of the snapshot. A later one has a higher number.
    pub version: u64,
    /// The time at which it was made.
    pub at: SystemTime,
    /// The time at which the [`Health`](super::Health) was built.
    pub started_at: SystemTime,
    /// The status of all components together.
    pub status: HealthStatus,
    /// True if requests may be sent to the process.
    pub is_ready: bool,
    /// The phase of the process.
    pub phase: Phase,
    /// True if the application takes requests, as set by [`Health::set_ready`](super::Health::set_ready).
    pub takes_requests: bool,
    /// The components, in the order in which they were added.
    pub components: Vec<ComponentSnapshot>,
}

impl HealthSnapshot {
    /// Returns whether the process has started, be it shutting down again.
    pub fn is_started(&self) -> bool {
        self.phase != Phase::Starting
    }

    /// Returns a component.
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        self.components
            .iter()
            .find(|each| each.name.as_str() == name)
    }

    /// Returns the time since the [`Health`](super::Health) was built.
    pub fn uptime(&self) -> Duration {
        self.at.duration_since(self.started_at).unwrap_or_default()
    }

    /// Returns the names of the groups, sorted.
    pub fn groups(&self) -> Vec<&str> {
        let groups = self.components.iter().flat_map(|each| &each.groups);
        let groups: BTreeSet<_> = groups.map(Label::as_str).collect();
        groups.into_iter().collect()
    }

    /// Returns the status of a group of components; `None` if no component belongs to it.
    pub fn group(&self, group: &str) -> Option<HealthStatus> {
        let members = self
            .components
            .iter()
            .filter(|each| each.is_in_group(group));
        let mut members = members.map(critical_and_status).peekable();
        members.peek()?;
        Some(aggregate(members))
    }

    /// Returns whether requests may be sent to the process, as if it had no components of these names.
    pub(super) fn is_ready_without(&self, excluded: &[impl AsRef<str>]) -> bool {
        let is_excluded = |name: &str| excluded.iter().any(|each| each.as_ref() == name);
        let has_group = self
            .components
            .iter()
            .any(|each| each.is_in_group(READINESS));
        let relevant = self.components.iter().filter(|each| {
            (!has_group || each.is_in_group(READINESS)) && !is_excluded(each.name.as_str())
        });
        self.phase == Phase::Started
            && self.takes_requests
            && aggregate(relevant.map(critical_and_status)).is_working()
    }
}

fn critical_and_status(component: &ComponentSnapshot) -> (bool, HealthStatus) {
    (component.is_critical, component.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::mixed;

    #[test]
    fn group_has_the_status_of_its_components() {
        let snapshot = mixed();
        assert_eq!(snapshot.groups(), ["core", "readiness"]);
        assert_eq!(snapshot.group("core"), Some(HealthStatus::Degraded));
        assert_eq!(snapshot.group("none"), None);
        let disk = snapshot.component("disk").expect("there");
        assert!(disk.is_in_group("core") && !disk.is_in_group("readiness"));
        assert_eq!(snapshot.component("tape"), None);
    }

    #[test]
    fn uptime_is_zero_if_the_clock_was_set_back() {
        let mut snapshot = mixed();
        assert_eq!(snapshot.uptime(), Duration::from_secs(48));
        (snapshot.at, snapshot.started_at) = (snapshot.started_at, snapshot.at);
        assert_eq!(snapshot.uptime(), Duration::ZERO);
    }

    #[test]
    fn process_has_started_from_its_start_to_its_end() {
        let mut snapshot = mixed();
        let mut is_started = |phase| {
            snapshot.phase = phase;
            snapshot.is_started()
        };
        assert!(!is_started(Phase::Starting));
        assert!(is_started(Phase::Started) && is_started(Phase::ShuttingDown));
    }
}
