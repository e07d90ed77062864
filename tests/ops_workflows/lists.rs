//! The list, statistics and bounds.

use std::{future::pending, time::SystemTime};

use futures_util::FutureExt;
use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::ops::Ops;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn list_filters_and_pages() {
    let console = Console::new();
    for n in 0..5 {
        let name = if n % 2 == 0 { "even" } else { "odd" };
        let flow = console
            .ops
            .workflow(name)
            .attribute("number", format_args!("N-{n}"));
        let result = flow.run(|flow| async move {
            match n {
                3 => flow.step("divide").run(fail("by zero")).await,
                _ => flow.step("divide").run(work(1)).await,
            }
        });
        let _ = result.await;
    }
    let number = |row: &Value| row["name"].clone();
    let all = console.list("").await;
    assert_eq!(
        all.iter().map(number).collect::<Vec<_>>(),
        ["even", "odd", "even", "odd", "even"]
    );
    for (query, count) in [
        ("name=odd", 2),
        ("state=failed", 1),
        ("state=failed&name=even", 0),
        ("state=running", 0),
        ("q=n-4", 1),
        ("q=DIVIDE", 5),
        ("q=by%20zero", 1),
        ("q=nothing", 0),
        ("until=1", 0),
        ("since=1&limit=2", 2),
    ] {
        assert_eq!(console.list(query).await.len(), count, "{query}");
    }
    let mut ids = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = console.get(&format!("workflows?{query}")).await;
        let rows = page["workflows"].as_array().expect("rows");
        ids.extend(rows.iter().map(|row| row["id"].clone()));
        match page["next"].as_str() {
            Some(next) => query = format!("limit=2&before={next}"),
            None => break,
        }
    }
    assert_eq!(
        ids,
        all.iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    );
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let later = now.expect("after 1970").as_secs() + 60;
    assert!(console.list(&format!("since={later}")).await.is_empty());
    for (query, field) in [
        ("state=ended", "state"),
        ("before=x", "before"),
        ("since=-1", "since"),
        ("until=soon", "until"),
        ("limit=501", "limit"),
        ("text=a", "text"),
    ] {
        let (status, problem) = console.send(&format!("workflows?{query}")).await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{query}"
        );
    }
    for id in ["0000000000000000", "x", "%F0"] {
        let (status, _) = console.send(&format!("workflows/{id}")).await;
        assert!(matches!(status.as_u16(), 400 | 404), "{id} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn statistics_are_by_name() {
    let console = Console::new();
    let run = |millis| console.ops.workflow("job").run(move |_| work(millis));
    for millis in 1..=100 {
        run(millis).await.expect("done");
    }
    console
        .ops
        .workflow("job")
        .run(|_| fail("no disk"))
        .await
        .expect_err("failed");
    let mut cancelled = Box::pin(run(1));
    assert!((&mut cancelled).now_or_never().is_none());
    drop(cancelled);
    let mut running = Box::pin(console.ops.workflow("new").run(|_| work(1)));
    assert!((&mut running).now_or_never().is_none());
    let statistics = console.get("workflows/statistics").await;
    let [job, new] = &statistics["workflows"].as_array().expect("rows")[..] else {
        panic!("{statistics}")
    };
    let counts = |row: &Value| {
        ["running", "done", "failed", "cancelled", "lost"]
            .map(|state| row[state].as_u64().expect("a count"))
    };
    assert_eq!(
        (counts(job), counts(new)),
        ([0, 100, 1, 1, 0], [1, 0, 0, 0, 0])
    );
    let p95 = job["p95_seconds"].as_f64().expect("a number");
    assert!((p95 - 0.095).abs() < 0.004, "{p95}");
    assert_eq!(new["p50_seconds"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn bounds_hold_and_what_is_beyond_is_counted() {
    let ops = Ops::builder("orders")
        .max_running_workflows(2)
        .max_finished_workflows(3);
    let console = Console::of(ops.build().expect("valid"));
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut run = Box::pin(console.ops.workflow("a").run_infallible(|flow| async move {
            let id = flow.id();
            pending::<()>().await;
            id
        }));
        assert!((&mut run).now_or_never().is_none());
        held.push(run);
    }
    let page = console.get("workflows").await;
    assert_eq!((&page["running"], &page["missed"]), (&json!(2), &json!(2)));
    let mut bad = held.split_off(1);
    drop(held);
    bad.clear();
    for _ in 0..9 {
        let long = "ä".repeat(10_000);
        let flow = console.ops.workflow(long.clone()).attribute("long", &long);
        flow.run_infallible(|flow| async move {
            for _ in 0..1_001 {
                flow.step("s").run_infallible(async {}).await;
            }
            (0..20).for_each(|n| flow.attribute(format!("a{n}"), &long));
        })
        .await;
    }
    // Neither of those that are done and of the others pushes out the last half of the other.
    let states = |rows: Vec<Value>| {
        rows.iter()
            .map(|row| row["state"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(console.list("").await),
        ["done", "cancelled", "cancelled"]
    );
    let latest = console.list("limit=1").await[0]["id"].clone();
    let found = console
        .get(&format!("workflows/{}", latest.as_str().expect("an ID")))
        .await;
    assert_eq!(found["steps"].as_array().map(Vec::len), Some(1_000));
    assert_eq!(
        (
            &found["dropped"],
            &found["attributes"]["long"].as_str().map(str::len)
        ),
        (&json!(6), &Some(255))
    );
    assert!(found["name"].as_str().expect("a name").len() <= 128);
    let status = console.get("status").await;
    assert_eq!(status["dropped"]["workflows"], 2);
    assert_eq!(status["dropped"]["workflow_parts"], 9 * 6);
}
