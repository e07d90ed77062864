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
            timeout: config.timeout,
            slower_than: config.slower_than,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::{at, config};
    use HealthStatus::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn component(failures: u32, slower_than: Option<Duration>) -> Component {
        let config = ComponentConfig {
            failures,
            slower_than,
            ..config("db")
        };
        Component::new(config, at(0))
    }

    /// Feeds results, and returns the status after each.
    fn statuses(component: &mut Component, results: &[HealthStatus]) -> Vec<HealthStatus> {
        let mut statuses = Vec::new();
        for (second, &result) in results.iter().enumerate() {
            component.on_result(at(second as u64), CheckResult::new(result), ms(1));
            statuses.push(component.status());
        }
        statuses
    }

    #[test]
    fn component_is_unknown_until_its_first_result() {
        let component = component(1, None);
        let snapshot = component.snapshot();
        assert_eq!((snapshot.status, snapshot.since), (Unknown, at(0)));
        assert_eq!(
            (snapshot.runs, snapshot.checked_at, snapshot.next_at),
            (0, None, None)
        );
    }

    #[test]
    fn component_with_a_threshold_is_degraded_first_and_recovers_with_one_success() {
        let mut component = component(3, None);
        let results = [
            Healthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Healthy, Unhealthy,
        ];
        let expected = [
            Healthy, Degraded, Degraded, Unhealthy, Unhealthy, Healthy, Degraded,
        ];
        assert_eq!(statuses(&mut component, &results), expected);
        assert_eq!(component.failures(), 1);
    }

    #[test]
    fn component_that_never_worked_stays_unknown_below_the_threshold() {
        let results = [Unhealthy, Unhealthy, Unhealthy];
        let expected = [Unknown, Unknown, Unhealthy];
        assert_eq!(statuses(&mut component(3, None), &results), expected);
        let expected = [Unhealthy; 3];
        assert_eq!(statuses(&mut component(1, None), &results), expected);
    }

    #[test]
    fn result_that_is_unknown_neither_counts_nor_forgets_failures() {
        let mut component = component(2, None);
        let results = [
            Healthy, Unhealthy, Unknown, Unhealthy, Unknown, Unhealthy, Degraded,
        ];
        let expected = [
            Healthy, Degraded, Unknown, Unhealthy, Unknown, Unhealthy, Degraded,
        ];
        assert_eq!(statuses(&mut component, &results), expected);
        assert_eq!(component.failures(), 0);
    }

    #[test]
    fn component_that_is_unhealthy_stays_so_if_the_check_fails_below_a_threshold() {
        // After an unknown result the count goes on; after a success it begins again.
        let mut component = component(2, None);
        component.status = Unhealthy;
        assert_eq!(
            statuses(&mut component, &[Unhealthy, Unhealthy]),
            [Unhealthy, Unhealthy]
        );
    }

    #[test]
    fn component_that_is_slow_is_degraded_with_a_text() {
        let mut component = component(1, Some(ms(250)));
        let text = |component: &Component| component.text().map(ToString::to_string);
        assert_eq!(
            component.on_result(at(1), CheckResult::healthy(), ms(249)),
            Some(Unknown)
        );
        assert_eq!((component.status(), text(&component)), (Healthy, None));
        assert_eq!(
            component.on_result(at(2), CheckResult::healthy(), ms(250)),
            Some(Healthy)
        );
        let slow = "answers in 250 ms, limit 250 ms".to_owned();
        assert_eq!(
            (component.status(), text(&component)),
            (Degraded, Some(slow))
        );
        let failed = CheckResult::unhealthy("connection refused");
        assert_eq!(component.on_result(at(3), failed, ms(900)), Some(Degraded));
        let reason = "connection refused".to_owned();
        assert_eq!(
            (component.status(), text(&component)),
            (Unhealthy, Some(reason))
        );
    }

    #[test]
    fn snapshot_has_since_of_the_last_change_and_counts_of_all_runs() {
        let mut component = component(1, None);
        assert_eq!(
            component.on_result(at(1), CheckResult::healthy(), ms(10)),
            Some(Unknown)
        );
        let text = CheckResult::healthy().with_text("3 replicas");
        assert_eq!(component.on_result(at(31), text, ms(30)), None);
        component.set_next_at(at(61));
        let snapshot = component.snapshot();
        assert_eq!(
            (snapshot.since, snapshot.checked_at, snapshot.next_at),
            (at(1), Some(at(31)), Some(at(61)))
        );
        assert_eq!(
            (snapshot.last, snapshot.average, snapshot.worst),
            (Some(ms(30)), Some(ms(20)), Some(ms(30)))
        );
        assert_eq!(
            (snapshot.runs, snapshot.failures, snapshot.text.as_deref()),
            (2, 0, Some("3 replicas"))
        );
        assert_eq!(
            (snapshot.name.as_str(), snapshot.kind.as_str()),
            ("db", "custom")
        );
        assert_eq!(
            (snapshot.interval, snapshot.timeout, snapshot.slower_than),
            (ms(30_000), ms(5_000), None)
        );
    }
}
