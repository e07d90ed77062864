//! The journal after a restart.

use serde_json::Value;
use tower_keep::ops::{
    StoreFile,
    health::HealthStatus,
    journal::{Event, EventKind, Severity},
};

use crate::support::*;

fn seqs(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().expect("a list").iter();
    events
        .map(|event| event["seq"].as_u64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn journal_goes_on_where_it_ended_after_a_clean_stop() {
    let folder = Folder::new();
    let first = ops(&folder.file());
    for n in 1..=5_000 {
        assert_eq!(first.journal().record(event(&format!("event {n}"))), n);
    }
    drop(first);
    let second = ops(&folder.file());
    assert_eq!(second.journal().last(), 5_000);
    assert_eq!(second.journal().record(event("event 5001")), 5_001);
    // The latest are in memory, the others in the file.
    let latest = second.journal().latest(2, |_| true);
    let texts: Vec<_> = latest.iter().map(|event| event.text()).collect();
    assert_eq!(texts, ["event 5000", "event 5001"]);
    let mut before = 5_002;
    let mut found = Vec::new();
    while before > 1 {
        let path = format!("/api/v1/journal?limit=700&before={before}");
        let page = get(&second, &path).await;
        assert_eq!((&page["oldest"], &page["dropped"]), (&1.into(), &0.into()));
        let numbers = seqs(&page);
        before = numbers[0];
        found.splice(0..0, numbers);
    }
    assert_eq!(found, (1..=5_001).collect::<Vec<_>>());
    let page = get(&second, "/api/v1/journal?after=2998&limit=4").await;
    assert_eq!(seqs(&page), [2_999, 3_000, 3_001, 3_002]);
    assert_eq!(page["events"][0]["text"], "event 2999");
    let page = get(&second, "/api/v1/journal?after=4999&limit=4").await;
    assert_eq!(seqs(&page), [5_000, 5_001]);
}

#[tokio::test]
async fn event_is_the_same_after_a_restart() {
    let folder = Folder::new();
    let first = ops(&folder.file());
    let control = Event::new(EventKind::Control, Severity::Warning, "ledger", "hold open")
        .with_who(Some("ada"))
        .with("reason", "it is broken <b>")
        .with("seconds", 600);
    first.journal().record(control);
    for n in 0..3_000 {
        first.journal().record(event(&n.to_string()));
    }
    let path = "/api/v1/journal?kind=control";
    let before = get(&first, path).await;
    drop(first);
    let second = ops(&folder.file());
    let after = get(&second, path).await;
    assert_eq!(after["events"], before["events"]);
    assert_eq!(after["events"][0]["data"]["reason"], "it is broken <b>");
    assert_eq!(after["events"][0]["who"], "ada");
}

/// Events that others pushed out of memory were lost.
#[tokio::test]
async fn event_that_is_only_in_the_file_is_not_dropped() {
    let folder = Folder::new();
    let builder = tower_keep::ops::Ops::builder("orders");
    let ops = builder.sqlite(folder.file()).max_events(10);
    let ops = ops.build().expect("valid");
    ops.journal().record(event("first"));
    let file = open(&folder.file());
    while number(&file, "SELECT count(*) FROM events") == 0 {
        tokio::task::yield_now().await;
    }
    for n in 0..10 {
        ops.journal().record(event(&n.to_string()));
    }
    assert_eq!(ops.journal().dropped(), 0);
    let page = get(&ops, "/api/v1/journal").await;
    assert_eq!(page["events"][0]["text"], "first");
    assert_eq!(seqs(&page), (1..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn journal_in_the_file_is_bounded() {
    let folder = Folder::new();
    let file = || StoreFile::new(folder.file()).max_events(100);
    let start = || tower_keep::ops::Ops::builder("orders").sqlite(file());
    let first = start().build().expect("valid");
    for n in 0..1_500 {
        first.journal().record(event(&n.to_string()));
    }
    drop(first);
    let second = start().build().expect("valid");
    let stored = open(&folder.file());
    // Looked for each ten seconds, a thousand at once.
    while number(&stored, "SELECT count(*) FROM events") > 100 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(number(&stored, "SELECT min(seq) FROM events"), 1_401);
    assert_eq!(second.journal().record(event("next")), 1_501);
}

/// Whatever runs in tasks must not keep the file open when the application has dropped its handle.
#[tokio::test]
async fn file_of_an_operations_side_that_runs_is_closed_when_it_is_dropped() {
    let folder = Folder::new();
    let first = ops(&folder.file());
    first.spawn();
    store_when(&first, |store| store.status == HealthStatus::Healthy).await;
    let last = first.journal().record(event("the last one"));
    drop(first);
    // A step that has begun may end it a moment later, on its thread.
    loop {
        let second = ops(&folder.file());
        second.spawn();
        let store = store_when(&second, |store| store.runs > 0).await;
        if store.status == HealthStatus::Healthy {
            assert!(second.journal().last() >= last);
            let found = second.journal().after(last - 1, 1, |_| true);
            assert_eq!(found[0].text(), "the last one");
            break;
        }
        drop(second);
    }
}
