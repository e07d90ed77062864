//! The few parts that all ways to show a message have.

use std::time::{Duration, SystemTime};

use super::{AlertGroup, AlertNotice, EventNotice, Message, Notification};
use crate::ops::{health::rfc3339::rfc3339, journal::Severity};

/// The alerts that are shown one by one.
const MAX_LINES: usize = 10;

/// The content of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) tone: Tone,
    /// `[CRITICAL] payments_errors is firing on orders`
    pub(super) headline: String,
    /// The same without severity and service.
    pub(super) title: String,
    /// A sentence for each alert, or the text of an event.
    pub(super) lines: Vec<String>,
    /// Names and values, such as the service.
    pub(super) facts: Vec<(String, String)>,
    pub(super) at: SystemTime,
    pub(super) link: Option<String>,
}

/// The meaning of a message, for its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Info,
    Warning,
    Critical,
    Resolved,
}

impl Tone {
    pub(super) fn of(severity: Severity) -> Self {
        match severity {
            Severity::Info => Tone::Info,
            Severity::Warning => Tone::Warning,
            Severity::Critical => Tone::Critical,
        }
    }

    /// Returns the color in red, green and blue.
    pub(super) const fn color(self) -> u32 {
        match self {
            Tone::Info => 0x1e6fd9,
            Tone::Warning => 0xb86e00,
            Tone::Critical => 0xd32f2f,
            Tone::Resolved => 0x2e7d32,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Tone::Info => "INFO",
            Tone::Warning => "WARNING",
            Tone::Critical => "CRITICAL",
            Tone::Resolved => "RESOLVED",
        }
    }
}

impl Brief {
    pub(super) fn new(message: &Message) -> Self {
        let mut brief = match message.notification() {
            Notification::Alerts(group) => of_alerts(group),
            Notification::Event(event) => of_event(event),
        };
        let word = brief.tone.word();
        brief.headline = format!("[{word}] {} on {}", brief.title, message.service());
        let facts = [
            ("Service", Some(message.service())),
            ("Environment", message.environment()),
            ("Instance", message.instance()),
            ("Version", message.version()),
        ];
        let facts = facts
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        brief.facts.splice(0..0, facts);
        brief.link = message.link();
        brief
    }
}

fn of_alerts(group: &AlertGroup) -> Brief {
    let state = match (group.is_firing, group.acknowledged_by()) {
        (false, _) => "is resolved".to_owned(),
        (true, Some(by)) => format!("is acknowledged by {by}"),
        (true, None) => "is firing".to_owned(),
    };
    let count = group.firing() + group.truncated;
    let title = match count {
        0 | 1 => format!("{} {state}", group.rule()),
        _ => format!("{} {state} ({count} alerts)", group.rule()),
    };
    let mut lines: Vec<String> = group
        .alerts
        .iter()
        .take(MAX_LINES)
        .map(|alert| line(group, alert))
        .collect();
    let more = group.alerts.len().saturating_sub(MAX_LINES) + group.truncated;
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let started = group.alerts.iter().map(|alert| alert.started_at).min();
    Brief {
        tone: match group.is_firing {
            true => Tone::of(group.severity),
            false => Tone::Resolved,
        },
        headline: String::new(),
        title,
        lines,
        facts: facts(group, started),
        at: started.unwrap_or(SystemTime::UNIX_EPOCH),
        link: None,
    }
}

/// Returns since when alerts fire, how long those did that are resolved, and what is to be done.
fn facts(group: &AlertGroup, started: Option<SystemTime>) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some(started) = started.and_then(rfc3339) {
        facts.push(("Since".to_owned(), started));
    }
    let ended = group.alerts.iter().filter_map(|alert| alert.ended_at).max();
    if let (false, Some(ended)) = (group.is_firing, ended) {
        let began = started.unwrap_or(SystemTime::UNIX_EPOCH);
        let lasted = ended.duration_since(began).unwrap_or_default();
        facts.push(("Lasted".to_owned(), lasted_text(lasted)));
    }
    let runbook = group
        .alerts
        .iter()
        .find_map(|alert| alert.annotations.get("runbook"));
    facts.extend(runbook.map(|runbook| ("Runbook".to_owned(), runbook.clone())));
    facts
}

fn line(group: &AlertGroup, alert: &AlertNotice) -> String {
    match group.is_firing && !alert.is_firing {
        true => format!("resolved: {}", alert.summary),
        false => alert.summary.clone(),
    }
}

fn of_event(event: &EventNotice) -> Brief {
    let labels = event.labels.iter();
    Brief {
        tone: Tone::of(event.severity),
        headline: String::new(),
        title: event.title.clone(),
        lines: event.text.lines().map(str::to_owned).collect(),
        facts: labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        at: event.at,
        link: None,
    }
}

/// Returns a duration in its two largest units.
fn lasted_text(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Returns the beginning of a text, at most `max` characters with the `…`.
pub(super) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(max.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notify::fixtures::{alert, group, message};

    fn brief(notification: Notification) -> Brief {
        Brief::new(&message(notification))
    }

    #[test]
    fn brief_of_alerts_says_what_fires_where_and_since_when() {
        let firing = brief(Notification::Alerts(group("pay", Severity::Critical, true)));
        assert_eq!(firing.headline, "[CRITICAL] pay is firing on orders");
        assert_eq!(
            firing.lines,
            ["error ratio of POST /pay is 0.12, above 0.05 for 2 min"]
        );
        let fact = |brief: &Brief, name: &str| {
            let found = brief.facts.iter().find(|(each, _)| each == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(
            fact(&firing, "Since").as_deref(),
            Some("2026-01-17T03:36:48Z")
        );
        assert_eq!(
            fact(&firing, "Runbook").as_deref(),
            Some("https://wiki/pay")
        );
        assert_eq!(
            firing.link.as_deref(),
            Some("https://ops.example/ops/#alerts?at=00000000000000a1")
        );
        let resolved = brief(Notification::Alerts(group(
            "pay",
            Severity::Critical,
            false,
        )));
        assert_eq!(resolved.headline, "[RESOLVED] pay is resolved on orders");
        assert_eq!(fact(&resolved, "Lasted").as_deref(), Some("5 min 0 s"));
    }

    #[test]
    fn brief_of_a_storm_counts_what_it_does_not_list() {
        let mut storm = group("pay", Severity::Warning, true);
        storm.alerts = vec![alert("00000000000000a1", Severity::Warning, true); 12];
        storm.truncated = 30;
        let storm = brief(Notification::Alerts(storm));
        assert_eq!(storm.title, "pay is firing (42 alerts)");
        assert_eq!(storm.lines.len(), 11);
        assert_eq!(storm.lines[10], "and 32 more");
    }

    #[test]
    fn brief_names_who_acknowledged_all_alerts() {
        let mut acknowledged = group("pay", Severity::Warning, true);
        acknowledged.alerts[0].acknowledged_by = Some("mira".to_owned());
        let title = brief(Notification::Alerts(acknowledged)).title;
        assert_eq!(title, "pay is acknowledged by mira");
    }

    #[test]
    fn text_is_shortened_by_characters() {
        assert_eq!(shortened("größer", 6), "größer");
        assert_eq!(shortened("größer", 5), "größ…");
        assert_eq!(shortened("", 0), "");
    }

    #[test]
    fn time_has_two_units() {
        for (seconds, expected) in [
            (7, "7 s"),
            (67, "1 min 7 s"),
            (3_700, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(lasted_text(Duration::from_secs(seconds)), expected);
        }
    }
}
