//! `application/health+json`, of `draft-inadarei-api-health-check-06`.

use serde_json::{Map, Value, json};

use super::{ComponentSnapshot, HealthSnapshot, HealthStatus, rfc3339::rfc3339};

/// Writes a snapshot.
pub(super) fn write(snapshot: &HealthSnapshot, details: bool) -> Value {
    let mut document = Map::new();
    document.insert("status".into(), word(snapshot.status).into());
    if !details {
        return document.into();
    }
    if let Some(release) = &snapshot.release {
        document.insert("releaseId".into(), release.as_str().into());
    }
    document.insert("serviceId".into(), snapshot.service.as_str().into());
    if snapshot.status != HealthStatus::Healthy {
        document.insert("output".into(), output(snapshot).into());
    }
    let components = snapshot.components.iter().map(|component| {
        let key = format!("{}:responseTime", component.name);
        (key, json!([check(component)]))
    });
    let checks = components.chain([("uptime".to_owned(), json!([uptime(snapshot)]))]);
    document.insert("checks".into(), Value::Object(checks.collect()));
    document.into()
}

fn word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy => "pass",
        HealthStatus::Degraded | HealthStatus::Unknown => "warn",
        HealthStatus::Unhealthy => "fail",
    }
}

/// Names the components that are not healthy.
fn output(snapshot: &HealthSnapshot) -> String {
    let others = snapshot
        .components
        .iter()
        .filter(|each| each.status != HealthStatus::Healthy);
    let texts: Vec<_> = others
        .map(|each| format!("{} is {}", each.name, each.status))
        .collect();
    texts.join(", ")
}

fn check(component: &ComponentSnapshot) -> Value {
    let mut check = Map::new();
    let mut insert = |name: &str, value: Value| check.insert(name.to_owned(), value);
    insert("componentId", component.name.as_str().into());
    insert(
        "componentType",
        component_type(component.kind.as_str()).into(),
    );
    if let Some(last) = component.last {
        insert("observedValue", (last.as_micros() as f64 / 1_000.0).into());
        insert("observedUnit", "ms".into());
    }
    insert("status", word(component.status).into());
    if let Some(time) = component.checked_at.and_then(rfc3339) {
        insert("time", time.into());
    }
    if let (Some(text), true) = (&component.text, component.status != HealthStatus::Healthy) {
        insert("output", text.as_ref().into());
    }
    // Further keys are allowed.
    insert("health", component.status.as_str().into());
    insert("kind", component.kind.as_str().into());
    insert("critical", component.is_critical.into());
    insert("failures", component.failures.into());
    if let Some(since) = rfc3339(component.since) {
        insert("since", since.into());
    }
    check.into()
}

/// Returns one of the three types that the draft has.
fn component_type(kind: &str) -> &'static str {
    match kind {
        "database" | "cache" | "datastore" => "datastore",
        "runtime" | "disk" | "system" => "system",
        _ => "component",
    }
}

fn uptime(snapshot: &HealthSnapshot) -> Value {
    json!({
        "componentType": "system",
        "observedValue": snapshot.uptime().as_secs(),
        "observedUnit": "s",
        "status": "pass",
        "time": rfc3339(snapshot.at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::{component, mixed, snapshot};

    #[test]
    fn health_json_has_each_component_with_its_response_time() {
        let time = "2026-01-17T03:36:30Z";
        let since = "2026-01-17T03:36:00Z";
        let expected = json!({
            "status": "warn",
            "releaseId": "2.14.0",
            "serviceId": "orders",
            "output": "ledger-db is degraded, cache is unhealthy, broker is unknown",
            "checks": {
                "ledger-db:responseTime": [{
                    "componentId": "ledger-db", "componentType": "datastore",
                    "observedValue": 412.0, "observedUnit": "ms",
                    "status": "warn", "time": time, "output": "answers in 412 ms, limit 250 ms",
                    "health": "degraded", "kind": "database", "critical": true, "failures": 0, "since": since,
                }],
                "cache:responseTime": [{
                    "componentId": "cache", "componentType": "component",
                    "observedValue": 1.5, "observedUnit": "ms",
                    "status": "fail", "time": time, "output": "connection refused",
                    "health": "unhealthy", "kind": "custom", "critical": false, "failures": 3, "since": since,
                }],
                "disk:responseTime": [{
                    "componentId": "disk", "componentType": "system",
                    "observedValue": 1.5, "observedUnit": "ms", "status": "pass", "time": time,
                    "health": "healthy", "kind": "disk", "critical": true, "failures": 0, "since": since,
                }],
                "broker:responseTime": [{
                    "componentId": "broker", "componentType": "datastore", "status": "warn",
                    "health": "unknown", "kind": "database", "critical": false, "failures": 0, "since": since,
                }],
                "uptime": [{
                    "componentType": "system", "observedValue": 48, "observedUnit": "s",
                    "status": "pass", "time": "2026-01-17T03:36:48Z",
                }],
            },
        });
        assert_eq!(write(&mixed(), true), expected);
    }

    #[test]
    fn health_json_without_details_is_the_status_only() {
        let words =
            HealthStatus::ALL.map(|status| write(&snapshot(status, Vec::new()), false).to_string());
        let expected =
            ["pass", "warn", "fail", "warn"].map(|word| format!(r#"{{"status":"{word}"}}"#));
        assert_eq!(words, expected);
        let document = write(&mixed(), false);
        assert_eq!(document.to_string(), r#"{"status":"warn"}"#);
    }

    #[test]
    fn health_json_of_a_healthy_process_has_no_output() {
        let healthy = snapshot(
            HealthStatus::Healthy,
            vec![component("db", HealthStatus::Healthy)],
        );
        assert_eq!(write(&healthy, true).get("output"), None);
    }

    #[test]
    fn kind_decides_the_type_of_a_component() {
        for (kind, expected) in [
            ("database", "datastore"),
            ("cache", "datastore"),
            ("datastore", "datastore"),
            ("runtime", "system"),
            ("disk", "system"),
            ("system", "system"),
            ("external_api", "component"),
        ] {
            assert_eq!(component_type(kind), expected, "{kind}");
        }
    }
}
