//! Limits of bulkheads that adapt themselves, in the journal and among the guards.

use serde_json::json;
use tower_keep::{
    Bulkhead, Outcome,
    adaptive::{Limit, Window},
    ops::journal::{EventKind, Severity},
};

use super::guards::{Guards, seconds};

/// Halves the limit, whatever the calls say.
#[derive(Debug)]
struct Halves;

impl Limit for Halves {
    fn update(&mut self, limit: f64, _: &Window) -> f64 {
        limit / 2.0
    }
}

#[tokio::test(start_paused = true)]
async fn limit_that_has_adapted_is_in_the_journal_and_no_change_of_the_state() {
    let guards = Guards::start();
    let bulkhead = Bulkhead::builder("adapted").limit(40).algorithm(|| Halves);
    let bulkhead = bulkhead.build().expect("valid settings");
    // Of two windows; the second one is within the pause after the first report.
    for _ in 0..3 {
        for _ in 0..50 {
            let permit = bulkhead.try_acquire().expect("a free slot");
            permit.complete(Outcome::Success);
        }
        seconds(1).await;
    }
    assert_eq!(bulkhead.limit(), 10);
    let events = guards.ops.journal().after(0, 1_000, |event| {
        event.kind() == EventKind::Guard && event.subject() == "adapted"
    });
    let [event] = &events[..] else {
        panic!("one event expected: {events:?}")
    };
    assert_eq!(event.text(), "limit 40 → limit 20, calls slower");
    assert_eq!(event.severity(), Severity::Warning);
    let guard = guards.guard_of("bulkhead", "adapted").await;
    let transition = &guard["transitions"][0];
    let shown = ["from", "to", "reason"].map(|field| &transition[field]);
    assert_eq!(
        shown,
        [
            &json!("limit 40"),
            &json!("limit 20"),
            &json!("calls_slower")
        ]
    );
    assert_eq!(guard["since"], json!(null), "the state is that of before");
    assert_eq!(guard["strip"], json!([["available", 1.0]]));
}
