//! Error records, and the tracker with its subscribers.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use tower_keep::errors::{ErrorEvent, ErrorRecord, ErrorTracker};

// ---- records

/// An error with the given message and source.
#[derive(Debug)]
struct Nested {
    text: String,
    source: Option<Box<dyn Error + 'static>>,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Nested {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref()
    }
}

fn nested(texts: &[&str]) -> Nested {
    let (first, rest) = texts.split_first().expect("a text");
    let source = (!rest.is_empty()).then(|| Box::new(nested(rest)) as Box<dyn Error>);
    Nested {
        text: (*first).to_owned(),
        source,
    }
}

/// An error that is its own source.
#[derive(Debug)]
struct Ring;

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round")
    }
}

impl Error for Ring {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

/// An error whose `Display` only ends with an error of the formatter.
#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("ünd so weiter ")?;
        }
    }
}

impl Error for Endless {}

fn chain(record: &ErrorRecord) -> Vec<&str> {
    record.causes().collect()
}

#[test]
fn record_lists_causes_without_repeats() {
    let error = nested(&[
        "no order",
        "no order",
        "query failed",
        "query failed",
        "closed",
    ]);
    let record = ErrorRecord::from_error(Some("Orders".into()), &error);
    assert_eq!((record.kind(), record.message()), ("Orders", "no order"));
    assert_eq!(chain(&record), ["query failed", "closed"]);
    assert_eq!(record.outcome(), "failure");
}

#[test]
fn record_endless_chain_is_truncated() {
    assert_eq!(chain(&ErrorRecord::from_error(None, &Ring)).len(), 0);
    let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(
        chain(&ErrorRecord::from_error(None, &nested(&texts))).len(),
        8
    );
}

#[test]
fn record_endless_text_is_truncated() {
    let record = ErrorRecord::from_error(None, &Endless);
    assert!(record.message().len() <= 2048 && record.message().len() > 2048 - 8);
    assert!(record.message().ends_with('…'));
}

#[test]
fn record_texts_are_bounded() {
    let long = "ü".repeat(5000);
    let record = ErrorRecord::new(long.clone(), long.clone())
        .with_cause(long.clone())
        .with_service(long.clone())
        .with_route(long.clone())
        .with_request_id(long.clone())
        .with_correlation_id(long.clone())
        .with_trace_id(long.clone())
        .with_location(long);
    let bounded = |text: Option<&str>, max: usize| {
        let text = text.expect("is set");
        assert!(
            text.len() <= max && text.len() > max - 4 && text.ends_with('…'),
            "{text}"
        );
    };
    bounded(Some(record.kind()), 256);
    bounded(Some(record.message()), 2048);
    bounded(record.causes().next(), 512);
    bounded(record.service(), 256);
    bounded(record.route(), 256);
    bounded(record.location(), 256);
    for id in [
        record.request_id(),
        record.correlation_id(),
        record.trace_id(),
    ] {
        bounded(id, 128);
    }
    let full = (0..20).fold(record, |record, n| record.with_cause(n.to_string()));
    assert_eq!(full.causes().len(), 8);
}

#[test]
fn record_kind_is_first_word_of_debug_text() {
    #[derive(Debug)]
    struct Refused;
    let kind = |error: Box<dyn Error>| ErrorRecord::from_error(None, &*error).kind().to_owned();
    assert_eq!(
        kind("7x".parse::<u32>().unwrap_err().into()),
        "ParseIntError"
    );
    assert_eq!(
        kind(std::io::Error::from_raw_os_error(2).into()),
        "io::NotFound"
    );
    assert_eq!(kind("Connection to 10.0.0.1 lost".into()), "error");
    assert_eq!(kind(Box::new(ByDebug("connection lost"))), "error");
    assert_eq!(kind(Box::new(ByDebug("Connection lost"))), "error");
    assert_eq!(
        kind(Box::new(ByDebug("hyper::Error(IncompleteMessage)"))),
        "hyper::Error"
    );
    assert_eq!(kind(Box::new(ByDebug("Refused"))), format!("{Refused:?}"));
}

struct ByDebug(&'static str);

impl fmt::Debug for ByDebug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for ByDebug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("went wrong")
    }
}

impl Error for ByDebug {}

#[test]
fn record_of_panic_for_any_payload() {
    let record = |panic: fn()| {
        let payload = std::panic::catch_unwind(panic).expect_err("panics");
        ErrorRecord::from_panic(&*payload)
    };
    let text = record(|| std::panic::resume_unwind(Box::new("plain")));
    assert_eq!(
        (text.kind(), text.outcome(), text.message()),
        ("panic", "panicked", "plain")
    );
    assert_eq!(
        record(|| std::panic::resume_unwind(Box::new("owned".to_owned()))).message(),
        "owned"
    );
    assert_eq!(
        record(|| std::panic::resume_unwind(Box::new(7))).message(),
        "a panic without a message"
    );
}

// ---- the tracker

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

/// Returns a record whose message is the letter.
fn failure(letter: char) -> ErrorRecord {
    ErrorRecord::new("Failure", letter.to_string())
}

