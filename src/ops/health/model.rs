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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::{at, config, critical, in_group};
    use HealthStatus::*;

    fn model(components: Vec<ComponentConfig>) -> HealthModel {
        HealthModel::new("orders".into(), None, components, false, at(0))
    }

    fn set(model: &mut HealthModel, index: usize, status: HealthStatus) -> Option<HealthChange> {
        model.on_result(index, at(1), CheckResult::new(status), Duration::ZERO)
    }

    /// Returns phase, readiness and status of the next snapshot.
    fn state(model: &mut HealthModel) -> (Phase, bool, HealthStatus) {
        let snapshot = model.snapshot(at(2));
        (snapshot.phase, snapshot.is_ready, snapshot.status)
    }

    #[test]
    fn process_without_checks_has_started_and_is_ready() {
        assert_eq!(
            state(&mut model(Vec::new())),
            (Phase::Started, true, Healthy)
        );
        let mut model = model(vec![config("cache")]);
        assert_eq!(
            state(&mut model),
            (Phase::Started, true, Degraded),
            "not critical"
        );
    }

    #[test]
    fn process_has_started_once_each_critical_component_has_worked_and_stays_started() {
        let mut model = model(vec![critical("db"), critical("broker"), config("cache")]);
        assert_eq!(state(&mut model), (Phase::Starting, false, Unknown));
        set(&mut model, 0, Degraded);
        set(&mut model, 2, Healthy);
        set(&mut model, 1, Unhealthy);
        assert_eq!(state(&mut model), (Phase::Starting, false, Unhealthy));
        set(&mut model, 0, Unhealthy);
        set(&mut model, 1, Healthy);
        assert_eq!(state(&mut model), (Phase::Started, false, Unhealthy));
        set(&mut model, 0, Healthy);
        assert_eq!(state(&mut model), (Phase::Started, true, Healthy));
        set(&mut model, 0, Unknown);
        assert_eq!(state(&mut model), (Phase::Started, false, Unknown));
    }

    #[test]
    fn process_that_waits_for_the_application_starts_when_that_says_so() {
        let mut model = HealthModel::new("orders".into(), None, vec![critical("db")], true, at(0));
        set(&mut model, 0, Healthy);
        assert_eq!(state(&mut model), (Phase::Starting, false, Healthy));
        model.set_started();
        assert_eq!(state(&mut model), (Phase::Started, true, Healthy));
    }

    #[test]
    fn startup_depends_on_its_group_else_on_readiness_else_on_all() {
        let names = |components: &[ComponentConfig]| startup_components(components);
        let plain = [critical("a"), config("b"), critical("c")];
        assert_eq!(names(&plain), [0, 2]);
        let readiness = [
            critical("a"),
            in_group(config("b"), READINESS),
            in_group(critical("c"), READINESS),
        ];
        assert_eq!(names(&readiness), [2]);
        let startup = [
            critical("a"),
            in_group(config("b"), STARTUP),
            in_group(critical("c"), READINESS),
        ];
        assert_eq!(names(&startup), [1]);
    }

    #[test]
    fn readiness_depends_on_its_group_if_there_is_one() {
        let mut model = model(vec![critical("a"), in_group(critical("b"), READINESS)]);
        set(&mut model, 1, Healthy);
        set(&mut model, 0, Unhealthy);
        assert_eq!(state(&mut model), (Phase::Started, true, Unhealthy));
        set(&mut model, 1, Unhealthy);
        assert_eq!(state(&mut model), (Phase::Started, false, Unhealthy));
    }

    #[test]
    fn readiness_goes_down_on_shutdown_and_while_the_application_takes_no_requests() {
        let mut model = model(Vec::new());
        model.set_takes_requests(false);
        assert_eq!(state(&mut model), (Phase::Started, false, Healthy));
        model.set_takes_requests(true);
        assert_eq!(state(&mut model), (Phase::Started, true, Healthy));
        model.begin_shutdown();
        model.set_takes_requests(true);
        assert_eq!(state(&mut model), (Phase::ShuttingDown, false, Healthy));
        assert!(model.snapshot(at(2)).is_started());
    }

    #[test]
    fn change_has_both_statuses_of_the_component_and_of_all() {
        let mut model = model(vec![critical("db"), config("cache")]);
        set(&mut model, 0, Healthy);
        assert_eq!(set(&mut model, 0, Healthy), None);
        let snapshot = model.snapshot(at(3));
        let result = CheckResult::unhealthy("connection refused");
        let change = model
            .on_result(0, at(4), result, Duration::ZERO)
            .expect("changed");
        let expected = HealthChange {
            component: "db".into(),
            is_critical: true,
            from: Healthy,
            to: Unhealthy,
            text: Some("connection refused".into()),
            failures: 1,
            at: at(4),
            overall_from: Degraded,
            overall_to: Unhealthy,
            version: snapshot.version + 1,
        };
        assert_eq!(change, expected);
        let snapshot = model.snapshot(at(5));
        assert_eq!((snapshot.version, snapshot.at), (expected.version, at(5)));
        assert_eq!(
            (snapshot.started_at, snapshot.uptime()),
            (at(0), Duration::from_secs(5))
        );
    }

    #[test]
    fn next_run_is_that_of_its_component() {
        let mut model = model(vec![config("a"), config("b")]);
        model.set_next_at(1, at(9));
        let next = model.snapshot(at(2)).components;
        let next: Vec<_> = next.iter().map(|each| each.next_at).collect();
        assert_eq!(next, [None, Some(at(9))]);
    }

    #[test]
    fn excluded_component_does_not_count_for_readiness() {
        let mut model = model(vec![critical("a"), critical("b")]);
        set(&mut model, 0, Healthy);
        set(&mut model, 1, Healthy);
        set(&mut model, 1, Unhealthy);
        let snapshot = model.snapshot(at(2));
        assert!(!snapshot.is_ready && !snapshot.is_ready_without(&["a"]));
        assert!(snapshot.is_ready_without(&["b"]));
        model.begin_shutdown();
        assert!(!model.snapshot(at(2)).is_ready_without(&["a", "b"]));
    }
}
