use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};

use super::{
    ChannelBuilder, EventNotice, Message, Notification, http_channel::SendsHttp,
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
pub struct Webhook {
    sender: HttpSender,
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
    pub fn new(url: &str) -> ChannelBuilder<Webhook> {
        let webhook = Webhook {
            sender: HttpSender::new(Webhook::KIND, url),
            keys: Vec::new(),
        };
        ChannelBuilder::new(Webhook::KIND, webhook)
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

impl ChannelBuilder<Webhook> {
    /// Signs each request with this secret: `whsec_` and 24 to 64 bytes in Base64.
    ///
    /// To replace a secret, add the new one and keep the old one behind it until all receivers know the new one: each request
    /// has a signature of each. Up to 8. Default: no signature.
    pub fn secret(mut self, secret: &str) -> Self {
        let webhook = &mut self.channel;
        match signature::parse_secret(secret) {
            Ok(_) if webhook.keys.len() == MAX_KEYS => {
                webhook
                    .sender
                    .set_invalid("secret", "one too many".to_owned(), "8 in all");
            }
            Ok(key) => {
                webhook.keys.push(key);
                webhook.sender.add_secret(secret);
            }
            Err(expected) => {
                webhook
                    .sender
                    .set_invalid("secret", "not a secret for it".to_owned(), expected);
            }
        }
        self
    }
}

impl SendsHttp for Webhook {
    const KIND: &'static str = "webhook";

    fn sender(&self) -> &HttpSender {
        &self.sender
    }

    fn sender_mut(&mut self) -> &mut HttpSender {
        &mut self.sender
    }

    fn http_message(&self, message: &Message) -> HttpMessage {
        let mut sent = HttpMessage::new(body(message).to_string());
        sent.headers = self.headers(message, &sent.body);
        sent
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.fmt_channel("Webhook", f)
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
