//! The body of Alertmanager's webhooks, version 4: what receivers of it know.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::{Value, json};

use super::{AlertGroup, AlertNotice, Message};
use crate::ops::health::rfc3339::rfc3339;

/// The time that Go writes where there is none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

type Texts<'a> = BTreeMap<&'a str, &'a str>;

/// Returns the body for a group.
pub(super) fn body(message: &Message, group: &AlertGroup) -> Value {
    let labels: Vec<_> = group
        .alerts
        .iter()
        .map(|alert| labels(message, group, alert))
        .collect();
    let annotations: Vec<_> = group.alerts.iter().map(annotations).collect();
    let alerts = group.alerts.iter().zip(&labels).zip(&annotations);
    let alerts = alerts.map(|((alert, labels), annotations)| {
        json!({
            "status": status(alert.is_firing), "labels": labels, "annotations": annotations,
            "startsAt": time(Some(alert.started_at)), "endsAt": time(alert.ended_at.filter(|_| !alert.is_firing)),
            "generatorURL": link(message, alert), "fingerprint": alert.fingerprint,
        })
    });
    json!({
        "version": "4", "groupKey": group.key, "truncatedAlerts": group.truncated, "status": status(group.is_firing),
        "receiver": message.channel(), "groupLabels": {"alertname": group.rule()}, "commonLabels": common(&labels),
        "commonAnnotations": common(&annotations), "externalURL": message.external_url().unwrap_or_default(),
        "alerts": alerts.collect::<Vec<_>>(),
    })
}

/// Returns the alerts for `POST /api/v2/alerts`.
pub(super) fn alerts(message: &Message, group: &AlertGroup) -> Value {
    let alerts = group.alerts.iter().map(|alert| {
        let mut object = json!({
            "labels": labels(message, group, alert), "annotations": annotations(alert),
            "startsAt": time(Some(alert.started_at)), "generatorURL": link(message, alert),
        });
        // One that fires has no end: Alertmanager gives it one, which each time moves on.
        if !alert.is_firing {
            object["endsAt"] = time(Some(alert.ended_at.unwrap_or_else(|| message.at()))).into();
        }
        object
    });
    alerts.collect()
}

fn status(is_firing: bool) -> &'static str {
    if is_firing { "firing" } else { "resolved" }
}

fn time(time: Option<SystemTime>) -> String {
    time.and_then(rfc3339).unwrap_or_else(|| NO_TIME.to_owned())
}

fn link(message: &Message, alert: &AlertNotice) -> String {
    let base = message.external_url();
    base.map_or_else(String::new, |base| {
        format!("{base}/#alerts?at={}", alert.fingerprint)
    })
}

/// Returns the labels with those that every alert has. Labels of the alert come first: they are its identity.
fn labels<'a>(message: &'a Message, group: &'a AlertGroup, alert: &'a AlertNotice) -> Texts<'a> {
    let own = alert
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut labels = Texts::from([("service", message.service())]);
    labels.extend(message.instance().map(|instance| ("instance", instance)));
    labels.extend(
        message
            .environment()
            .map(|environment| ("environment", environment)),
    );
    labels.extend(own);
    labels.insert("alertname", group.rule());
    // That of the rule, so that an alert keeps its identity when another one of the group is worse.
    labels.insert("severity", alert.severity.as_str());
    // Alertmanager refuses empty ones.
    labels.retain(|_, value| !value.is_empty());
    labels
}

fn annotations(alert: &AlertNotice) -> Texts<'_> {
    let mut annotations = Texts::from([("summary", &*alert.summary)]);
    let own = alert.annotations.iter();
    annotations.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
    annotations
}

/// Returns what all have in common.
fn common<'a>(all: &[Texts<'a>]) -> Texts<'a> {
    let Some((first, others)) = all.split_first() else {
        return Texts::new();
    };
    let is_common =
        |(name, value): &(&&str, &&str)| others.iter().all(|each| each.get(**name) == Some(*value));
    first
        .iter()
        .filter(is_common)
        .map(|(name, value)| (*name, *value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        journal::Severity,
        notify::{Notification, fixtures},
    };

    fn of(group: &AlertGroup, make: fn(&Message, &AlertGroup) -> Value) -> Value {
        make(
            &fixtures::message(Notification::Alerts(group.clone())),
            group,
        )
    }

    #[test]
    fn webhook_body_is_version_4() {
        let group = fixtures::group("pay", Severity::Critical, true);
        let labels = json!({
            "alertname": "pay", "severity": "critical", "route": "POST /pay", "service": "orders",
            "instance": "orders-7f9c", "environment": "production",
        });
        let annotations = json!({
            "summary": "error ratio of POST /pay is 0.12, above 0.05 for 2 min", "runbook": "https://wiki/pay"
        });
        let expected = json!({
            "version": "4", "groupKey": "orders/pay", "truncatedAlerts": 0, "status": "firing", "receiver": "slack",
            "groupLabels": {"alertname": "pay"}, "commonLabels": labels, "commonAnnotations": annotations,
            "externalURL": "https://ops.example/ops",
            "alerts": [{
                "status": "firing", "labels": labels, "annotations": annotations,
                "startsAt": "2026-01-17T03:36:48Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://ops.example/ops/#alerts?at=00000000000000a1", "fingerprint": "00000000000000a1",
            }],
        });
        assert_eq!(of(&group, body), expected);
        let resolved = of(&fixtures::group("pay", Severity::Critical, false), body);
        assert_eq!(resolved["alerts"][0]["endsAt"], "2026-01-17T03:41:48Z");
        assert_eq!(
            (&resolved["status"], &resolved["alerts"][0]["status"]),
            (&json!("resolved"), &json!("resolved"))
        );
    }

    #[test]
    fn webhook_body_has_in_common_what_all_alerts_have() {
        let mut group = fixtures::group("pay", Severity::Critical, true);
        let mut other = fixtures::alert("00000000000000b2", Severity::Warning, true);
        other
            .labels
            .insert("route".to_owned(), "GET /pay".to_owned());
        group.alerts.push(other);
        let body = of(&group, body);
        assert_eq!(body["commonLabels"]["alertname"], "pay");
        assert_eq!(body["commonLabels"].get("route"), None);
        assert_eq!(body["commonLabels"].get("severity"), None);
        assert_eq!(body["alerts"][1]["labels"]["route"], "GET /pay");
    }

    #[test]
    fn alertmanager_alerts_have_an_end_only_if_they_have_ended() {
        let firing = of(&fixtures::group("pay", Severity::Critical, true), alerts);
        assert_eq!(firing[0].get("endsAt"), None);
        let resolved = of(&fixtures::group("pay", Severity::Critical, false), alerts);
        assert_eq!(resolved[0]["endsAt"], "2026-01-17T03:41:48Z");
        assert_eq!(firing[0]["labels"], resolved[0]["labels"], "the same alert");
    }
}
