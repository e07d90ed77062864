use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Request;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::{
    call::{CallClock, CallEnd, Outcome},
    context::Context,
    protocol::Side,
    track::request_labels::RequestLabels,
};

fn operation(name: &'static str, started_at: Instant) -> InFlightEntry {
    InFlightEntry {
        started_at,
        context: None,
        subject: CallSubject::Operation {
            name: name.into(),
            kind: "job".into(),
        },
    }
}

fn table(capacity: usize) -> CallTable {
    CallTable::with_capacity(capacity).expect("in range")
}

fn names(calls: &[CallSnapshot]) -> Vec<&str> {
    let names = calls.iter().map(|call| call.route.as_deref());
    names.map(|name| name.expect("a name")).collect()
}

/// A tracker whose route is the ID of the target.
struct Source;

impl CallSource for Source {
    fn describe(&self, request: RequestLabels, target: &CallTarget) -> CallText {
        CallText {
            service: "orders".into(),
            method: Some(request.method_name()),
            route: Some(format!("{target:?}").into()),
            path: Some("/a".into()),
        }
    }
}

fn tracked(side: Side, source: u32, started_at: Instant) -> InFlightEntry {
    let request = RequestLabels::from_request(side, &Request::new(()), false, false);
    InFlightEntry {
        started_at,
        context: Some(Context::new_root()),
        subject: CallSubject::Tracked {
            source,
            request,
            target: CallTarget::Known(7),
        },
    }
}

#[tokio::test(start_paused = true)]
async fn call_table_lists_the_oldest_calls_first() {
    let table = table(100);
    let now = Instant::now();
    let ms = Duration::from_millis;
    for (name, age) in [("second", 20), ("third", 10), ("first", 30)] {
        table.insert(operation(name, now - ms(age)));
    }
    let calls = table.in_flight(10);
    assert_eq!(names(&calls), ["first", "second", "third"]);
    assert_eq!(names(&table.in_flight(2)), ["first", "second"]);
    let first = &calls[0];
    assert_eq!((first.elapsed, first.outcome), (ms(30), None));
    assert_eq!(first.kind, CallKind::Operation);
    assert_eq!(first.service.as_str(), "job");
    assert!((first.status, first.method) == (None, None) && first.context.is_none());
    let began = SystemTime::now() - ms(30);
    assert!(first.started_at <= began && began < first.started_at + Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn call_table_asks_trackers_for_texts() {
    let table = table(10);
    let source: Arc<dyn CallSource> = Arc::new(Source);
    let number = table.add_source(Arc::downgrade(&source));
    let slot = table.insert(tracked(Side::Client, number, Instant::now()));
    let call = &table.in_flight(1)[0];
    assert_eq!(call.kind, CallKind::Client);
    assert_eq!(
        (call.service.as_str(), call.method),
        ("orders", Some("GET"))
    );
    assert_eq!(call.route.as_deref(), Some("Known(7)"));
    assert_eq!(call.path.as_deref(), Some("/a"));
    assert!(call.context.is_some());
    // Copied before its end, and looked at after its tracker is gone.
    drop(source);
    assert!(table.in_flight(1).is_empty());
    let call = table.remove(slot.expect("room")).expect("in flight");
    table.push_slow(call, &CallEnd::new(Outcome::Success, &CallClock::default()));
    assert!(table.slow(1).is_empty());
}

#[tokio::test(start_paused = true)]
async fn oldest_call_is_that_of_a_kind() {
    let table = table(10);
    let now = Instant::now();
    let ago = |seconds| now - Duration::from_secs(seconds);
    table.insert(tracked(Side::Client, 0, ago(9)));
    table.insert(operation("job", ago(8)));
    assert_eq!(table.oldest(CallKind::Server), None);
    for seconds in [3, 5, 4] {
        table.insert(tracked(Side::Server, 0, ago(seconds)));
    }
    let oldest = |kind| table.oldest(kind).map(|age| age.as_secs());
    assert_eq!(oldest(CallKind::Server), Some(5));
    assert_eq!(oldest(CallKind::Client), Some(9));
    assert_eq!(oldest(CallKind::Operation), Some(8));
    let many = CallTable::new(1_000, 1);
    for seconds in 0..200 {
        many.insert(operation("job", ago(seconds)));
    }
    let age = many.oldest(CallKind::Operation);
    assert_eq!(age, Some(Duration::from_secs(199)), "in the last slots");
}

#[test]
fn call_table_has_room_for_its_capacity_whatever_thread_comes() {
    let (table, now) = (CallTable::new(11, 4), Instant::now());
    let slots: Vec<_> = (0..11)
        .map(|_| table.insert(operation("a", now)).expect("room"))
        .collect();
    assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), 11);
    assert_eq!((table.len(), table.missed()), (11, 0));
    assert_eq!(table.insert(operation("b", now)), None);
    assert_eq!(table.insert(operation("b", now)), None);
    assert_eq!((table.len(), table.missed()), (11, 2));
    assert!(table.remove(slots[3]).is_some());
    assert!(table.remove(slots[3]).is_none(), "it is taken out once");
    assert!(table.insert(operation("c", now)).is_some());
    assert_eq!(names(&table.in_flight(100)).len(), 11);
    assert_eq!(table.missed(), 2);
}

