//! Alerts and silences as documents of the store.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::{
    alert::{Acknowledgement, Alert, AlertPhase, FiringNotice, TimelineEntry},
    silence::{Matcher, Silence},
};
use crate::ops::{journal::Severity, store::Document, time::unix};

/// The words of a timeline: what is stored has no other.
const WORDS: [&str; 9] = [
    "pending",
    "active",
    "severity",
    "acknowledged",
    "unacknowledged",
    "resolved",
    "notified",
    "restarted",
    "silenced",
];

/// Returns the document of an alert that is not over.
pub(super) fn alert_document(alert: &Alert) -> Document {
    Document {
        key: alert.fingerprint.clone(),
        at: alert.seen_at,
        json: alert_json(alert).to_string(),
    }
}

/// Returns the document of an occurrence that is over.
pub(super) fn history_document(alert: &Alert) -> Document {
    let at = match &alert.phase {
        AlertPhase::Resolved { at, .. } => *at,
        _ => alert.seen_at,
    };
    Document {
        key: format!("{}-{}", alert.fingerprint, alert.seq),
        at,
        json: alert_json(alert).to_string(),
    }
}

fn alert_json(alert: &Alert) -> Value {
    let phase = match &alert.phase {
        AlertPhase::Pending { since } => json!({"state": "pending", "since": unix(*since)}),
        AlertPhase::Active {
            since,
            clear_since,
            acknowledged,
        } => json!({
            "state": "active", "since": unix(*since), "clear_since": clear_since.map(unix),
            "acknowledged": acknowledged.as_ref().map(|it| json!({
                "by": it.by, "at": unix(it.at), "reason": it.reason, "severity": it.severity.as_str()
            })),
        }),
        AlertPhase::Resolved { at, reason } => {
            json!({"state": "resolved", "at": unix(*at), "reason": reason})
        }
    };
    let timeline = alert.timeline.iter().map(|entry| {
        json!({"at": unix(entry.at), "what": entry.what, "text": entry.text, "by": entry.by})
    });
    json!({
        "seq": alert.seq, "rule": alert.rule, "fingerprint": alert.fingerprint, "series": alert.series, "labels": alert.labels,
        "severity": alert.severity.as_str(), "value": alert.value, "summary": alert.summary,
        "annotations": alert.annotations, "started_at": unix(alert.started_at), "phase": phase, "flaps": alert.flaps,
        "told": alert.told.map(|told| json!({
            "at": unix(told.at), "severity": told.severity.as_str(), "acknowledged": told.is_acknowledged
        })),
        "last_told": alert.last_told.map(unix), "no_data_since": alert.no_data_since.map(unix),
        "seen_at": unix(alert.seen_at), "timeline": timeline.collect::<Vec<_>>(),
    })
}

/// Returns the alert of a document; `None` if it is of another version, or damaged.
pub(super) fn alert(json: &str) -> Option<Alert> {
    let value: Value = serde_json::from_str(json).ok()?;
    let told = &value["told"];
    let told = match told.is_object() {
        true => Some(FiringNotice {
            at: time(&told["at"])?,
            severity: severity(&told["severity"])?,
            is_acknowledged: told["acknowledged"].as_bool()?,
        }),
        false => None,
    };
    let timeline = value["timeline"].as_array()?.iter().filter_map(entry);
    Some(Alert {
        seq: value["seq"].as_u64()?,
        rule: text(&value["rule"])?,
        fingerprint: text(&value["fingerprint"])?,
        series: labels(&value["series"])?,
        labels: labels(&value["labels"])?,
        severity: severity(&value["severity"])?,
        value: value["value"].as_f64(),
        summary: text(&value["summary"])?,
        annotations: labels(&value["annotations"])?,
        started_at: time(&value["started_at"])?,
        phase: phase(&value["phase"])?,
        flaps: u32::try_from(value["flaps"].as_u64()?).ok()?,
        told,
        last_told: time(&value["last_told"]),
        no_data_since: time(&value["no_data_since"]),
        seen_at: time(&value["seen_at"])?,
        was_down: false,
        saved_at: time(&value["seen_at"])?,
        timeline: timeline.collect(),
    })
}

fn phase(value: &Value) -> Option<AlertPhase> {
    let phase = match value["state"].as_str()? {
        "pending" => AlertPhase::Pending {
            since: time(&value["since"])?,
        },
        "active" => AlertPhase::Active {
            since: time(&value["since"])?,
            clear_since: time(&value["clear_since"]),
            acknowledged: acknowledgement(&value["acknowledged"]),
        },
        "resolved" => AlertPhase::Resolved {
            at: time(&value["at"])?,
            reason: text(&value["reason"])?,
        },
        _ => return None,
    };
    Some(phase)
}

fn acknowledgement(value: &Value) -> Option<Acknowledgement> {
    Some(Acknowledgement {
        by: text(&value["by"]),
        at: time(&value["at"])?,
        reason: text(&value["reason"])?,
        severity: severity(&value["severity"])?,
    })
}

fn entry(value: &Value) -> Option<TimelineEntry> {
    let what = value["what"].as_str()?;
    Some(TimelineEntry {
        at: time(&value["at"])?,
        what: WORDS.into_iter().find(|word| *word == what)?,
        text: text(&value["text"])?,
        by: text(&value["by"]),
    })
}

/// Returns the document of a silence.
pub(super) fn silence_document(silence: &Silence) -> Document {
    let matchers = silence.matchers.iter();
    let matchers: Vec<_> = matchers.map(|it| it.text.as_str()).collect();
    let value = json!({
        "id": silence.id, "matchers": matchers, "starts_at": unix(silence.starts_at), "ends_at": unix(silence.ends_at),
        "by": silence.by, "comment": silence.comment,
    });
    Document {
        key: silence.id.clone(),
        at: silence.ends_at,
        json: value.to_string(),
    }
}

/// Returns the silence of a document.
pub(super) fn silence(json: &str) -> Option<Silence> {
    let value: Value = serde_json::from_str(json).ok()?;
    let matcher = |value: &Value| Matcher::parse(value.as_str()?);
    let matchers = value["matchers"].as_array()?.iter().map(matcher);
    Some(Silence {
        id: text(&value["id"])?,
        // One that cannot be read would make the silence match more.
        matchers: matchers.collect::<Option<_>>()?,
        starts_at: time(&value["starts_at"])?,
        ends_at: time(&value["ends_at"])?,
        by: text(&value["by"]),
        comment: text(&value["comment"])?,
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn time(value: &Value) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
    // To the millisecond, as it was written.
    let millis =
        u64::try_from(since.as_millis()).ok()? + u64::from(since.subsec_micros() % 1_000 >= 500);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

fn severity(value: &Value) -> Option<Severity> {
    Severity::parse(value.as_str()?)
}

fn labels(value: &Value) -> Option<BTreeMap<String, String>> {
    let members = value.as_object()?.iter();
    members
        .map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect()
}
