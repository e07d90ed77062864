//! Error groups: what becomes one group, what is kept of it, and who is told.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tower_keep::errors::{
    ErrorEvent, ErrorGroup, ErrorRecord, ErrorSample, ErrorTracker, GroupChange, GroupStatus,
    GroupStore, MAX_CAUSE, MAX_CAUSES, MAX_ID, MAX_MESSAGE, MAX_NAME, MAX_TYPE_NAME, RecordResult,
    StoreLimits, panic_message, short_type_name,
};

// ---- records

/// An error that says what it is told to.
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

/// Its own source.
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

/// Writes for ever, and stops only when told to.
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
        MAX_CAUSES
    );
}

#[test]
fn record_endless_text_is_truncated() {
    let record = ErrorRecord::from_error(None, &Endless);
    assert!(record.message().len() <= MAX_MESSAGE && record.message().len() > MAX_MESSAGE - 8);
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
    bounded(Some(record.kind()), MAX_NAME);
    bounded(Some(record.message()), MAX_MESSAGE);
    bounded(record.causes().next(), MAX_CAUSE);
    bounded(record.service(), MAX_NAME);
    bounded(record.route(), MAX_NAME);
    bounded(record.location(), MAX_NAME);
    for id in [
        record.request_id(),
        record.correlation_id(),
        record.trace_id(),
    ] {
        bounded(id, MAX_ID);
    }
    let full = (0..20).fold(record, |record, n| record.with_cause(n.to_string()));
    assert_eq!(full.causes().len(), MAX_CAUSES);
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
fn record_kind_drops_module_paths() {
    for (full, short) in [
        ("my_app::orders::NotFound", "NotFound"),
        ("std::io::error::Error", "io::Error"),
        ("reqwest::error::Error", "reqwest::Error"),
        ("hyper_util::client::legacy::client::Error", "client::Error"),
        (
            "alloc::vec::Vec<(my_app::Order, &str)>",
            "Vec<(Order, &str)>",
        ),
        (
            "alloc::boxed::Box<dyn core::error::Error + core::marker::Send>",
            "Box<dyn Error + Send>",
        ),
        ("<a::B as c::D>::E", "<B as D>::E"),
        ("u32", "u32"),
        ("", ""),
    ] {
        assert_eq!(short_type_name(full), short);
    }
    let deep = format!("{}u8{}", "a::Vec<".repeat(500), ">".repeat(500));
    assert!(short_type_name(&deep).len() <= MAX_TYPE_NAME);
}

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
    assert_eq!(panic_message(&"text"), "text");
}

// ---- the store

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn store(max_groups: usize, max_variants: usize) -> GroupStore {
    let mut limits = StoreLimits::default();
    limits.max_groups = max_groups;
    limits.max_variants = max_variants;
    GroupStore::new(limits).expect("good limits")
}

/// A message of its own for every letter.
fn failure(letter: char) -> ErrorRecord {
    ErrorRecord::new("Failure", letter.to_string())
}

fn letters(store: &GroupStore) -> String {
    store.groups().iter().map(|group| group.message()).collect()
}

#[test]
fn group_merges_records_that_differ_in_data() {
    let mut store = GroupStore::default();
    let record = |n: u32| {
        ErrorRecord::new("Timeout", format!("order {n} timed out"))
            .with_route("/orders/{id}")
            .with_correlation_id(format!("c-{n}"))
    };
    let first = store.record(record(1), at(1));
    let second = store.record(record(2), at(2));
    let third = store.record(record(3), at(3));
    assert_eq!(
        [first.change, second.change, third.change],
        [GroupChange::New, GroupChange::Known, GroupChange::Known]
    );

    let group = store.group(first.fingerprint).expect("is there");
    assert_eq!(
        (group.count(), group.first_seen(), group.last_seen()),
        (3, at(1), at(3))
    );
    assert_eq!(group.first().record().correlation_id(), Some("c-1"));
    assert_eq!(group.latest().record().correlation_id(), Some("c-3"));
    assert_eq!(group.latest().record().message(), "order 3 timed out");
    assert_eq!(
        group.grouping_key().to_string(),
        r#"same kind "Timeout", route "/orders/{id}" and message "order <num> timed out" (fingerprint version 2)"#
    );
}

