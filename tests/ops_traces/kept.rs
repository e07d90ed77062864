//! Traces that are kept, and their bounds.

use std::time::Duration;

use serde_json::json;
use tower_keep::Context;
use tracing::{info, info_span};

use crate::{schema, support::Kept};

#[tokio::test(start_paused = true)]
async fn slow_trace_is_kept_although_it_is_not_sampled() {
    let kept = Kept::with(|traces| {
        traces
            .sample_rate(0.0)
            .keep_slow(Some(Duration::from_millis(100)))
    });
    for (name, millis) in [("fast", 99), ("slow", 100)] {
        let span = kept.run(|| info_span!("call", name));
        tokio::time::advance(Duration::from_millis(millis)).await;
        kept.run(|| drop(span));
    }
    let trace = kept.only().await;
    assert_eq!(trace.0["trace"]["reason"], "slow");
    assert_eq!(kept.span(&trace, 0).await["attributes"]["name"], "slow");
    assert_eq!(trace.0["trace"]["seconds"], json!(0.1));
}

#[tokio::test]
async fn trace_has_so_many_spans_and_counts_the_others() {
    let kept = Kept::with(|traces| traces.sample_rate(1.0).max_spans(3).max_events(2));
    kept.run(|| {
        let _root = info_span!("root").entered();
        for _ in 0..5 {
            info_span!("child").in_scope(|| (0..4).for_each(|n| info!(n)));
        }
    });
    let trace = kept.only().await;
    assert_eq!(
        (trace.len(), &trace.0["trace"]["truncated"]),
        (3, &json!(3))
    );
    let list = kept.get("traces").await;
    assert_eq!(list["dropped"]["spans"], json!(3));
    assert_eq!(list["dropped"]["events"], json!(4));
}

/// Calls of one trace that came after it was kept were missing from it, and were counted nowhere.
#[tokio::test]
async fn spans_of_later_parts_that_do_not_fit_into_their_trace_are_counted() {
    let kept = Kept::with(|traces| traces.sample_rate(1.0).max_spans(3));
    let context = Context::new_root();
    for _ in 0..4 {
        let work = async { info_span!("job").in_scope(|| drop(info_span!("query"))) };
        kept.scope(context.clone().scope(work)).await;
    }
    let trace = kept.only().await;
    assert_eq!(
        (trace.len(), &trace.0["trace"]["truncated"]),
        (2, &json!(6))
    );
    let list = kept.get("traces").await;
    assert_eq!(list["dropped"]["spans"], json!(6));
    assert_eq!(kept.get("status").await["dropped"]["spans"], json!(6));
}

#[tokio::test]
async fn oldest_sampled_traces_make_room_and_those_with_errors_stay() {
    let kept = Kept::with(|traces| traces.sample_rate(1.0).max_bytes(65_536));
    kept.run(|| info_span!("broken").in_scope(|| tracing::error!("disk full")));
    for batch in 0..50 {
        kept.run(|| {
            for n in 0..10 {
                info_span!("fine", batch, n, text = "x".repeat(200)).in_scope(|| info!("well"));
            }
        });
        // As the driver does each second.
        kept.list("").await;
    }
    let list = kept.get("traces?limit=500").await;
    let evicted = list["dropped"]["evicted"].as_u64().expect("a number");
    let traces = list["traces"].as_array().expect("a list");
    assert!(
        evicted > 100 && list["bytes"].as_u64() <= Some(65_536),
        "{list:#}"
    );
    assert_eq!(traces.len() as u64 + evicted, 501);
    assert_eq!(kept.list("?errors=1").await.len(), 1);
    assert_eq!(traces.last().expect("some")["name"], "broken");
}

