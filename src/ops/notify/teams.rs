use serde_json::{Value, json};

use super::{
    ChannelBuilder, HttpChannel, Message,
    brief::{Brief, Tone, shortened},
    http_channel::HttpFormat,
    http_message::HttpMessage,
};

// Teams takes 28 kB in all.
const MAX_TITLE: usize = 256;
const MAX_LINE: usize = 500;
const MAX_LINES: usize = 20;
const MAX_FACTS: usize = 12;
const MAX_VALUE: usize = 200;

/// Microsoft Teams, by a workflow that posts what its webhook gets to a channel ("Post to a channel when a webhook request is
/// received"). The message is an adaptive card.
#[derive(Debug)]
#[non_exhaustive]
pub struct Teams;

impl Teams {
    /// Creates a builder of a channel with the name `teams`, from the URL of a workflow. It is a secret.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, notify::Teams};
    ///
    /// let teams = Teams::workflow("https://prod-01.westeurope.logic.azure.com/workflows/1234/triggers/manual/paths/invoke?sig=XXXX");
    /// let ops = Ops::builder("orders").notify(teams).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn workflow(url: &str) -> ChannelBuilder<HttpChannel<Teams>> {
        HttpChannel::builder(url, Teams)
    }
}

impl HttpFormat for Teams {
    const KIND: &'static str = "teams";

    fn http_message(&self, message: &Message) -> HttpMessage {
        HttpMessage::new(body(&Brief::new(message)).to_string())
    }
}

fn body(brief: &Brief) -> Value {
    let color = match brief.tone {
        Tone::Info => "Accent",
        Tone::Warning => "Warning",
        Tone::Critical => "Attention",
        Tone::Resolved => "Good",
    };
    let title = json!({
        "type": "TextRun", "text": shortened(&brief.headline, MAX_TITLE), "weight": "Bolder", "size": "Medium", "color": color,
    });
    let mut parts = vec![paragraph([title])];
    let lines = brief
        .lines
        .iter()
        .filter(|line| !line.is_empty())
        .take(MAX_LINES);
    parts.extend(lines.map(|line| paragraph([run(&shortened(line, MAX_LINE))])));
    let facts = brief.facts.iter().take(MAX_FACTS);
    parts.extend(facts.map(|(name, value)| {
        let name = json!({"type": "TextRun", "text": format!("{}: ", shortened(name, MAX_VALUE)), "isSubtle": true});
        paragraph([name, run(&shortened(value, MAX_VALUE))])
    }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "body": parts, "fallbackText": shortened(&brief.headline, MAX_TITLE),
    });
    if let Some(link) = &brief.link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open console", "url": link}]);
    }
    let attachment =
        json!({"contentType": "application/vnd.microsoft.card.adaptive", "content": card});
    json!({"type": "message", "attachments": [attachment]})
}

/// Returns a paragraph of runs, which unlike text blocks have no Markdown in them.
fn paragraph<const N: usize>(runs: [Value; N]) -> Value {
    json!({"type": "RichTextBlock", "inlines": Value::from_iter(runs)})
}

fn run(text: &str) -> Value {
    json!({"type": "TextRun", "text": text})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        journal::Severity,
        notify::{EventNotice, Notification, fixtures},
    };

    #[test]
    fn teams_body_is_a_card_of_plain_runs() {
        let group = fixtures::group("pay", Severity::Critical, false);
        let body = body(&Brief::new(&fixtures::message(Notification::Alerts(group))));
        let card = &body["attachments"][0]["content"];
        let run = &card["body"][0]["inlines"][0];
        assert_eq!(
            (&run["text"], &run["color"]),
            (
                &json!("[RESOLVED] pay is resolved on orders"),
                &json!("Good")
            )
        );
        assert_eq!(card["actions"][0]["type"], "Action.OpenUrl");
        let parts = card["body"].as_array().expect("parts");
        assert!(parts.iter().all(|part| part["type"] == "RichTextBlock"));
    }

    #[test]
    fn teams_body_is_below_28_kilobytes() {
        let mut event =
            EventNotice::new("x", Severity::Info, "障".repeat(400)).with_text("障\n".repeat(4_000));
        for n in 0..32 {
            event = event.with_label(n.to_string(), "障".repeat(400));
        }
        let event = body(&Brief::new(&fixtures::message(Notification::Event(event))));
        let mut storm = fixtures::group("pay", Severity::Critical, true);
        storm.alerts[0].summary = "障".repeat(2_000);
        storm.alerts = vec![storm.alerts[0].clone(); 50];
        let storm = body(&Brief::new(&fixtures::message(Notification::Alerts(storm))));
        for body in [event, storm] {
            assert!(
                body.to_string().len() < 28_000,
                "{}",
                body.to_string().len()
            );
        }
    }
}
