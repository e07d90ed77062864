//! The subject, the text and the HTML of mails, from templates that users can replace.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, Error, Value};

use super::{
    AlertNotice, Message, Notification,
    brief::{Brief, Tone, shortened},
};
use crate::ops::health::rfc3339::rfc3339;

const SUBJECT: &str = "subject.txt";
const TEXT: &str = "body.txt";
const HTML: &str = "body.html";
/// A subject that is longer is cut off by most clients anyway.
const MAX_SUBJECT: usize = 200;

/// The templates of a channel. Those of HTML escape all values.
pub(super) struct EmailTemplates(Environment<'static>);

/// A mail, without its headers.
#[derive(Debug)]
pub(super) struct Rendered {
    /// A single line.
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

impl EmailTemplates {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        environment.set_recursion_limit(100);
        let mut templates = EmailTemplates(environment);
        let all = [
            (SUBJECT, "{{ headline }}"),
            (TEXT, include_str!("email.txt")),
            (HTML, include_str!("email.html")),
        ];
        for (name, source) in all {
            let added = templates.set(name, source);
            debug_assert!(added.is_ok(), "{added:?}");
        }
        templates
    }

    pub(super) fn set_subject(&mut self, source: &str) -> Result<(), String> {
        self.set(SUBJECT, source)
    }

    pub(super) fn set_text(&mut self, source: &str) -> Result<(), String> {
        self.set(TEXT, source)
    }

    pub(super) fn set_html(&mut self, source: &str) -> Result<(), String> {
        self.set(HTML, source)
    }

    fn set(&mut self, name: &'static str, source: &str) -> Result<(), String> {
        let added = self.0.add_template_owned(name, source.to_owned());
        added.map_err(|error| error.to_string())
    }

    pub(super) fn render(&self, message: &Message) -> Result<Rendered, Error> {
        let values = values(message);
        let render = |name| self.0.get_template(name)?.render(values.clone());
        let subject = render(SUBJECT)?;
        let words = subject.split(|c: char| c.is_whitespace() || c.is_control());
        let subject: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        Ok(Rendered {
            subject: shortened(&subject.join(" "), MAX_SUBJECT),
            text: render(TEXT)?,
            html: render(HTML)?,
        })
    }
}

fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::from_object(BTreeMap::from(members))
}

/// Returns the values that templates have; the guide lists them.
fn values(message: &Message) -> Value {
    let brief = Brief::new(message);
    let optional = |text: Option<&str>| text.map_or(Value::from(()), Value::from);
    let (alerts, truncated, text) = match message.notification() {
        Notification::Alerts(group) => {
            let alerts: Value = group.alerts.iter().map(alert).collect();
            (alerts, group.truncated, String::new())
        }
        Notification::Event(event) => {
            (Value::from_iter(Vec::<Value>::new()), 0, event.text.clone())
        }
    };
    object([
        ("headline", brief.headline.as_str().into()),
        ("title", brief.title.as_str().into()),
        ("word", brief.tone.word().into()),
        ("color", color(brief.tone)),
        ("kind", message.notification().kind().into()),
        (
            "severity",
            message.notification().severity().as_str().into(),
        ),
        ("text", text.into()),
        ("lines", brief.lines.iter().map(String::as_str).collect()),
        ("alerts", alerts),
        ("truncated", truncated.into()),
        (
            "facts",
            brief
                .facts
                .iter()
                .map(|(name, value)| pair(name, value))
                .collect(),
        ),
        ("link", optional(brief.link.as_deref())),
        ("service", message.service().into()),
        ("version", optional(message.version())),
        ("instance", optional(message.instance())),
        ("environment", optional(message.environment())),
    ])
}

fn alert(alert: &AlertNotice) -> Value {
    let tone = match alert.is_firing {
        true => Tone::of(alert.severity),
        false => Tone::Resolved,
    };
    let state = if alert.is_firing {
        "firing"
    } else {
        "resolved"
    };
    let time = |at| Value::from(rfc3339(at).unwrap_or_default());
    let pairs = |texts: &BTreeMap<String, String>| -> Value {
        texts
            .iter()
            .map(|(name, value)| pair(name, value))
            .collect()
    };
    object([
        ("state", state.into()),
        ("severity", alert.severity.as_str().into()),
        ("color", color(tone)),
        ("summary", alert.summary.as_str().into()),
        ("value", alert.value.map_or(Value::from(()), Value::from)),
        ("labels", pairs(&alert.labels)),
        ("annotations", pairs(&alert.annotations)),
        ("started_at", time(alert.started_at)),
        ("ended_at", alert.ended_at.map_or(Value::from(()), time)),
    ])
}

fn color(tone: Tone) -> Value {
    format!("#{:06x}", tone.color()).into()
}

fn pair(name: &str, value: &str) -> Value {
    object([("name", name.into()), ("value", value.into())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        journal::Severity,
        notify::{EventNotice, fixtures},
    };

    fn render(templates: &EmailTemplates, notification: Notification) -> Rendered {
        let message = fixtures::message(notification);
        templates.render(&message).expect("rendered")
    }

    #[test]
    fn email_has_subject_text_and_html() {
        let group = fixtures::group("pay", Severity::Critical, true);
        let mail = render(&EmailTemplates::new(), Notification::Alerts(group));
        assert_eq!(mail.subject, "[CRITICAL] pay is firing on orders");
        let expected = "[CRITICAL] pay is firing on orders\n\n\
            firing: error ratio of POST /pay is 0.12, above 0.05 for 2 min\n  since 2026-01-17T03:36:48Z\n  \
            route: POST /pay\n  runbook: https://wiki/pay\n\n\
            Service: orders\nEnvironment: production\nInstance: orders-7f9c\nVersion: 2.14.0\n\
            Since: 2026-01-17T03:36:48Z\nRunbook: https://wiki/pay\n\n\
            https://ops.example/ops/#alerts?at=00000000000000a1\n";
        assert_eq!(mail.text, expected);
        assert!(mail.html.contains("pay is firing</h1>"), "{}", mail.html);
    }

    #[test]
    fn email_html_escapes_all_values() {
        let event = EventNotice::new("x", Severity::Info, "<img src=x onerror=alert(1)>")
            .with_text("</div><script>")
            .with_label("<b>", "\" onclick=\"");
        let mail = render(&EmailTemplates::new(), Notification::Event(event));
        assert!(
            !mail.html.contains("<img") && !mail.html.contains("<script"),
            "{}",
            mail.html
        );
        assert!(
            !mail.html.contains("<b>\"") && mail.html.contains("&lt;img"),
            "{}",
            mail.html
        );
        assert!(mail.text.contains("</div><script>"), "text is text");
    }

    #[test]
    fn email_subject_is_one_short_line() {
        let mut templates = EmailTemplates::new();
        templates
            .set_subject("a\r\nBcc: x@y\n{{ title }}{{ title }}")
            .expect("valid");
        let event = EventNotice::new("x", Severity::Info, "ä".repeat(150));
        let mail = render(&templates, Notification::Event(event));
        assert!(mail.subject.starts_with("a Bcc: x@y "), "{}", mail.subject);
        assert_eq!(mail.subject.chars().count(), MAX_SUBJECT);
    }

    #[test]
    fn email_templates_are_checked() {
        let mut templates = EmailTemplates::new();
        assert!(templates.set_html("{% if %}").is_err());
        templates
            .set_html("<p>{{ service }} {{ missing }}</p>")
            .expect("valid");
        let group = fixtures::group("pay", Severity::Critical, false);
        let mail = render(&templates, Notification::Alerts(group));
        assert_eq!(mail.html, "<p>orders </p>");
    }
}