/// Before, every record was reported as new: 3,000 events for 600 faults.
#[tokio::test]
async fn evict_sends_one_event_per_fault() {
    let tracker = ErrorTracker::builder().max_groups(4).event_buffer(100);
    let tracker = tracker.build().expect("good settings");
    let mut events = tracker.subscribe();
    for _ in 0..5 {
        for letter in 'a'..='f' {
            tracker.record(failure(letter));
        }
    }
    assert_eq!((tracker.total(), tracker.evicted()), (30, 26));
    drop(tracker);
    let mut news = Vec::new();
    while let Some(event) = events.next().await {
        let ErrorEvent::New(group) = event else {
            panic!("{event:?}")
        };
        news.push(group.message().to_owned());
    }
    assert_eq!(news, ["a", "b", "c", "d", "e", "f"]);
}

async fn next(events: &mut tower_keep::errors::ErrorEvents) -> ErrorEvent {
    events.next().await.expect("the tracker is alive")
}

#[tokio::test]
async fn subscriber_gets_new_and_regressed_groups() {
    let tracker = ErrorTracker::default();
    let mut events = tracker.subscribe();
    let name = tracker.record(failure('a'));
    tracker.record(failure('a'));
    tracker.resolve(name);
    tracker.record(failure('a'));
    tracker.ignore(name);
    tracker.record(failure('a'));
    drop(tracker);

    let ErrorEvent::New(group) = next(&mut events).await else {
        panic!("is new")
    };
    assert_eq!((group.fingerprint(), group.count()), (name, 1));
    let ErrorEvent::Regressed(group) = next(&mut events).await else {
        panic!("is regressed")
    };
    assert_eq!((group.fingerprint(), group.count()), (name, 3));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn subscriber_lag_is_counted() {
    let tracker = ErrorTracker::builder()
        .event_buffer(2)
        .build()
        .expect("good settings");
    let mut events = tracker.subscribe();
    for letter in 'a'..='e' {
        tracker.record(failure(letter));
    }
    assert_eq!(next(&mut events).await, ErrorEvent::Lagged(3));
    let ErrorEvent::New(group) = next(&mut events).await else {
        panic!("is new")
    };
    assert_eq!(group.message(), "d");
}

#[test]
fn error_tracker_clones_share_groups() {
    let tracker = ErrorTracker::default();
    let name = tracker.clone().capture(&"7x".parse::<u32>().unwrap_err());
    let group = tracker.group(name).expect("is there");
    assert_eq!(
        (group.kind(), group.message()),
        ("ParseIntError", "invalid digit found in string")
    );
    assert_eq!(
        (tracker.total(), tracker.evicted(), tracker.groups().len()),
        (1, 0, 1)
    );
    assert!(tracker.reopen(name) && !tracker.reopen(ErrorRecord::new("", "").fingerprint()));
}

#[test]
fn invalid_settings_are_named() {
    let message = |builder: tower_keep::errors::ErrorTrackerBuilder| {
        builder.build().expect_err("bad").to_string()
    };
    assert_eq!(
        message(ErrorTracker::builder().max_groups(0)),
        "error tracker: max_groups is 0, must be 1 to 65536"
    );
    assert_eq!(
        message(ErrorTracker::builder().max_variants(0)),
        "error tracker: max_variants is 0, must be 1 to 65536"
    );
    assert_eq!(
        message(ErrorTracker::builder().event_buffer(65_537)),
        "error tracker: event_buffer is 65537, must be 1 to 65536"
    );
}

#[test]
fn handles_are_send_and_sync() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<ErrorTracker>();
    shareable::<tower_keep::errors::ErrorEvents>();
    shareable::<ErrorRecord>();
}

#[cfg(feature = "serde")]
#[test]
fn serde_writes_groups_and_events() {
    let tracker = ErrorTracker::default();
    let record = ErrorRecord::new("Timeout", "<img src=x> 5")
        .with_cause("slow")
        .with_request_id("r-1");
    let name = tracker.record_at(record, at(1));
    let group = tracker.group(name).expect("is there");
    let sample = serde_json::json!({
        "at": "1970-01-01T00:00:01.000Z", "kind": "Timeout", "message": "<img src=x> 5", "chain": ["slow"],
        "outcome": "failure", "service": null, "route": null, "request_id": "r-1", "correlation_id": null,
        "trace_id": null, "location": null,
    });
    let expected = serde_json::json!({
        "fingerprint": name.to_string(), "status": "open", "kind": "Timeout", "route": null,
        "message": "<img src=x> <num>", "cause": "slow", "location": null, "overflow": false, "why": group.grouping_key().to_string(),
        "count": 1, "regressions": 0, "first_seen": "1970-01-01T00:00:01.000Z",
        "last_seen": "1970-01-01T00:00:01.000Z", "first": sample, "latest": sample,
    });
    assert_eq!(serde_json::to_value(&group).expect("writes"), expected);
    let event = serde_json::to_value(ErrorEvent::New(group)).expect("writes");
    assert_eq!(
        event,
        serde_json::json!({ "event": "new", "group": expected })
    );
    let lagged = serde_json::to_value(ErrorEvent::Lagged(3)).expect("writes");
    assert_eq!(lagged, serde_json::json!({ "event": "lagged", "count": 3 }));
}
