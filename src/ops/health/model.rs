use std::time::{Duration, SystemTime};

use super::{
    CheckResult, HealthChange, HealthSnapshot, HealthStatus, Phase, READINESS, STARTUP,
    aggregate::aggregate, component::Component, component_config::ComponentConfig,
};
use crate::call::Label;

/// The state machine of a process: its components and its phase.
#[derive(Debug)]
pub(super) struct HealthModel {
    service: Label,
    release: Option<Label>,
    started_at: SystemTime,
    components: Vec<Component>,
    /// Components that have not worked yet, and must before the process counts as started.
    waits_for: Vec<usize>,
    /// True until the application says that it has started, if that is configured.
    waits_for_application: bool,
    is_shutting_down: bool,
    takes_requests: bool,
    version: u64,
}

impl HealthModel {
    pub(super) fn new(
        service: Label,
        release: Option<Label>,
        components: Vec<ComponentConfig>,
        waits_for_application: bool,
        now: SystemTime,
    ) -> Self {
        HealthModel {
            service,
            release,
            started_at: now,
            waits_for: startup_components(&components),
            components: components
                .into_iter()
                .map(|config| Component::new(config, now))
                .collect(),
            waits_for_application,
            is_shutting_down: false,
            takes_requests: true,
            version: 0,
        }
    }

    /// Counts the result of a run of a component's check.
    pub(super) fn on_result(
        &mut self,
        index: usize,
        now: SystemTime,
        result: CheckResult,
        duration: Duration,
    ) -> Option<HealthChange> {
        let overall_from = self.status();
        let component = &mut self.components[index];
        let before = component.on_result(now, result, duration);
        if component.status().is_working() {
            self.waits_for.retain(|&each| each != index);
        }
        let component = &self.components[index];
        Some(HealthChange {
            from: before?,
            component: component.config().name.clone(),
            is_critical: component.config().is_critical,
            to: component.status(),
            text: component.text().cloned(),
            failures: component.failures(),
            at: now,
            overall_from,
            overall_to: self.status(),
            // That of the snapshot to come.
            version: self.version + 1,
        })
    }

    pub(super) fn set_next_at(&mut self, index: usize, at: SystemTime) {
        self.components[index].set_next_at(at);
    }

    pub(super) fn set_started(&mut self) {
        self.waits_for_application = false;
    }

    pub(super) fn begin_shutdown(&mut self) {
        self.is_shutting_down = true;
    }

    pub(super) fn set_takes_requests(&mut self, takes_requests: bool) {
        self.takes_requests = takes_requests;
    }

    pub(super) fn status(&self) -> HealthStatus {
        let components = self.components.iter();
        aggregate(components.map(|each| (each.config().is_critical, each.status())))
    }

    fn phase(&self) -> Phase {
        if self.is_shutting_down {
            Phase::ShuttingDown
        } else if self.waits_for_application || !self.waits_for.is_empty() {
            Phase::Starting
        } else {
            Phase::Started
        }
    }

    /// Makes the next snapshot.
    pub(super) fn snapshot(&mut self, now: SystemTime) -> HealthSnapshot {
        self.version += 1;
        let mut snapshot = HealthSnapshot {
            service: self.service.clone(),
            release: self.release.clone(),
            version: self.version,
            at: now,
            started_at: self.started_at,
            status: self.status(),
            is_ready: false,
            phase: self.phase(),
            takes_requests: self.takes_requests,
            components: self.components.iter().map(Component::snapshot).collect(),
        };
        snapshot.is_ready = snapshot.is_ready_without(&[] as &[&str]);
        snapshot
    }
}

/// Returns the components that must work once: those of the group `startup`, otherwise the critical ones that readiness
/// depends on.
fn startup_components(components: &[ComponentConfig]) -> Vec<usize> {
    let in_group = |config: &ComponentConfig, group: &str| {
        config.groups.iter().any(|each| each.as_str() == group)
    };
    let has_startup = components.iter().any(|each| in_group(each, STARTUP));
    let has_readiness = components.iter().any(|each| in_group(each, READINESS));
    let must_work = |config: &ComponentConfig| match (has_startup, has_readiness) {
        (true, _) => in_group(config, STARTUP),
        (false, true) => config.is_critical && in_group(config, READINESS),
        (false, false) => config.is_critical,
    };
    let all = components.iter().enumerate();
    all.filter(|(_, config)| must_work(config))
        .map(|(index, _)| index)
        .collect()
}
