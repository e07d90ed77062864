//! IDs, metrics, traces and lines of the log of workflows.

use futures_util::FutureExt;
use serde_json::{Value, json};
use tower_keep::{
    Context,
    ops::{Ops, recorder::Format},
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn workflow_has_the_ids_of_its_context_or_begins_a_chain() {
    let console = Console::new();
    let context = Context::new_root();
    let ids = |context: &Context| {
        (
            json!(context.correlation_id()),
            json!(context.trace_id().to_string()),
        )
    };
    // Also one that is spawned by a request.
    let task = context.run(|| tokio::spawn(console.ops.workflow("a").run_infallible(|_| async {})));
    task.await.expect("no panic");
    let row = &console.list("name=a").await[0];
    assert_eq!(
        (row["correlation_id"].clone(), row["trace_id"].clone()),
        ids(&context)
    );
    let own = console
        .ops
        .workflow("b")
        .run_infallible(|_| async { Context::current() });
    let own = own.await.expect("a context");
    let row = &console.list("name=b").await[0];
    assert_eq!(
        (row["correlation_id"].clone(), row["trace_id"].clone()),
        ids(&own)
    );
    let query = format!("q={}", own.correlation_id());
    assert_eq!(console.list(&query).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn workflow_is_an_operation_with_metrics_and_so_are_its_steps() {
    let console = Console::new();
    let recorder = console.ops.recorder().clone();
    let checkout = console
        .ops
        .workflow("checkout")
        .run(|flow| async move { flow.step("pay").run(fail("no answer")).await });
    let mut checkout = Box::pin(checkout);
    let result = metrics::with_local_recorder(&recorder, || (&mut checkout).now_or_never());
    result.expect("ready").expect_err("failed");
    let text = recorder.render(Format::Text);
    for line in [
        r#"operation_duration_seconds_count{kind="workflow",operation="checkout",outcome="failure"} 1"#,
        r#"operation_duration_seconds_count{kind="step",operation="checkout.pay",outcome="failure"} 1"#,
        r#"operations_in_flight{kind="workflow",operation="checkout"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// The row of a workflow led to a trace of the request before it, and to no lines.
#[cfg(feature = "ops-logs")]
#[tokio::test]
async fn workflow_leads_to_its_trace_and_to_its_lines_of_the_log() {
    use tracing::{Dispatch, instrument::WithSubscriber};
    use tracing_subscriber::layer::SubscriberExt;

    crate::callsites::ask_all_subscribers();
    let ops = Ops::builder("orders").traces(|traces| traces.sample_rate(1.0));
    let console = Console::of(ops.build().expect("valid"));
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(console.ops.layer()));
    let checkout = console.ops.workflow("checkout").run(|flow| async move {
        flow.step("reserve").run(work(1)).await?;
        let pay = async {
            tracing::info!("paying by card");
            fail("no answer").await
        };
        flow.step("pay").run(pay).await
    });
    let result = checkout.with_subscriber(subscriber).await;
    result.expect_err("failed");
    let row = &console.list("").await[0];
    let trace_id = row["trace_id"].as_str().expect("an ID");
    let trace = console.get(&format!("traces/{trace_id}")).await;
    let spans = &trace["spans"];
    let column = |name: &str| spans[name].as_array().expect("a column").clone();
    let names = column("name").into_iter().map(|name| {
        let at = name.as_u64().expect("an index") as usize;
        trace["names"][at].clone()
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["checkout", "checkout.reserve", "checkout.pay"]);
    assert_eq!(column("parent"), [Value::Null, json!(0), json!(0)]);
    let correlation_id = row["correlation_id"].as_str().expect("an ID");
    let found = console
        .get(&format!("logs?correlation_id={correlation_id}&level=info"))
        .await;
    let records = found["records"].as_array().expect("records").iter();
    let messages: Vec<_> = records.map(|record| record["message"].clone()).collect();
    // The newest first: the line of the workflow, of its step, and of the code in it.
    assert_eq!(messages, ["operation", "operation", "paying by card"]);
}
