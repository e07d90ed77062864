use serde_json::{Value, json};

use super::{
    ChannelBuilder, HttpChannel, Message,
    brief::{Brief, shortened},
    http_channel::HttpFormat,
    http_message::HttpMessage,
};
use crate::ops::health::rfc3339::rfc3339;

// What Discord allows; of all texts together, 6,000 characters.
const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 2_500;
const MAX_FIELDS: usize = 12;
const MAX_NAME: usize = 60;
const MAX_VALUE: usize = 200;

/// Discord, by a webhook of a channel.
#[derive(Debug)]
#[non_exhaustive]
pub struct Discord;

impl Discord {
    /// Creates a builder of a channel with the name `discord`, from the URL of a webhook. It is a secret.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, notify::Discord};
    ///
    /// let discord = Discord::webhook("https://discord.com/api/webhooks/1234/XXXXXXXXXXXX");
    /// let ops = Ops::builder("orders").notify(discord).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn webhook(url: &str) -> ChannelBuilder<HttpChannel<Discord>> {
        HttpChannel::builder(url, Discord)
    }
}

impl HttpFormat for Discord {
    const KIND: &'static str = "discord";

    fn http_message(&self, message: &Message) -> HttpMessage {
        HttpMessage::new(body(&Brief::new(message)).to_string())
    }
}

fn body(brief: &Brief) -> Value {
    let fields = brief
        .facts
        .iter()
        .take(MAX_FIELDS)
        .filter(|(_, value)| !value.is_empty());
    let fields = fields.map(|(name, value)| {
        json!({"name": escaped(name, MAX_NAME), "value": escaped(value, MAX_VALUE), "inline": true})
    });
    let mut embed = json!({
        "title": escaped(&brief.headline, MAX_TITLE), "description": escaped(&brief.lines.join("\n"), MAX_DESCRIPTION),
        "color": brief.tone.color(), "fields": fields.collect::<Vec<_>>(),
    });
    if let Some(at) = rfc3339(brief.at) {
        embed["timestamp"] = at.into();
    }
    if let Some(link) = &brief.link {
        embed["url"] = link.as_str().into();
    }
    // Nobody is mentioned, whatever the texts say.
    json!({"embeds": [embed], "allowed_mentions": {"parse": []}})
}

/// Returns a text without markup, at most `max` characters with the backslashes.
fn escaped(text: &str, max: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '[' | ']' | '#'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    let short = shortened(&escaped, max);
    // A backslash whose character was cut off would escape the ellipsis.
    let ended = short.strip_suffix('…').unwrap_or(&short);
    let slashes = ended.len() - ended.trim_end_matches('\\').len();
    match short.ends_with('…') && slashes % 2 == 1 {
        true => format!("{}…", &ended[..ended.len() - 1]),
        false => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        journal::Severity,
        notify::{EventNotice, Notification, fixtures},
    };

    #[test]
    fn discord_body_is_an_embed_without_mentions() {
        let group = fixtures::group("pay_errors", Severity::Critical, true);
        let body = body(&Brief::new(&fixtures::message(Notification::Alerts(group))));
        let embed = &body["embeds"][0];
        assert_eq!(
            embed["title"],
            "\\[CRITICAL\\] pay\\_errors is firing on orders"
        );
        assert_eq!(
            (&embed["color"], &embed["timestamp"]),
            (&json!(0xd3_2f2f), &json!("2026-01-17T03:36:48Z"))
        );
        assert_eq!(
            embed["fields"][0],
            json!({"name": "Service", "value": "orders", "inline": true})
        );
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    }

    #[test]
    fn discord_body_is_within_its_limits() {
        let long = "*".repeat(4_000);
        let mut event = EventNotice::new("x", Severity::Info, &long).with_text(&long);
        for n in 0..32 {
            event = event.with_label(format!("{n}{long}"), &long);
        }
        let body = body(&Brief::new(&fixtures::message(Notification::Event(event))));
        let embed = &body["embeds"][0];
        let count = |value: &Value| value.as_str().expect("a text").chars().count();
        let fields = embed["fields"].as_array().expect("fields");
        let in_fields: usize = fields
            .iter()
            .map(|field| count(&field["name"]) + count(&field["value"]))
            .sum();
        assert!(count(&embed["title"]) <= 256 && fields.len() <= 25);
        assert!(count(&embed["title"]) + count(&embed["description"]) + in_fields <= 6_000);
        assert_eq!(escaped("a**", 3), "a…");
        assert_eq!(escaped("ab*", 4), "ab\\*");
    }
}