#[test]
fn call_table_copies_all_calls_of_many_slots() {
    let (table, now) = (CallTable::new(1_000, 2), Instant::now());
    let slots: Vec<_> = (0..1_000)
        .map(|_| table.insert(operation("a", now)).expect("room"))
        .collect();
    let ids = |table: &CallTable| {
        let calls = table.in_flight(usize::MAX);
        let ids: BTreeSet<u64> = calls.iter().map(|call| call.id).collect();
        assert_eq!(ids.len(), calls.len(), "an ID is that of one call");
        ids
    };
    let first = ids(&table);
    assert_eq!(first.len(), 1_000);
    for slot in slots {
        table.remove(slot);
    }
    assert!(table.is_empty());
    table.insert(operation("a", now));
    assert!(!table.is_empty());
    assert!(
        ids(&table).is_disjoint(&first),
        "no ID is that of two calls"
    );
}

#[test]
fn call_table_checks_its_capacity() {
    for capacity in [1, 1_000_000] {
        let table = CallTable::with_capacity(capacity).expect("in range");
        assert_eq!(table.capacity(), capacity);
    }
    for (capacity, text) in [
        (0, "call table: capacity is 0, must be 1 to 1000000"),
        (
            1_000_001,
            "call table: capacity is 1000001, must be 1 to 1000000",
        ),
    ] {
        let error = CallTable::with_capacity(capacity).expect_err("out of range");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(
        format!("{:?}", table(5)),
        "CallTable { len: 0, capacity: 5, .. }"
    );
}

#[tokio::test(start_paused = true)]
async fn call_table_keeps_the_latest_slow_calls() {
    let (table, began) = (table(10), Instant::now());
    tokio::time::advance(Duration::from_secs(5)).await;
    for number in 0..250 {
        let slot = table.insert(operation("job", began)).expect("room");
        let clock = CallClock::at(began + Duration::from_secs(number));
        let outcome = Outcome::TimedOut;
        let end = CallEnd::new(outcome, &clock).with_admitted_at(began);
        let call = table.remove(slot).expect("in flight");
        table.push_slow(call, &end);
    }
    let slow = table.slow(usize::MAX);
    let seconds: Vec<u64> = slow.iter().map(|call| call.elapsed.as_secs()).collect();
    assert_eq!(seconds, (50..250).rev().collect::<Vec<_>>());
    assert_eq!(table.slow(3).len(), 3);
    assert!(
        slow.iter()
            .all(|call| call.outcome == Some(Outcome::TimedOut))
    );
    let ids: BTreeSet<u64> = slow.iter().map(|call| call.id).collect();
    assert_eq!(ids.len(), 200);
}

#[test]
fn calls_of_many_threads_leave_nothing() {
    let (table, now) = (table(1_000), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut slots = Vec::new();
                for _ in 0..25_000 {
                    slots.extend(table.insert(operation("a", now)));
                    let at = fastrand::usize(..=slots.len());
                    if at < slots.len() {
                        assert!(table.remove(slots.swap_remove(at)).is_some());
                    }
                    if slots.len() > 300 {
                        for slot in slots.drain(..) {
                            assert!(table.remove(slot).is_some());
                        }
                    }
                }
                for slot in slots {
                    assert!(table.remove(slot).is_some());
                }
            });
        }
    });
    assert_eq!((table.len(), table.in_flight(10).len()), (0, 0));
}

proptest! {
    #[test]
    fn call_table_has_the_calls_of_a_model(
        capacity in 1..40_usize,
        shards in 1..5_usize,
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
    ) {
        let (table, now) = (CallTable::new(capacity, shards), Instant::now());
        let mut model: BTreeMap<NonZeroU32, Instant> = BTreeMap::new();
        let mut missed = 0;
        for (number, (is_insert, which)) in steps.into_iter().enumerate() {
            let at = now + Duration::from_millis(number as u64);
            if is_insert {
                match table.insert(operation("a", at)) {
                    Some(slot) => prop_assert!(model.insert(slot, at).is_none()),
                    None => {
                        prop_assert_eq!(model.len(), capacity);
                        missed += 1;
                    }
                }
            } else if !model.is_empty() {
                let slot = *model.keys().nth(which.index(model.len())).expect("in range");
                let (_, call) = table.remove(slot).expect("in flight");
                prop_assert_eq!(Some(call.started_at), model.remove(&slot));
            }
            prop_assert_eq!((table.len(), table.missed()), (model.len(), missed));
        }
        prop_assert_eq!(table.in_flight(usize::MAX).len(), model.len());
    }
}

#[test]
fn kinds_of_calls_have_names() {
    let kinds = [CallKind::Server, CallKind::Client, CallKind::Operation];
    assert_eq!(
        kinds.map(CallKind::as_str),
        ["server", "client", "operation"]
    );
    assert_eq!(CallKind::from_side(Side::Server), CallKind::Server);
    assert_eq!(CallKind::from_side(Side::Client), CallKind::Client);
}