#[test]
fn group_key_is_kind_route_message_cause_location() {
    let mut store = GroupStore::default();
    for record in [
        ErrorRecord::new("A", "x"),
        ErrorRecord::new("B", "x"),
        ErrorRecord::new("A", "y"),
        ErrorRecord::new("A", "x").with_route("/"),
        ErrorRecord::new("A", "x").with_cause("c"),
        ErrorRecord::new("A", "x").with_location("a.rs:1"),
        // These do not.
        ErrorRecord::new("A", "x").with_service("other"),
        ErrorRecord::new("A", "x").with_cause("b").with_cause("c"),
    ] {
        store.record(record, at(0));
    }
    assert_eq!(store.len(), 6);
}

#[test]
fn resolved_group_regresses_once() {
    let mut store = GroupStore::default();
    let name = store.record(failure('a'), at(1)).fingerprint;
    assert_eq!(store.resolve(name), Some(GroupStatus::Open));
    assert_eq!(store.resolve(name), Some(GroupStatus::Resolved));
    assert_eq!(
        store.record(failure('a'), at(2)).change,
        GroupChange::Regressed
    );
    assert_eq!(store.record(failure('a'), at(3)).change, GroupChange::Known);
    let group = store.group(name).expect("is there");
    assert_eq!(
        (group.status(), group.regressions(), group.count()),
        (GroupStatus::Open, 1, 3)
    );
}

#[test]
fn ignored_group_counts_without_event() {
    let mut store = GroupStore::default();
    let name = store.record(failure('a'), at(1)).fingerprint;
    assert_eq!(store.ignore(name), Some(GroupStatus::Open));
    assert_eq!(
        store.record(failure('a'), at(2)).change,
        GroupChange::Ignored
    );
    assert_eq!(store.group(name).map(ErrorGroup::count), Some(2));
    assert_eq!(store.reopen(name), Some(GroupStatus::Ignored));
    assert_eq!(store.record(failure('a'), at(3)).change, GroupChange::Known);
}

#[test]
fn unknown_group_cannot_be_marked() {
    let nothing = ErrorRecord::new("a", "b").fingerprint();
    let mut store = GroupStore::default();
    assert_eq!(
        [
            store.resolve(nothing),
            store.ignore(nothing),
            store.reopen(nothing)
        ],
        [None; 3]
    );
}

#[test]
fn evict_removes_group_seen_longest_ago() {
    let mut store = store(3, 9);
    for letter in "abcab".chars() {
        store.record(failure(letter), at(1));
    }
    let recorded = store.record(failure('d'), at(1));
    assert!(recorded.evicted.is_some());
    assert_eq!(
        (letters(&store).as_str(), store.evicted(), store.total()),
        ("dba", 1, 6)
    );
}

#[test]
fn evict_removes_resolved_first_and_ignored_last() {
    let mut store = store(3, 9);
    let name = |store: &mut GroupStore, letter| store.record(failure(letter), at(1)).fingerprint;
    let ignored = name(&mut store, 'a');
    store.ignore(ignored);
    name(&mut store, 'b');
    let resolved = name(&mut store, 'c');
    store.resolve(resolved);
    name(&mut store, 'd');
    assert_eq!(letters(&store), "dba");
    name(&mut store, 'e');
    name(&mut store, 'f');
    assert_eq!(letters(&store), "fea");
}

#[test]
fn overflow_group_holds_extra_messages_of_route() {
    let mut store = store(100, 2);
    store.record(failure('z').with_route("/other"), at(0));
    for letter in 'a'..='y' {
        store.record(failure(letter), at(1));
    }
    let groups = store.groups();
    let counts: Vec<_> = groups
        .iter()
        .map(|group| (group.message(), group.count()))
        .collect();
    assert_eq!(counts, [("<other>", 23), ("b", 1), ("a", 1), ("z", 1)]);
    assert!(groups[0].grouping_key().overflow);
    assert_eq!(
        groups[0].grouping_key().to_string(),
        r#"same kind "Failure", no route and one message too many to be a group of its own (fingerprint version 2)"#
    );
    assert_eq!(groups[0].latest().record().message(), "y");
}

#[test]
fn clock_going_back_keeps_group_order() {
    let mut store = GroupStore::default();
    let name = store.record(failure('a'), at(9)).fingerprint;
    store.record(failure('b'), at(8));
    store.record(failure('a'), at(1));
    assert_eq!(letters(&store), "ab");
    assert_eq!(store.group(name).map(ErrorGroup::last_seen), Some(at(9)));
}

