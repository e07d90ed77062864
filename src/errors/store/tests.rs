use std::time::{Duration, SystemTime};

use super::{super::sample::ErrorSample, *};

pub(super) fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

pub(super) fn store(max_groups: usize, max_variants: usize) -> GroupStore {
    let limits = StoreLimits {
        max_groups,
        max_variants,
    };
    GroupStore::new(limits).expect("limits are in range")
}

/// Returns a record whose message is the letter.
fn failure(letter: char) -> ErrorRecord {
    ErrorRecord::new("Failure", letter.to_string())
}

/// Records an error, and returns its group and the effect on that.
pub(super) fn insert(
    store: &mut GroupStore,
    record: ErrorRecord,
    timestamp: SystemTime,
) -> (Fingerprint, GroupChange) {
    store.record(FingerprintedRecord::new(record, timestamp))
}

/// Returns the messages of all groups, the one with the latest record first.
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
    let first = insert(&mut store, record(1), at(1));
    let second = insert(&mut store, record(2), at(2));
    let third = insert(&mut store, record(3), at(3));
    assert_eq!(
        [first.1, second.1, third.1],
        [GroupChange::New, GroupChange::Known, GroupChange::Known]
    );

    let group = store.group(first.0).expect("group exists");
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
        // These share groups with earlier ones.
        ErrorRecord::new("A", "x").with_service("other"),
        ErrorRecord::new("A", "x").with_cause("b").with_cause("c"),
    ] {
        insert(&mut store, record, at(0));
    }
    assert_eq!(store.len(), 6);
}

#[test]
fn resolved_group_regresses_once() {
    let mut store = GroupStore::default();
    let name = insert(&mut store, failure('a'), at(1)).0;
    assert_eq!(
        store.set_status(name, GroupStatus::Resolved),
        Some(GroupStatus::Open)
    );
    assert_eq!(
        store.set_status(name, GroupStatus::Resolved),
        Some(GroupStatus::Resolved)
    );
    assert_eq!(
        insert(&mut store, failure('a'), at(2)).1,
        GroupChange::Regressed
    );
    assert_eq!(
        insert(&mut store, failure('a'), at(3)).1,
        GroupChange::Known
    );
    let group = store.group(name).expect("group exists");
    assert_eq!(
        (group.status(), group.regressions(), group.count()),
        (GroupStatus::Open, 1, 3)
    );
}

#[test]
fn ignored_group_counts_without_event() {
    let mut store = GroupStore::default();
    let name = insert(&mut store, failure('a'), at(1)).0;
    assert_eq!(
        store.set_status(name, GroupStatus::Ignored),
        Some(GroupStatus::Open)
    );
    assert_eq!(
        insert(&mut store, failure('a'), at(2)).1,
        GroupChange::Ignored
    );
    assert_eq!(store.group(name).map(ErrorGroup::count), Some(2));
    assert_eq!(
        store.set_status(name, GroupStatus::Open),
        Some(GroupStatus::Ignored)
    );
    assert_eq!(
        insert(&mut store, failure('a'), at(3)).1,
        GroupChange::Known
    );
}

#[test]
fn unknown_group_cannot_be_marked() {
    let unknown = ErrorRecord::new("a", "b").fingerprint();
    let mut store = GroupStore::default();
    assert_eq!(
        [
            store.set_status(unknown, GroupStatus::Resolved),
            store.set_status(unknown, GroupStatus::Ignored),
            store.set_status(unknown, GroupStatus::Open)
        ],
        [None; 3]
    );
}

#[test]
fn evict_removes_group_seen_longest_ago() {
    let mut store = store(3, 9);
    for letter in "abcab".chars() {
        insert(&mut store, failure(letter), at(1));
    }
    insert(&mut store, failure('d'), at(1));
    assert_eq!(
        (letters(&store).as_str(), store.evicted(), store.total()),
        ("dba", 1, 6)
    );
}

