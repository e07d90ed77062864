use std::{fmt, time::SystemTime};

use ring::digest;
use serde_json::{Value, json};

use super::{
    AlertGroup, ChannelBuilder, EventNotice, HttpChannel, Message, Notification,
    brief::{Brief, shortened},
    http_channel::HttpFormat,
    http_message::HttpMessage,
    secrets::last_four,
};
use crate::ops::{health::rfc3339::rfc3339, journal::Severity};

const ENDPOINT: &str = "https://events.pagerduty.com";
pub(super) const EU: &str = "https://events.eu.pagerduty.com";
const ENQUEUE: &str = "/v2/enqueue";
const ENQUEUE_CHANGE: &str = "/v2/change/enqueue";
// What PagerDuty allows.
const MAX_SUMMARY: usize = 1_024;
const MAX_BODY: usize = 512 * 1_024;
const ROUTING_KEY: usize = 32;

/// PagerDuty, by the Events API, version 2.
///
/// The alerts of a rule are one incident, whose `dedup_key` is the same after a restart: a trigger while they fire, an
/// acknowledgement once all that fire are acknowledged in the console, a resolve. Deployments and other events of severity
/// info are change events, by which nobody is paged; events of a higher severity trigger an incident of their own.
pub struct PagerDuty {
    routing_key: String,
}

impl PagerDuty {
    /// Creates a builder of a channel with the name `pagerduty`, from the integration key of a service: 32 characters. It is a
    /// secret.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, journal::Severity, notify::PagerDuty};
    ///
    /// let pagerduty = PagerDuty::routing_key("0123456789abcdef0123456789abcdef").at_least(Severity::Critical);
    /// let ops = Ops::builder("orders").notify(pagerduty).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn routing_key(key: &str) -> ChannelBuilder<HttpChannel<PagerDuty>> {
        let format = PagerDuty {
            routing_key: key.to_owned(),
        };
        let mut builder = HttpChannel::builder(ENDPOINT, format);
        let sender = &mut builder.channel.sender;
        sender.add_secret(key);
        let is_key = |c: char| c.is_ascii_alphanumeric();
        if key.len() != ROUTING_KEY || !key.chars().all(is_key) {
            let value = "not a key for it".to_owned();
            sender.set_invalid("routing_key", value, "32 letters and digits");
        }
        builder
    }
}

impl HttpFormat for PagerDuty {
    const KIND: &'static str = "pagerduty";

    fn http_message(&self, message: &Message) -> HttpMessage {
        let (path, body) = match message.notification() {
            Notification::Event(event) if is_change(event) => {
                (ENQUEUE_CHANGE, change(message, event))
            }
            _ => (ENQUEUE, event(message)),
        };
        HttpMessage {
            path: Some(path),
            ..HttpMessage::new(with_key(body, &self.routing_key))
        }
    }

    fn shown_target(&self) -> Option<String> {
        Some(format!("routing key {}", last_four(&self.routing_key)))
    }
}

impl fmt::Debug for PagerDuty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PagerDuty");
        debug
            .field("routing_key", &last_four(&self.routing_key))
            .finish_non_exhaustive()
    }
}

/// Returns whether nobody needs to be paged.
fn is_change(event: &EventNotice) -> bool {
    event.severity() == Severity::Info || event.kind().starts_with("deployment_")
}

fn change(message: &Message, event: &EventNotice) -> Value {
    let brief = Brief::new(message);
    json!({
        "payload": {
            "summary": shortened(&brief.headline, MAX_SUMMARY), "source": source(message),
            "timestamp": timestamp(event.at()), "custom_details": details(&brief),
        },
        "links": links(&brief),
    })
}

fn event(message: &Message) -> Value {
    let brief = Brief::new(message);
    let (action, key, severity) = match message.notification() {
        Notification::Alerts(group) => (
            action(group),
            dedup_key(message, &group.key),
            group.severity,
        ),
        Notification::Event(event) => ("trigger", dedup_key(message, message.id()), event.severity),
    };
    let mut body = json!({"event_action": action, "dedup_key": key});
    if action != "trigger" {
        return body;
    }
    body["client"] = "tower-keep".into();
    if let Some(url) = message.external_url() {
        body["client_url"] = url.into();
    }
    body["links"] = links(&brief);
    body["payload"] = json!({
        "summary": shortened(&brief.headline, MAX_SUMMARY), "source": source(message), "severity": severity.as_str(),
        "timestamp": timestamp(brief.at), "component": message.service(), "group": message.environment(),
        "class": message.notification().kind(), "custom_details": details(&brief),
    });
    if body.to_string().len() > MAX_BODY - 1_024 {
        body["payload"]["custom_details"] =
            json!({"error": "left out: the event was larger than 512 kB"});
    }
    body
}

