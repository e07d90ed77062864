//! Values for unit tests.

use std::time::{Duration, SystemTime};

use super::{
    ComponentSnapshot, HealthSnapshot, HealthStatus, Phase, component_config::ComponentConfig,
};

/// Returns a moment, so many seconds after 2026-01-17T03:36:00Z.
pub(super) fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_620_960 + secs)
}

pub(super) fn config(name: &'static str) -> ComponentConfig {
    ComponentConfig {
        name: name.into(),
        kind: "custom".into(),
        is_critical: false,
        groups: Vec::new(),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        slower_than: None,
        failures: 1,
    }
}

pub(super) fn critical(name: &'static str) -> ComponentConfig {
    ComponentConfig {
        is_critical: true,
        ..config(name)
    }
}

pub(super) fn in_group(config: ComponentConfig, group: &'static str) -> ComponentConfig {
    ComponentConfig {
        groups: vec![group.into()],
        ..config
    }
}

/// Returns a component that has been checked once.
pub(super) fn component(name: &'static str, status: HealthStatus) -> ComponentSnapshot {
    ComponentSnapshot {
        name: name.into(),
        kind: "database".into(),
        is_critical: true,
        groups: Vec::new(),
        status,
        text: None,
        since: at(0),
        runs: 1,
        failures: 0,
        last: Some(Duration::from_micros(1_500)),
        average: Some(Duration::from_micros(1_500)),
        worst: Some(Duration::from_micros(1_500)),
        checked_at: Some(at(30)),
        next_at: Some(at(60)),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        slower_than: None,
    }
}

/// Returns a snapshot of a process that has started, after 48 s.
pub(super) fn snapshot(status: HealthStatus, components: Vec<ComponentSnapshot>) -> HealthSnapshot {
    HealthSnapshot {
        service: "orders".into(),
        release: Some("2.14.0".into()),
        version: 7,
        at: at(48),
        started_at: at(0),
        status,
        is_ready: true,
        phase: Phase::Started,
        takes_requests: true,
        components,
    }
}

/// Returns a slow component, one that does not work, a healthy one, and one that has not been checked yet.
pub(super) fn mixed() -> HealthSnapshot {
    let mut db = component("ledger-db", HealthStatus::Degraded);
    db.text = Some("answers in 412 ms, limit 250 ms".into());
    db.last = Some(Duration::from_millis(412));
    db.groups = vec!["readiness".into(), "core".into()];
    let mut cache = component("cache", HealthStatus::Unhealthy);
    cache.is_critical = false;
    cache.kind = "custom".into();
    cache.text = Some("connection refused".into());
    cache.failures = 3;
    let mut disk = component("disk", HealthStatus::Healthy);
    disk.kind = "disk".into();
    disk.text = Some("12 % used".into());
    disk.groups = vec!["core".into()];
    let mut broker = component("broker", HealthStatus::Unknown);
    broker.is_critical = false;
    (broker.last, broker.checked_at, broker.runs) = (None, None, 0);
    snapshot(HealthStatus::Degraded, vec![db, cache, disk, broker])
}
