//! Notifications as JSON, in the store: what waits, what was told, what was delivered.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value, json};

use super::{
    AlertGroup, AlertNotice, Delivery, DeliveryState, EventNotice, Notification,
    delivery::Attempted,
};
use crate::ops::{journal::Severity, time::unix};

pub(super) fn notification_to_json(notification: &Notification) -> Value {
    match notification {
        Notification::Alerts(group) => {
            let alerts: Vec<Value> = group.alerts.iter().map(alert_to_json).collect();
            json!({
                "rule": group.rule.as_str(), "key": group.key, "firing": group.is_firing,
                "severity": group.severity.as_str(), "alerts": alerts, "truncated": group.truncated,
            })
        }
        Notification::Event(event) => json!({
            "kind": event.kind, "severity": event.severity.as_str(), "title": event.title, "text": event.text,
            "at": unix(event.at), "labels": event.labels,
        }),
    }
}

fn alert_to_json(alert: &AlertNotice) -> Value {
    json!({
        "fingerprint": alert.fingerprint, "firing": alert.is_firing, "severity": alert.severity.as_str(),
        "summary": alert.summary, "value": alert.value, "labels": alert.labels, "annotations": alert.annotations,
        "started_at": unix(alert.started_at), "ended_at": alert.ended_at.map(unix),
        "acknowledged_by": alert.acknowledged_by,
    })
}

/// Returns the notification, or `None` if the JSON is that of another version of this crate.
pub(super) fn notification_from_json(value: &Value) -> Option<Notification> {
    let severity = severity(value)?;
    if value.get("kind").is_none() {
        let alerts = value["alerts"].as_array()?.iter().map(alert_from_json);
        return Some(Notification::Alerts(AlertGroup {
            rule: text(value, "rule")?.into(),
            key: text(value, "key")?,
            is_firing: value["firing"].as_bool()?,
            severity,
            alerts: alerts.collect::<Option<_>>()?,
            truncated: usize::try_from(value["truncated"].as_u64()?).ok()?,
        }));
    }
    Some(Notification::Event(EventNotice {
        kind: text(value, "kind")?,
        severity,
        title: text(value, "title")?,
        text: text(value, "text")?,
        at: time(&value["at"])?,
        labels: texts(value, "labels")?,
    }))
}

fn alert_from_json(value: &Value) -> Option<AlertNotice> {
    Some(AlertNotice {
        fingerprint: text(value, "fingerprint")?,
        is_firing: value["firing"].as_bool()?,
        severity: severity(value)?,
        summary: text(value, "summary")?,
        value: value["value"].as_f64(),
        labels: texts(value, "labels")?,
        annotations: texts(value, "annotations")?,
        started_at: time(&value["started_at"])?,
        ended_at: time(&value["ended_at"]),
        acknowledged_by: text(value, "acknowledged_by"),
    })
}

/// Returns a delivery as it is in the store: with what is sent again.
pub(super) fn delivery_to_json(delivery: &Delivery) -> Value {
    let mut json = delivery.to_json();
    json["notification"] = match &delivery.notification {
        Some(notification) => notification_to_json(notification),
        None => Value::Null,
    };
    json
}

pub(super) fn delivery_from_json(value: &Value) -> Option<Delivery> {
    let tries = value["tries"].as_array()?.iter().map(attempted_from_json);
    Some(Delivery {
        id: text(value, "id")?.into(),
        kind: text(value, "kind")?,
        title: text(value, "title")?,
        severity: severity(value)?,
        queued_at: time(&value["queued_at"])?,
        state: DeliveryState::parse(value["state"].as_str()?)?,
        attempts: u32::try_from(value["attempts"].as_u64()?).ok()?,
        next_at: None,
        tries: tries.collect::<Option<_>>()?,
        notification: notification_from_json(&value["notification"]).map(Arc::new),
    })
}

fn attempted_from_json(value: &Value) -> Option<Attempted> {
    let seconds = value["seconds"].as_f64()?;
    Some(Attempted {
        at: time(&value["at"])?,
        latency: Duration::try_from_secs_f64(seconds).ok()?,
        status: value["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok()),
        error: text(value, "error"),
    })
}

pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn texts(value: &Value, name: &str) -> Option<BTreeMap<String, String>> {
    let members: &Map<String, Value> = value.get(name)?.as_object()?;
    let pairs = members.iter();
    pairs
        .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn severity(value: &Value) -> Option<Severity> {
    let word = value.get("severity")?.as_str()?;
    let all = [Severity::Info, Severity::Warning, Severity::Critical];
    all.into_iter().find(|severity| severity.as_str() == word)
}

pub(super) fn time(value: &Value) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notify::fixtures::group;

    #[test]
    fn notification_survives_the_store() {
        let event = EventNotice::deployment_failed("2", "x").with_label("shop", "eu");
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_621_008_250);
        let event = Notification::Event(EventNotice { at, ..event });
        let alerts = Notification::Alerts(group("errors", Severity::Critical, false));
        for notification in [event, alerts] {
            let json = notification_to_json(&notification).to_string();
            let parsed: Value = serde_json::from_str(&json).expect("json");
            assert_eq!(notification_from_json(&parsed), Some(notification));
        }
    }

    #[test]
    fn notification_of_another_version_is_none() {
        for json in [
            json!(null),
            json!([]),
            json!({"severity": "info"}),
            json!({"severity": "huge", "kind": "x"}),
            json!({"severity": "info", "rule": "x", "key": "x", "firing": 1, "alerts": [], "truncated": 0}),
        ] {
            assert_eq!(notification_from_json(&json), None, "{json}");
        }
    }

    #[test]
    fn delivery_survives_the_store() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(5_250);
        let alerts = Notification::Alerts(group("errors", Severity::Critical, true));
        let mut delivery = Delivery::new("7".into(), &alerts, at);
        delivery.notification = Some(Arc::new(alerts));
        delivery.state = DeliveryState::Dead;
        delivery.tried(Attempted {
            at,
            latency: Duration::from_millis(12),
            status: Some(503),
            error: Some("responds 503".to_owned()),
        });
        let json = delivery_to_json(&delivery);
        assert_eq!(delivery_from_json(&json), Some(delivery));
    }
}