/// A record that was stored, and came in later, was the latest one, and moved the last time back.
#[test]
fn older_record_is_not_the_latest() {
    let mut store = GroupStore::default();
    let record = |id: &str| failure('a').with_request_id(id);
    let name = store.record(record("now"), at(50)).fingerprint;
    store.record(record("later"), at(60));
    store.record(record("between"), at(55));
    store.record(record("earlier"), at(40));
    let group = store.group(name).expect("is there");
    assert_eq!((group.first_seen(), group.last_seen()), (at(40), at(60)));
    let id = |sample: &ErrorSample| sample.record().request_id().map(str::to_owned);
    assert_eq!(id(group.latest()).as_deref(), Some("later"));
    assert_eq!(id(group.first()).as_deref(), Some("earlier"));
    assert_eq!(group.count(), 4);
}

/// Whoever sends such a text would have been taken for one message too many.
#[test]
fn overflow_group_text_as_message_is_a_message() {
    let mut store = store(100, 2);
    let name = store.record(ErrorRecord::new("Failure", "<other>"), at(1));
    let group = store.group(name.fingerprint).expect("is there");
    assert!(!group.grouping_key().overflow);
    for letter in 'a'..='d' {
        store.record(failure(letter), at(2));
    }
    let other = store.groups()[0];
    assert_eq!((other.message(), other.count()), ("<other>", 3));
    assert_eq!(other.latest().record().message(), "d");
    assert_ne!(other.fingerprint(), name.fingerprint);
}

/// Every single record was news: 3,000 alerts for 600 faults.
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

#[test]
fn evicted_group_keeps_its_mark() {
    let mut store = store(1, 9);
    for (mark, change) in [
        (
            GroupStore::ignore as fn(&mut GroupStore, _) -> _,
            GroupChange::Ignored,
        ),
        (GroupStore::resolve, GroupChange::Regressed),
        (GroupStore::reopen, GroupChange::Returned),
    ] {
        let name = store.record(failure('a'), at(1)).fingerprint;
        mark(&mut store, name);
        store.record(failure('b'), at(2));
        assert!(store.group(name).is_none());
        assert_eq!(store.record(failure('a'), at(3)).change, change);
    }
    // It is forgotten in the end.
    for number in 0..9 {
        store.record(ErrorRecord::new(format!("kind{number}"), "x"), at(4));
    }
    assert_eq!(store.record(failure('a'), at(5)).change, GroupChange::New);
}

// ---- the store against a plain list

#[derive(Clone, Debug)]
enum Step {
    Record {
        kind: usize,
        message: usize,
        second: u64,
    },
    Mark {
        group: usize,
        status: GroupStatus,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        GroupStatus::Open,
        GroupStatus::Resolved,
        GroupStatus::Ignored,
    ]);
    prop_oneof![
        4 => (0..3_usize, 0..7_usize, 0..50_u64)
            .prop_map(|(kind, message, second)| Step::Record { kind, message, second }),
        1 => (0..20_usize, status).prop_map(|(group, status)| Step::Mark { group, status }),
    ]
}

