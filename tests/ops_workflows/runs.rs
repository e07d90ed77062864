//! Workflows, their steps, and workflows inside of others.

use std::{future::pending, io};

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_keep::ops::{Ops, workflow};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn workflow_has_its_steps_with_their_times() {
    let console = Console::new();
    let checkout = console.ops.workflow("checkout").attribute("order", 4711);
    let sum = checkout.run(|flow| async move {
        let reserved = flow.step("reserve").run(work(20)).await?;
        sleep(ms(5)).await;
        let paid = flow.step("pay").text("by card").run(work(75)).await?;
        Ok::<_, io::Error>(reserved + paid)
    });
    assert_eq!(sum.await.expect("done"), 95);
    let found = console.only().await;
    assert_eq!(
        (&found["name"], &found["state"]),
        (&json!("checkout"), &json!("done"))
    );
    assert_eq!(
        (&found["seconds"], &found["step_count"]),
        (&json!(0.1), &json!(2))
    );
    assert_eq!(found["attributes"], json!({"order": "4711"}));
    let members = ["name", "state", "offset_seconds", "seconds", "text"];
    let expected = [
        json!(["reserve", "done", 0.0, 0.02, null]),
        json!(["pay", "done", 0.025, 0.075, "by card"]),
    ];
    assert_eq!(of_steps(&found, members), expected);
}

#[tokio::test(start_paused = true)]
async fn workflow_that_runs_says_what_it_does_and_how_far_it_is() {
    let console = Console::new();
    let import = console.ops.workflow("import").expected_steps(4);
    let mut import = Box::pin(import.run_infallible(|flow| async move {
        flow.step("read").run_infallible(async {}).await;
        let mut load = flow.step("load");
        let progress = load.progress();
        let rows = async {
            progress.set_count(30, 60);
            progress.set_text("orders.csv");
            pending::<()>().await;
        };
        load.run_infallible(rows).await;
    }));
    assert!((&mut import).now_or_never().is_none());
    let row = &console.list("state=running").await[0];
    assert_eq!(row["step"], "load");
    assert_eq!(
        (&row["text"], &row["step_progress"]),
        (&json!("orders.csv"), &json!(0.5))
    );
    assert_eq!(
        (&row["progress"], &row["seconds"]),
        (&json!(0.375), &Value::Null)
    );
    let progress = of_steps(&console.only().await, ["progress"]);
    assert_eq!(
        progress[1],
        json!([{"fraction": 0.5, "done": 30, "total": 60}])
    );
    drop(import);
    let members = ["name", "state"];
    let expected = [json!(["read", "done"]), json!(["load", "cancelled"])];
    let found = console.only().await;
    assert_eq!(
        (&found["state"], of_steps(&found, members)),
        (&json!("cancelled"), expected.to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn steps_run_at_the_same_time_and_inside_of_each_other() {
    let console = Console::new();
    let import = console.ops.workflow("import").run(|flow| async move {
        let inner = flow.clone();
        let orders = flow.step("orders").run(async move {
            inner.step("parse").run(work(10)).await?;
            inner.step("check").run(work(10)).await
        });
        let items = flow.step("items").run(work(15));
        tokio::try_join!(orders, items)
    });
    import.await.expect("done");
    let members = ["name", "parent", "offset_seconds", "seconds"];
    let expected = [
        json!(["orders", null, 0.0, 0.02]),
        json!(["parse", 0, 0.0, 0.01]),
        json!(["items", null, 0.0, 0.015]),
        json!(["check", 0, 0.01, 0.01]),
    ];
    assert_eq!(of_steps(&console.only().await, members), expected);
}

#[tokio::test(start_paused = true)]
async fn nested_workflows_know_each_other_also_in_tasks() {
    let console = Console::new();
    let checkout = console
        .ops
        .workflow("checkout")
        .run_infallible(|flow| async move {
            let invoice = workflow("invoice").run_infallible(|_| async {});
            flow.step("bill").run_infallible(invoice).await;
            let task = flow.step("ship").run_infallible(async {
                tokio::spawn(workflow("shipping").run_infallible(|_| async {})).await
            });
            task.await.expect("no panic");
            let own = flow.clone();
            let spawned = tokio::spawn(own.step("count").run_infallible(async {}));
            spawned.await.expect("no panic");
        });
    checkout.await;
    let rows = console.list("").await;
    let names: Vec<_> = rows.iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["shipping", "invoice", "checkout"]);
    let parent = |step: Option<&str>| json!({"id": rows[2]["id"], "step": step});
    // Created in the workflow, and run by a step of it.
    assert_eq!(rows[1]["parent"], parent(None));
    assert_eq!(rows[0]["parent"], parent(Some("ship")));
    let id = rows[2]["id"].as_str().expect("an ID");
    let found = console.get(&format!("workflows/{id}")).await;
    let steps = of_steps(&found, ["name", "child"]);
    assert_eq!(
        steps[1..],
        [json!(["ship", rows[0]["id"]]), json!(["count", null])]
    );
}

#[tokio::test(start_paused = true)]
async fn workflow_without_ops_runs_and_is_not_recorded() {
    let result = workflow("checkout")
        .attribute("order", 1)
        .run(|flow| async move {
            assert_eq!((flow.id(), flow.name()), (None, "checkout"));
            let mut step = flow.step("pay").text("by card");
            step.progress().set_fraction(0.5);
            step.run(work(5)).await
        });
    assert_eq!(result.await.expect("done"), 5);
    let ops = Ops::builder("orders").build().expect("valid");
    let flow = ops.workflow("a").run_infallible(|flow| async move { flow });
    let flow = flow.await;
    // It runs on after its end, and after the last handle.
    flow.step("late").run(work(1)).await.expect("done");
    drop(ops);
    flow.attribute("late", 1);
    assert_eq!(flow.step("late").run(work(1)).await.expect("done"), 1);
}

#[tokio::test(start_paused = true)]
async fn workflow_that_was_never_polled_has_not_begun() {
    let console = Console::new();
    drop(console.ops.workflow("checkout").run(|_| work(1)));
    assert!(console.list("").await.is_empty());
}