fn action(group: &AlertGroup) -> &'static str {
    match (group.is_firing, group.acknowledged_by()) {
        (false, _) => "resolve",
        (true, Some(_)) => "acknowledge",
        (true, None) => "trigger",
    }
}

/// Returns 64 hexadecimal digits, the same for the same incident in every process of the service.
fn dedup_key(message: &Message, key: &str) -> String {
    let text = format!("tower-keep\n{}\n{key}", message.service());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn source(message: &Message) -> &str {
    message.instance().unwrap_or(message.service())
}

fn timestamp(at: SystemTime) -> Option<String> {
    rfc3339(at)
}

fn details(brief: &Brief) -> Value {
    let facts = brief
        .facts
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let mut details: serde_json::Map<String, Value> = facts.collect();
    details.insert("what".to_owned(), brief.lines.clone().into());
    details.into()
}

fn links(brief: &Brief) -> Value {
    let links = brief
        .link
        .iter()
        .map(|link| json!({"href": link, "text": "Open console"}));
    links.collect()
}

fn with_key(mut body: Value, key: &str) -> String {
    body["routing_key"] = key.into();
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notify::{Channel, fixtures};

    fn of(group: AlertGroup) -> Value {
        event(&fixtures::message(Notification::Alerts(group)))
    }

    #[test]
    fn pagerduty_incident_is_triggered_acknowledged_and_resolved_under_one_key() {
        let trigger = of(fixtures::group("pay", Severity::Critical, true));
        assert_eq!(trigger["event_action"], "trigger");
        let payload = &trigger["payload"];
        assert_eq!(payload["summary"], "[CRITICAL] pay is firing on orders");
        assert_eq!(
            (&payload["severity"], &payload["source"]),
            (&json!("critical"), &json!("orders-7f9c"))
        );
        assert_eq!(payload["timestamp"], "2026-01-17T03:36:48Z");
        let mut acknowledged = fixtures::group("pay", Severity::Critical, true);
        acknowledged.alerts[0].acknowledged_by = Some("mira".to_owned());
        let acknowledged = of(acknowledged);
        let resolve = of(fixtures::group("pay", Severity::Critical, false));
        assert_eq!(acknowledged["event_action"], "acknowledge");
        let key = trigger["dedup_key"].as_str().expect("a key");
        assert_eq!(key.len(), 64);
        assert_eq!(
            resolve,
            json!({"event_action": "resolve", "dedup_key": key})
        );
        assert_eq!(acknowledged["dedup_key"], key);
        let other = of(fixtures::group("queue", Severity::Critical, true));
        assert_ne!(other["dedup_key"], key);
    }

    #[test]
    fn pagerduty_event_is_below_its_limits() {
        let mut group = fixtures::group("pay", Severity::Critical, true);
        group.alerts[0].summary = "ä".repeat(600_000);
        let body = of(group);
        assert!(body.to_string().len() < MAX_BODY);
        assert!(body["payload"]["custom_details"]["error"].is_string());
        let long = fixtures::group(&"ä".repeat(2_000), Severity::Critical, true);
        let summary = of(long)["payload"]["summary"]
            .as_str()
            .expect("a text")
            .chars()
            .count();
        assert_eq!(summary, MAX_SUMMARY);
    }

    #[test]
    fn pagerduty_pages_nobody_for_deployments() {
        let failed = EventNotice::deployment_failed("2", "x");
        assert!(is_change(&failed) && is_change(&EventNotice::new("x", Severity::Info, "x")));
        assert!(!is_change(&EventNotice::new(
            "disk_full",
            Severity::Critical,
            "x"
        )));
        let change = change(
            &fixtures::message(Notification::Event(failed.clone())),
            &failed,
        );
        assert_eq!(
            change["payload"]["summary"],
            "[CRITICAL] deployment of 2 failed on orders"
        );
        assert_eq!(change.get("event_action"), None);
    }

    #[test]
    fn pagerduty_key_is_checked_and_not_shown() {
        let pagerduty = PagerDuty::routing_key("0123456789abcdef0123456789abcdef").channel;
        assert_eq!(pagerduty.validate(), Ok(()));
        assert_eq!(pagerduty.target(), "routing key …cdef");
        let short = PagerDuty::routing_key("hunter2").channel.validate();
        let error = short.expect_err("short").to_string();
        assert!(error.contains("must be 32 letters and digits") && !error.contains("hunter2"));
    }
}
