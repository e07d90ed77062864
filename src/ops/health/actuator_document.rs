//! The health document of Spring Boot's Actuator.

use serde_json::{Map, Value, json};

use super::{ComponentSnapshot, HealthSnapshot, HealthStatus, rfc3339::rfc3339};

/// Writes a snapshot.
pub(super) fn write(snapshot: &HealthSnapshot, details: bool) -> Value {
    let mut document = Map::new();
    document.insert("status".into(), word(snapshot.status).into());
    if !details {
        return document.into();
    }
    let components = snapshot.components.iter();
    let components: Map<_, _> = components
        .map(|each| (each.name.as_str().to_owned(), component(each)))
        .collect();
    document.insert("components".into(), components.into());
    let groups = snapshot.groups();
    if !groups.is_empty() {
        document.insert("groups".into(), groups.into());
    }
    document.into()
}

/// Returns the word for a status. There is none for what is degraded: it is up, and its details say more.
fn word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy | HealthStatus::Degraded => "UP",
        HealthStatus::Unhealthy => "DOWN",
        HealthStatus::Unknown => "UNKNOWN",
    }
}

fn component(component: &ComponentSnapshot) -> Value {
    let mut details = Map::new();
    let mut insert = |name: &str, value: Value| details.insert(name.to_owned(), value);
    insert("health", component.status.as_str().into());
    insert("kind", component.kind.as_str().into());
    insert("critical", component.is_critical.into());
    if let Some(text) = &component.text {
        insert("reason", text.as_ref().into());
    }
    if let Some(last) = component.last {
        insert("lastSeconds", last.as_secs_f64().into());
    }
    if let Some(since) = rfc3339(component.since) {
        insert("since", since.into());
    }
    json!({ "status": word(component.status), "details": details })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::{mixed, snapshot};

    #[test]
    fn actuator_document_has_components_with_details_and_groups() {
        let since = "2026-01-17T03:36:00Z";
        let expected = json!({
            "status": "UP",
            "components": {
                "ledger-db": {"status": "UP", "details": {
                    "health": "degraded", "kind": "database", "critical": true,
                    "reason": "answers in 412 ms, limit 250 ms", "lastSeconds": 0.412, "since": since,
                }},
                "cache": {"status": "DOWN", "details": {
                    "health": "unhealthy", "kind": "custom", "critical": false,
                    "reason": "connection refused", "lastSeconds": 0.0015, "since": since,
                }},
                "disk": {"status": "UP", "details": {
                    "health": "healthy", "kind": "disk", "critical": true,
                    "reason": "12 % used", "lastSeconds": 0.0015, "since": since,
                }},
                "broker": {"status": "UNKNOWN", "details": {
                    "health": "unknown", "kind": "database", "critical": false, "since": since,
                }},
            },
            "groups": ["core", "readiness"],
        });
        assert_eq!(write(&mixed(), true), expected);
    }

    #[test]
    fn actuator_document_without_details_is_the_status_only() {
        let words =
            HealthStatus::ALL.map(|status| write(&snapshot(status, Vec::new()), false).to_string());
        let expected =
            ["UP", "UP", "DOWN", "UNKNOWN"].map(|word| format!(r#"{{"status":"{word}"}}"#));
        assert_eq!(words, expected);
        let empty = write(&snapshot(HealthStatus::Healthy, Vec::new()), true);
        assert_eq!(empty.to_string(), r#"{"components":{},"status":"UP"}"#);
    }
}