#[test]
fn evict_removes_resolved_first_and_ignored_last() {
    let mut store = store(3, 9);
    let name = |store: &mut GroupStore, letter| insert(store, failure(letter), at(1)).0;
    let ignored = name(&mut store, 'a');
    store.set_status(ignored, GroupStatus::Ignored);
    name(&mut store, 'b');
    let resolved = name(&mut store, 'c');
    store.set_status(resolved, GroupStatus::Resolved);
    name(&mut store, 'd');
    assert_eq!(letters(&store), "dba");
    name(&mut store, 'e');
    name(&mut store, 'f');
    assert_eq!(letters(&store), "fea");
}

#[test]
fn overflow_group_holds_extra_messages_of_route() {
    let mut store = store(100, 2);
    insert(&mut store, failure('z').with_route("/other"), at(0));
    for letter in 'a'..='y' {
        insert(&mut store, failure(letter), at(1));
    }
    let groups = store.groups();
    let counts: Vec<_> = groups
        .iter()
        .map(|group| (group.message(), group.count()))
        .collect();
    assert_eq!(counts, [("<other>", 23), ("b", 1), ("a", 1), ("z", 1)]);
    assert!(groups[0].is_overflow());
    assert_eq!(
        groups[0].grouping_key().to_string(),
        r#"same kind "Failure", no route and one message too many to be a group of its own (fingerprint version 2)"#
    );
    assert_eq!(groups[0].latest().record().message(), "y");
}

#[test]
fn clock_going_back_keeps_group_order() {
    let mut store = GroupStore::default();
    let name = insert(&mut store, failure('a'), at(9)).0;
    insert(&mut store, failure('b'), at(8));
    insert(&mut store, failure('a'), at(1));
    assert_eq!(letters(&store), "ab");
    assert_eq!(store.group(name).map(ErrorGroup::last_seen), Some(at(9)));
}

/// Before, an older record that was recorded later became the latest one, and moved the last time back.
#[test]
fn older_record_is_not_the_latest() {
    let mut store = GroupStore::default();
    let record = |id: &str| failure('a').with_request_id(id);
    let name = insert(&mut store, record("now"), at(50)).0;
    insert(&mut store, record("later"), at(60));
    insert(&mut store, record("between"), at(55));
    insert(&mut store, record("earlier"), at(40));
    let group = store.group(name).expect("group exists");
    assert_eq!((group.first_seen(), group.last_seen()), (at(40), at(60)));
    let id = |sample: &ErrorSample| sample.record().request_id().map(str::to_owned);
    assert_eq!(id(group.latest()).as_deref(), Some("later"));
    assert_eq!(id(group.first()).as_deref(), Some("earlier"));
    assert_eq!(group.count(), 4);
}

/// Before, a peer that sent this text got its errors into the overflow group.
#[test]
fn overflow_group_text_as_message_is_a_message() {
    let mut store = store(100, 2);
    let name = insert(&mut store, ErrorRecord::new("Failure", "<other>"), at(1));
    let group = store.group(name.0).expect("group exists");
    assert!(!group.is_overflow());
    for letter in 'a'..='d' {
        insert(&mut store, failure(letter), at(2));
    }
    let other = store.groups()[0];
    assert_eq!((other.message(), other.count()), ("<other>", 3));
    assert_eq!(other.latest().record().message(), "d");
    assert_ne!(other.fingerprint(), name.0);
}

#[test]
fn evicted_group_keeps_its_mark() {
    let mut store = store(1, 9);
    for (status, change) in [
        (GroupStatus::Ignored, GroupChange::Ignored),
        (GroupStatus::Resolved, GroupChange::Regressed),
        (GroupStatus::Open, GroupChange::Returned),
    ] {
        let name = insert(&mut store, failure('a'), at(1)).0;
        store.set_status(name, status);
        insert(&mut store, failure('b'), at(2));
        assert!(store.group(name).is_none());
        assert_eq!(insert(&mut store, failure('a'), at(3)).1, change);
    }
    // After eight more evictions the store no longer knows it.
    for number in 0..9 {
        insert(
            &mut store,
            ErrorRecord::new(format!("kind{number}"), "x"),
            at(4),
        );
    }
    assert_eq!(insert(&mut store, failure('a'), at(5)).1, GroupChange::New);
}