const KINDS: [&str; 3] = ["A", "B", "C"];
const MESSAGES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    kind: &'static str,
    message: &'static str,
    status: GroupStatus,
    count: u64,
    regressions: u64,
    first: (SystemTime, &'static str),
    latest: (SystemTime, &'static str),
}

/// Groups in a list, the one seen last at the end.
struct Model {
    max_groups: usize,
    max_variants: usize,
    groups: Vec<Seen>,
    total: u64,
    /// Those that had to go, by kind and message.
    evicted: Vec<(&'static str, &'static str)>,
    /// The status that they had.
    gone: HashMap<(&'static str, &'static str), GroupStatus>,
}

impl Model {
    fn record(&mut self, kind: &'static str, text: &'static str, now: SystemTime) -> GroupChange {
        self.total += 1;
        let known = |groups: &[Seen], message| {
            groups
                .iter()
                .position(|group| (group.kind, group.message) == (kind, message))
        };
        let of_kind = self
            .groups
            .iter()
            .filter(|group| group.kind == kind && group.message != "<other>")
            .count();
        let crowded = known(&self.groups, text).is_none() && of_kind >= self.max_variants;
        let message = if crowded { "<other>" } else { text };
        if let Some(place) = known(&self.groups, message) {
            let mut group = self.groups.remove(place);
            group.count += 1;
            if now < group.first.0 {
                group.first = (now, text);
            }
            if now >= group.latest.0 {
                group.latest = (now, text);
            }
            let change = match group.status {
                GroupStatus::Resolved => GroupChange::Regressed,
                GroupStatus::Ignored => GroupChange::Ignored,
                _ => GroupChange::Known,
            };
            if change == GroupChange::Regressed {
                group.status = GroupStatus::Open;
                group.regressions += 1;
            }
            self.groups.push(group);
            return change;
        }
        if self.groups.len() == self.max_groups {
            let of = |status| self.groups.iter().position(|group| group.status == status);
            let victim = of(GroupStatus::Resolved)
                .or(of(GroupStatus::Open))
                .or(of(GroupStatus::Ignored));
            let victim = self.groups.remove(victim.expect("is full"));
            self.evicted.push((victim.kind, victim.message));
            self.gone
                .insert((victim.kind, victim.message), victim.status);
        }
        let mut last = self.evicted.iter().rev().take(8 * self.max_groups);
        let is_remembered = last.any(|gone| *gone == (kind, message));
        let before = self.gone.remove(&(kind, message));
        let (sample, before) = ((now, text), before.filter(|_| is_remembered));
        let (change, status) = match before {
            None => (GroupChange::New, GroupStatus::Open),
            Some(GroupStatus::Resolved) => (GroupChange::Regressed, GroupStatus::Open),
            Some(GroupStatus::Ignored) => (GroupChange::Ignored, GroupStatus::Ignored),
            Some(_) => (GroupChange::Returned, GroupStatus::Open),
        };
        self.groups.push(Seen {
            kind,
            message,
            status,
            count: 1,
            regressions: u64::from(change == GroupChange::Regressed),
            first: sample,
            latest: sample,
        });
        change
    }
}

fn text_of(message: &str) -> &'static str {
    MESSAGES
        .into_iter()
        .chain(["<other>"])
        .find(|text| *text == message)
        .expect("one of ours")
}

fn seen(group: &ErrorGroup) -> Seen {
    Seen {
        kind: KINDS
            .into_iter()
            .find(|kind| *kind == group.kind())
            .expect("one of ours"),
        message: text_of(group.message()),
        status: group.status(),
        count: group.count(),
        regressions: group.regressions(),
        first: (
            group.first().timestamp(),
            text_of(group.first().record().message()),
        ),
        latest: (
            group.latest().timestamp(),
            text_of(group.latest().record().message()),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn store_matches_reference_model(
        max_groups in 1..8_usize,
        max_variants in 1..5_usize,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut store = store(max_groups, max_variants);
        let mut model = Model { max_groups, max_variants, groups: Vec::new(), total: 0, evicted: Vec::new(), gone: HashMap::new() };
        for step in steps {
            match step {
                Step::Record { kind, message, second } => {
                    let (kind, text) = (KINDS[kind], MESSAGES[message]);
                    let RecordResult { fingerprint, change, evicted, .. } = store.record(ErrorRecord::new(kind, text), at(second));
                    let before = model.evicted.len();
                    prop_assert_eq!(change, model.record(kind, text, at(second)));
                    let gone = model.evicted.get(before);
                    let gone = gone.map(|(kind, message)| ErrorRecord::new(*kind, *message).fingerprint());
                    prop_assert_eq!(evicted, gone);
                    prop_assert!(store.group(fingerprint).is_some());
                }
                Step::Mark { group, status } => {
                    let Some(expected) = model.groups.get_mut(group) else { continue };
                    let name = ErrorRecord::new(expected.kind, expected.message).fingerprint();
                    let before = match status {
                        GroupStatus::Resolved => store.resolve(name),
                        GroupStatus::Ignored => store.ignore(name),
                        _ => store.reopen(name),
                    };
                    prop_assert_eq!(before, Some(std::mem::replace(&mut expected.status, status)));
                }
            }
            let groups: Vec<Seen> = store.groups().into_iter().rev().map(seen).collect();
            prop_assert_eq!(&groups, &model.groups);
            prop_assert_eq!((store.total(), store.evicted()), (model.total, model.evicted.len() as u64));
        }
    }
}

// ---- the tracker

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
    let missed = serde_json::to_value(ErrorEvent::Lagged(3)).expect("writes");
    assert_eq!(missed, serde_json::json!({ "event": "missed", "count": 3 }));
}
