//! Bounds of the records that are kept, and the memory that they take.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use serde_json::json;
use tower_keep::{context::Context, ops::Ops};
use tracing::subscriber::with_default;

use super::{allocations, support::*};

#[tokio::test]
async fn memory_is_bounded_by_number_and_bytes() {
    let kept = Kept::new(Ops::builder("orders").logs(|logs| logs.max_records(100)));
    kept.log(|| (0..250).for_each(|n| tracing::info!("line {n}")));
    let found = kept.find("limit=500").await;
    assert_eq!(
        (&found["kept"], &found["stored"], &found["dropped"]),
        (&json!(100), &json!(250), &json!(0))
    );
    assert_eq!(found["records"][99]["message"], "line 150");

    let kept = Kept::new(Ops::builder("orders").logs(|logs| logs.max_bytes(65_536)));
    kept.log(|| (0..100).for_each(|_| tracing::info!("{}", "x".repeat(4_000))));
    assert!((10..=16).contains(&kept.find("").await["kept"].as_u64().expect("a number")));
}

/// A flood fills the queue while nothing stores it.
#[tokio::test]
async fn events_beyond_the_queue_are_dropped_and_counted() {
    let kept = kept();
    kept.log(|| (0..4_000).for_each(|_| tracing::info!("{}", "x".repeat(4_000))));
    let found = kept.find("").await;
    let number = |name: &str| found[name].as_u64().expect("a number");
    assert_eq!(number("stored") + number("dropped"), 4_000);
    assert!(
        (1_500..=2_500).contains(&number("stored")),
        "{}",
        number("stored")
    );
    // There is room again.
    kept.log(|| tracing::info!("after the flood"));
    assert_eq!(kept.messages("q=flood").await, ["after the flood"]);
}

#[tokio::test]
async fn events_of_many_threads_are_all_there() {
    let kept = kept();
    let subscriber = Arc::new(kept.subscriber());
    let start = Arc::new(Barrier::new(8));
    let threads = (0..8).map(|thread| {
        let (subscriber, start) = (subscriber.clone(), start.clone());
        thread::spawn(move || {
            start.wait();
            with_default(subscriber, || {
                (0..500).for_each(|n| tracing::info!(thread, n, "x"))
            });
        })
    });
    threads
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    let found = kept.find("").await;
    let number = |name: &str| found[name].as_u64().expect("a number");
    assert_eq!(number("stored") + number("dropped"), 4_000);
    assert!(number("dropped") < 40, "{}", number("dropped"));
    // Those of one thread are in their order.
    let page = kept.find("q=%22thread+3%22&limit=500").await;
    let order: Vec<_> = page["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| record["fields"]["n"].as_i64())
        .collect();
    assert!(order.is_sorted_by(|a, b| a > b));
}

/// One for the texts and one for the fields; the list that it waits in grows now and then.
#[test]
fn event_allocates_twice() {
    let kept = Kept::new(Ops::builder("orders").logs(|logs| logs.max_records(1)));
    let context = Context::new_root();
    kept.log(|| {
        context.run(|| {
            let (allocations, bytes) = allocations::per_call(|| {
                tracing::info!(
                    order_id = 7,
                    who = "mira",
                    "payments attempt {} of {}",
                    2,
                    3
                );
            });
            assert!((2.0..2.01).contains(&allocations), "{allocations}");
            assert!(bytes < 1_000.0, "{bytes}");
            let below = || tracing::debug!(order_id = 7, "payments attempt {}", 2);
            assert_eq!(allocations::per_call(below).0, 0.0);
        });
    });
}
