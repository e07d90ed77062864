use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    CheckResult, ComponentSnapshot, HealthStatus, component_config::ComponentConfig,
    recent_durations::RecentDurations,
};

/// The state machine of one component.
#[derive(Clone, Debug)]
pub(super) struct Component {
    config: ComponentConfig,
    status: HealthStatus,
    text: Option<Arc<str>>,
    since: SystemTime,
    failures: u32,
    runs: u64,
    durations: RecentDurations,
    checked_at: Option<SystemTime>,
    next_at: Option<SystemTime>,
}

impl Component {
    pub(super) fn new(config: ComponentConfig, now: SystemTime) -> Self {
        Component {
            config,
            status: HealthStatus::Unknown,
            text: None,
            since: now,
            failures: 0,
            runs: 0,
            durations: RecentDurations::default(),
            checked_at: None,
            next_at: None,
        }
    }

    pub(super) fn config(&self) -> &ComponentConfig {
        &self.config
    }

    pub(super) fn status(&self) -> HealthStatus {
        self.status
    }

    pub(super) fn text(&self) -> Option<&Arc<str>> {
        self.text.as_ref()
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts the result of a run. Returns the status before if it has changed.
    pub(super) fn on_result(
        &mut self,
        now: SystemTime,
        result: CheckResult,
        duration: Duration,
    ) -> Option<HealthStatus> {
        self.runs += 1;
        self.durations.push(duration);
        self.checked_at = Some(now);
        let result = self.degrade_if_slow(result, duration);
        let status = self.next_status(result.status());
        self.text = result.into_text();
        let before = std::mem::replace(&mut self.status, status);
        if before == status {
            return None;
        }
        self.since = now;
        Some(before)
    }

    /// Sets the time of the next run, which is only shown.
    pub(super) fn set_next_at(&mut self, at: SystemTime) {
        self.next_at = Some(at);
    }

    fn degrade_if_slow(&self, result: CheckResult, duration: Duration) -> CheckResult {
        match self.config.slower_than {
            Some(limit) if result.status() == HealthStatus::Healthy && duration >= limit => {
                let (ms, limit) = (duration.as_millis(), limit.as_millis());
                CheckResult::degraded(format!("answers in {ms} ms, limit {limit} ms"))
            }
            _ => result,
        }
    }

    fn next_status(&mut self, result: HealthStatus) -> HealthStatus {
        match result {
            HealthStatus::Unhealthy => {
                self.failures = self.failures.saturating_add(1);
                match self.status {
                    _ if self.failures >= self.config.failures => HealthStatus::Unhealthy,
                    // A component that has never worked must not be taken for one that does.
                    HealthStatus::Unknown | HealthStatus::Unhealthy => self.status,
                    HealthStatus::Healthy | HealthStatus::Degraded => HealthStatus::Degraded,
                }
            }
            // It neither failed nor worked.
            HealthStatus::Unknown => HealthStatus::Unknown,
            HealthStatus::Healthy | HealthStatus::Degraded => {
                self.failures = 0;
                result
            }
        }
    }

    pub(super) fn snapshot(&self) -> ComponentSnapshot {
        let config = &self.config;
        ComponentSnapshot {
            name: config.name.clone(),
            kind: config.kind.clone(),
            is_critical: config.is_critical,
            groups: config.groups.clone(),
            status: self.status,
            text: self.text.clone(),
            since: self.since,
            runs: self.runs,
            failures: self.failures,
            last: self.durations.last(),
            average: self.durations.average(),
            worst: self.durations.worst(),
            checked_at: self.checked_at,
            next_at: self.next_at,
            interval: config.interval,
            slower_than: config.slower_than,
        }
    }
}
