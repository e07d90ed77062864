use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::{
    ChannelBuilder, HttpChannel, Message, Receipt, SendError,
    brief::{Brief, shortened},
    http_answer::HttpAnswer,
    http_channel::HttpFormat,
    http_message::HttpMessage,
};

// What Slack allows. One that is longer makes it refuse the whole message.
const MAX_HEADER: usize = 150;
const MAX_SECTION: usize = 3_000;
const MAX_FIELDS: usize = 10;
const MAX_FIELD: usize = 2_000;
const MAX_URL: usize = 3_000;
/// The line in lists and on phones.
const MAX_FALLBACK: usize = 300;

/// Slack, by an incoming webhook.
///
/// A message has a header, a sentence for each alert, fields, and a button that leads to the console. A webhook cannot change
/// what it has sent: a resolve is a message of its own. Success is the status 200 with `ok`; any other text is an error that
/// sending again does not help.
#[derive(Debug)]
#[non_exhaustive]
pub struct Slack;

impl Slack {
    /// Creates a builder of a channel with the name `slack`, from the URL of an incoming webhook. It is a secret.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, journal::Severity, notify::Slack};
    ///
    /// let url = "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXX";
    /// let slack = Slack::webhook(url).at_least(Severity::Warning);
    /// let ops = Ops::builder("orders").notify(slack).external_url("https://ops.example/ops").build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn webhook(url: &str) -> ChannelBuilder<HttpChannel<Slack>> {
        HttpChannel::builder(url, Slack)
    }
}

impl HttpFormat for Slack {
    const KIND: &'static str = "slack";

    fn http_message(&self, message: &Message) -> HttpMessage {
        HttpMessage::new(body(&Brief::new(message)).to_string())
    }

    fn read_answer(&self, answer: &HttpAnswer) -> Result<Receipt, SendError> {
        match answer.text.trim() {
            "ok" => Ok(answer.receipt()),
            text => {
                let text = format!("responds {:?}", shortened(text, 100));
                Err(SendError::permanent(text).with_status(answer.status.as_u16()))
            }
        }
    }
}

fn body(brief: &Brief) -> Value {
    let plain = |text: &str, max| json!({"type": "plain_text", "text": shortened(text, max), "emoji": false});
    let mut blocks = vec![json!({"type": "header", "text": plain(&brief.title, MAX_HEADER)})];
    if !brief.lines.is_empty() {
        let text = markdown(&brief.lines.join("\n"), MAX_SECTION);
        blocks.push(json!({"type": "section", "text": text}));
    }
    let fields = brief.facts.iter().take(MAX_FIELDS).map(|(name, value)| {
        // The asterisks are ours, so they must not be among what is cut off.
        let name = escaped(name, 100);
        let value = escaped(value, MAX_FIELD - 110);
        json!({"type": "mrkdwn", "text": format!("*{name}*\n{value}")})
    });
    let fields: Vec<Value> = fields.collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if let Some(link) = brief.link.as_ref().filter(|link| link.len() <= MAX_URL) {
        let button = json!({"type": "button", "text": plain("Open console", 75), "url": link});
        blocks.push(json!({"type": "actions", "elements": [button]}));
    }
    let seconds = brief
        .at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let time = format!("<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|at {seconds}>");
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": time}]}));
    json!({
        "text": escaped(&brief.headline, MAX_FALLBACK),
        "attachments": [{"color": format!("#{:06x}", brief.tone.color()), "blocks": blocks}],
    })
}

fn markdown(text: &str, max: usize) -> Value {
    json!({"type": "mrkdwn", "text": escaped(text, max)})
}

/// Returns a text in which Slack finds no link and no mention, at most `max` characters once it is escaped.
fn escaped(text: &str, max: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut count = 0;
    for c in text.chars() {
        let plain = c.encode_utf8(&mut [0; 4]).to_owned();
        let part = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => &plain,
        };
        let length = part.chars().count();
        if count + length > max {
            // Room for the ellipsis, without a half of an entity.
            while escaped.chars().count() >= max {
                match escaped
                    .rfind('&')
                    .filter(|at| escaped[*at..].ends_with(';'))
                {
                    Some(at) if escaped.len() - at <= 5 => escaped.truncate(at),
                    _ => drop(escaped.pop()),
                }
            }
            escaped.push('…');
            return escaped;
        }
        count += length;
        escaped.push_str(part);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::{
        journal::Severity,
        notify::{EventNotice, Notification, fixtures},
    };

    #[test]
    fn slack_body_has_header_lines_fields_button_and_time() {
        let group = fixtures::group("pay", Severity::Critical, true);
        let body = body(&Brief::new(&fixtures::message(Notification::Alerts(group))));
        assert_eq!(body["text"], "[CRITICAL] pay is firing on orders");
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["color"], "#d32f2f");
        let kinds: Vec<_> = attachment["blocks"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|block| block["type"].as_str())
            .collect();
        assert_eq!(
            kinds,
            ["header", "section", "section", "actions", "context"].map(Some)
        );
        assert_eq!(attachment["blocks"][0]["text"]["text"], "pay is firing");
        assert_eq!(
            attachment["blocks"][2]["fields"][0]["text"],
            "*Service*\norders"
        );
        let time = &attachment["blocks"][4]["elements"][0]["text"];
        assert_eq!(
            time,
            "<!date^1768621008^{date_short_pretty} {time_secs}|at 1768621008>"
        );
    }

    #[test]
    fn slack_text_has_no_mention_and_no_link() {
        let text = "<!channel> & <https://evil|ok>";
        let event = EventNotice::new("x", Severity::Info, text).with_text("<@U1>");
        let body = body(&Brief::new(&fixtures::message(Notification::Event(event))));
        let blocks = &body["attachments"][0]["blocks"];
        assert_eq!(
            body["text"],
            "[INFO] &lt;!channel&gt; &amp; &lt;https://evil|ok&gt; on orders"
        );
        assert_eq!(
            blocks[0]["text"]["type"], "plain_text",
            "which Slack does not interpret"
        );
        assert_eq!(blocks[1]["text"]["text"], "&lt;@U1&gt;");
    }

    proptest! {
        #[test]
        fn slack_text_is_within_its_limit_and_has_whole_entities(text in "[a<>&ä ]{0,40}", max in 1usize..40) {
            let escaped = escaped(&text, max);
            prop_assert!(escaped.chars().count() <= max);
            prop_assert!(!escaped.contains(['<', '>']));
            let rest = escaped.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            prop_assert!(!rest.contains('&'), "{escaped}");
        }
    }
}
