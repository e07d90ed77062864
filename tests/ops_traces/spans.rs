//! Parts of spans that are kept.

use serde_json::json;
use tracing::{Instrument, Level, debug_span, error, info, info_span, span};

use crate::support::Kept;

#[tokio::test]
async fn span_is_kept_with_what_it_carries() {
    let kept = Kept::all();
    kept.run(|| {
        let span = info_span!(
            "load",
            rows = 3,
            ratio = 0.5,
            cached = true,
            api_token = "abc",
            url = "http://user:secret@db/x",
            later = tracing::field::Empty,
        );
        let _entered = span.enter();
        span.record("later", "recorded");
        info!(step = 1, "loaded");
        debug_span!("too fine").in_scope(|| info!("inside of it"));
    });
    let trace = kept.only().await;
    assert_eq!(trace.shape(), ["0 load"]);
    let span = kept.span(&trace, 0).await;
    let expected = json!({
        "rows": 3, "ratio": 0.5, "cached": true, "api_token": "REDACTED", "url": "http://REDACTED@db/x", "later": "recorded"
    });
    assert_eq!(span["attributes"], expected);
    let events = span["events"].as_array().expect("a list");
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["message"], "loaded");
    assert_eq!(events[0]["fields"], json!({"step": 1}));
    assert_eq!(
        events[1]["message"], "inside of it",
        "of the span around it"
    );
    assert_eq!(span["parent_id"], json!(null));
    assert!(
        span["location"]
            .as_str()
            .expect("a file")
            .starts_with("tests/ops_traces/spans.rs:")
    );
}

#[tokio::test]
async fn children_come_after_their_parents_and_in_the_order_of_their_start() {
    let kept = Kept::all();
    kept.run(|| {
        let root = info_span!("root").entered();
        info_span!("first").in_scope(|| info_span!("inner").in_scope(|| {}));
        info_span!("second").in_scope(|| {});
        drop(root);
    });
    let trace = kept.only().await;
    assert_eq!(trace.shape(), ["0 root", "1 first", "2 inner", "1 second"]);
}

#[tokio::test]
async fn spans_of_other_threads_are_in_the_trace_of_their_parent() {
    let kept = Kept::all();
    kept.run(|| {
        let root = info_span!("root");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (root, dispatch) = (root.clone(), kept.dispatch.clone());
                scope.spawn(move || {
                    tracing::dispatcher::with_default(&dispatch, || {
                        info_span!(parent: &root, "part").in_scope(|| info!("done"));
                    });
                });
            }
        });
    });
    let trace = kept.only().await;
    assert_eq!(
        trace.shape(),
        ["0 root", "1 part", "1 part", "1 part", "1 part"]
    );
}

/// A subscriber keeps a span open for as long as its children are.
#[tokio::test(start_paused = true)]
async fn span_that_outlives_its_parent_is_added_when_it_ends() {
    let kept = Kept::all();
    let request = kept.run(|| info_span!("request"));
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    let late = kept.run(|| request.in_scope(|| info_span!("background")));
    drop(request);
    assert!(kept.list("").await.is_empty(), "its parent is open with it");
    tokio::time::advance(std::time::Duration::from_millis(5)).await;
    kept.run(|| {
        late.in_scope(|| info!("at last"));
        drop(late);
    });
    let trace = kept.only().await;
    assert_eq!(trace.shape(), ["0 request", "1 background"]);
    let [parent, child] = [0, 1].map(|at| trace.column("micros", at).as_u64().expect("an end"));
    assert!(parent < 5_000 && child >= 5_000, "{parent} {child}");
}

#[tokio::test(start_paused = true)]
async fn busy_time_is_that_in_which_code_ran_in_the_span() {
    let kept = Kept::all();
    let work = async {
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    kept.scope(work.instrument(kept.run(|| info_span!("work"))))
        .await;
    let trace = kept.only().await;
    assert_eq!(trace.column("micros", 0), &json!(110_000), "{trace:?}");
    // The clock is advanced within a poll, and sleeps between two.
    assert_eq!(trace.column("busy", 0), &json!(10_000));
    let span = kept.span(&trace, 0).await;
    assert_eq!(span["idle_seconds"], json!(0.1));
}

#[tokio::test]
async fn span_fails_by_an_event_that_is_an_error() {
    let kept = Kept::with(|traces| traces.sample_rate(0.0));
    kept.run(|| {
        info_span!("fine").in_scope(|| info!("well"));
        info_span!("root").in_scope(|| info_span!("broken").in_scope(|| error!("disk full")));
    });
    let trace = kept.only().await;
    assert_eq!(trace.0["trace"]["reason"], "error");
    assert_eq!(trace.shape(), ["0 root", "1 broken"]);
    assert_eq!(trace.0["spans"]["error"], json!([0, 1]));
}

#[tokio::test]
async fn span_links_what_it_follows_from() {
    let kept = Kept::all();
    let (cause, effect) = kept.run(|| {
        let cause = info_span!("cause");
        let effect = info_span!(parent: None, "effect");
        effect.follows_from(&cause);
        (cause, effect)
    });
    kept.run(|| drop((cause, effect)));
    let list = kept.list("?q=effect").await;
    let trace = kept
        .trace(list[0]["trace_id"].as_str().expect("an ID"))
        .await;
    let span = kept.span(&trace, 0).await;
    let cause = &kept.list("?q=cause").await[0]["trace_id"];
    assert_eq!(&span["links"][0]["trace_id"], cause);
    assert_eq!(span["links"][0]["kept"], json!(true));
}

#[tokio::test]
async fn value_that_panics_or_logs_loses_only_its_text() {
    struct Odd;
    impl std::fmt::Debug for Odd {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let _span = info_span!("of a value", x = "inner").entered();
            info!(y = 1, "while it is formatted");
            f.write_str("odd")
        }
    }
    struct Panics;
    impl std::fmt::Debug for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("a value");
        }
    }
    let kept = Kept::all();
    kept.run(|| drop(info_span!("root", before = 1, odd = ?Odd, bad = ?Panics, after = 2)));
    let list = kept.list("?q=root").await;
    let trace = kept
        .trace(list[0]["trace_id"].as_str().expect("an ID"))
        .await;
    let span = kept.span(&trace, 0).await;
    let expected = json!({"before": 1, "odd": "odd", "bad": "<panicked>", "after": 2});
    assert_eq!(span["attributes"], expected);
}

#[tokio::test]
async fn levels_below_the_filter_are_not_kept_and_disturb_no_other_layer() {
    let kept = Kept::with(|traces| {
        traces
            .sample_rate(1.0)
            .level(tracing::level_filters::LevelFilter::WARN)
    });
    kept.run(|| {
        span!(Level::WARN, "kept").in_scope(|| {
            info_span!("skipped")
                .in_scope(|| span!(Level::WARN, "child").in_scope(|| info!("fine")));
        });
    });
    let trace = kept.only().await;
    assert_eq!(trace.shape(), ["0 kept", "1 child"]);
    assert_eq!(kept.span(&trace, 1).await["events"], json!([]));
}
