use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};

use super::{
    ChannelBuilder, EventNotice, HttpChannel, Message, Notification, http_channel::HttpFormat,
    http_message::HttpMessage, http_sender::HttpSender, signature, webhook_v4,
};
use crate::ops::health::rfc3339::rfc3339;

/// The most keys at once: the current one, and those that receivers still have.
const MAX_KEYS: usize = 8;

/// A generic webhook: alerts in the body of Alertmanager's webhooks, version 4; events with `type`, `timestamp` and `data`.
///
/// Each request has the headers of [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id`, which is the same for each
/// attempt, `webhook-timestamp`, and with a [secret](ChannelBuilder::secret) `webhook-signature`. Any status of 200 to 299 is a
/// success.
#[derive(Debug)]
pub struct Webhook {
    keys: Vec<hmac::Key>,
}

impl Webhook {
    /// Creates a builder of a channel with the name `webhook` and this address: `https`, or `http` to this machine.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, notify::{EventNotice, Webhook}};
    ///
    /// let deployments = Webhook::new("https://hooks.example/deployments")
    ///     .named("deployments")
    ///     .secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ///     .without_alerts()
    ///     .events([EventNotice::DEPLOYMENT_COMPLETED, EventNotice::DEPLOYMENT_FAILED]);
    /// let ops = Ops::builder("orders").notify(deployments).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn new(url: &str) -> ChannelBuilder<HttpChannel<Webhook>> {
        HttpChannel::builder(url, Webhook { keys: Vec::new() })
    }

    /// Adds a key of this secret. One that is invalid is reported by the sender, which masks the others.
    pub(super) fn add_secret(&mut self, secret: &str, sender: &mut HttpSender) {
        let (value, expected) = match signature::parse_secret(secret) {
            Ok(_) if self.keys.len() == MAX_KEYS => ("one too many", "8 in all"),
            Ok(key) => {
                self.keys.push(key);
                return sender.add_secret(secret);
            }
            Err(expected) => ("not a secret for it", expected),
        };
        sender.set_invalid("secret", value.to_owned(), expected);
    }

    fn headers(&self, message: &Message, body: &str) -> HeaderMap {
        let since = message.at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = since.as_secs();
        let mut headers = HeaderMap::new();
        let mut add = |name, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        add("webhook-id", message.id());
        add("webhook-timestamp", &timestamp.to_string());
        if !self.keys.is_empty() {
            let signature = signature::sign(&self.keys, message.id(), timestamp, body);
            add("webhook-signature", &signature);
        }
        headers
    }
}

impl HttpFormat for Webhook {
    const KIND: &'static str = "webhook";

    fn http_message(&self, message: &Message) -> HttpMessage {
        let mut sent = HttpMessage::new(body(message).to_string());
        sent.headers = self.headers(message, &sent.body);
        sent
    }
}

fn body(message: &Message) -> Value {
    match message.notification() {
        Notification::Alerts(group) => webhook_v4::body(message, group),
        Notification::Event(event) => event_body(message, event),
    }
}

fn event_body(message: &Message, event: &EventNotice) -> Value {
    json!({
        "type": event.kind(), "timestamp": rfc3339(event.at()).or_else(|| rfc3339(SystemTime::UNIX_EPOCH)),
        "data": {
            "title": event.title(), "text": event.text(), "severity": event.severity().as_str(), "labels": event.labels(),
            "service": message.service(), "version": message.version(), "instance": message.instance(),
            "environment": message.environment(), "url": message.link(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notify::fixtures::message;

    #[test]
    fn webhook_body_of_an_event_has_type_timestamp_and_data() {
        let mut event = EventNotice::deployment_failed("2.15.0", "migration 31 has failed");
        event.at = UNIX_EPOCH;
        let body = body(&message(Notification::Event(event)));
        let expected = json!({
            "type": "deployment_failed", "timestamp": "1970-01-01T00:00:00Z",
            "data": {
                "title": "deployment of 2.15.0 failed", "text": "migration 31 has failed", "severity": "critical",
                "labels": {"version": "2.15.0"}, "service": "orders", "version": "2.14.0", "instance": "orders-7f9c",
                "environment": "production", "url": "https://ops.example/ops/#journal",
            },
        });
        assert_eq!(body, expected);
    }
}