/// The operations side was blocked, or nobody started it: spans filled the memory.
#[tokio::test]
async fn traces_that_nobody_takes_are_bounded() {
    let kept = Kept::with(|traces| traces.sample_rate(1.0).max_bytes(65_536));
    kept.run(|| (0..1_000).for_each(|n| drop(info_span!("fine", n, text = "x".repeat(200)))));
    let list = kept.get("traces").await;
    assert!(list["bytes"].as_u64() <= Some(65_536), "{list:#}");
    let dropped = list["dropped"]["spans"].as_u64().expect("a number");
    assert_eq!(list["kept"].as_u64(), Some(1_000 - dropped));
    assert_eq!(list["in_flight"], json!(0));
}

#[tokio::test]
async fn pages_follow_each_other() {
    let kept = Kept::all();
    kept.run(|| (0..5).for_each(|n| drop(info_span!("call", n))));
    let mut seen = Vec::new();
    let mut path = "traces?limit=2".to_owned();
    loop {
        let page = kept.get(&path).await;
        seen.extend(
            page["traces"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|trace| trace["seq"].clone()),
        );
        match page["next"].as_u64() {
            Some(next) => path = format!("traces?limit=2&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn filters_are_by_text_attribute_outcome_and_time() {
    let kept = Kept::all();
    kept.run(|| {
        drop(info_span!(
            "one",
            otel.name = "GET /Orders",
            shop = "eu",
            items = 3
        ));
        drop(info_span!("two", shop = "us", items = 4));
    });
    for (query, found) in [
        ("?q=orders", 1),
        ("?attribute=shop%3Deu", 1),
        ("?attribute=items%3D4&attribute=shop%3Dus", 1),
        ("?attribute=items%3D4&attribute=shop%3Deu", 0),
        ("?attribute=none%3D4", 0),
        ("?min_seconds=60", 0),
        ("?from=1000000000&to=1000000001", 0),
        ("?from=1000000000&to=9000000000", 2),
        ("?outcome=success", 0),
        ("?correlation_id=x", 0),
        ("?error_group=x", 0),
        ("?errors=1", 0),
    ] {
        assert_eq!(kept.list(query).await.len(), found, "{query}");
    }
    for (query, field) in [
        ("?attribute=shop", "attribute"),
        ("?min_seconds=-1", "min_seconds"),
        ("?min_seconds=NaN", "min_seconds"),
        ("?outcome=good", "outcome"),
        ("?limit=501", "limit"),
        ("?before=0", "before"),
        ("?x=1", "x"),
    ] {
        let (status, problem) = kept.ask(&format!("traces{query}")).await;
        assert_eq!(
            (status.as_u16(), &problem["field"]),
            (400, &json!(field)),
            "{query}"
        );
    }
    let unknown = format!("traces/{}", "1".repeat(32));
    for path in [unknown.as_str(), "traces/x", "traces/x/spans/y"] {
        assert_eq!(kept.ask(path).await.0.as_u16(), 404, "{path}");
    }
}

#[tokio::test]
async fn metrics_say_what_became_of_traces() {
    let kept = Kept::with(|traces| traces.sample_rate(0.0));
    kept.ops.install().expect("no other recorder");
    kept.run(|| {
        drop(info_span!("fine"));
        info_span!("broken").in_scope(|| tracing::error!("disk full"));
    });
    let counted = |result: &str| format!("tower_keep_ops_traces_total{{result=\"{result}\"}} 1");
    loop {
        // Recorded with each tick, of which the first comes at once.
        let text = kept
            .ops
            .recorder()
            .render(tower_keep::ops::recorder::Format::Text);
        if text.contains(&counted("kept")) && text.contains(&counted("not_kept")) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let kept = Kept::all();
    kept.run(|| {
        let root = info_span!("root", n = 1).entered();
        info_span!("inner").in_scope(|| info!("well"));
        drop(root);
    });
    let described: serde_json::Value =
        serde_json::from_str(include_str!("../../src/ops/api/openapi.json")).expect("JSON");
    schema::check(&described, "Traces", &kept.get("traces").await);
    let trace = kept.only().await;
    schema::check(&described, "Trace", &trace.0);
    schema::check(&described, "Span", &kept.span(&trace, 1).await);
    schema::check(&described, "Status", &kept.get("status").await);
}
