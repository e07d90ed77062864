//! Errors and panics.

use serde_json::json;
use tower_keep::{BoxError, ops::workflows::Flow};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn failed_workflow_has_error_and_step() {
    let console = Console::new();
    let checkout = console.ops.workflow("checkout").run(|flow| async move {
        flow.step("reserve").run(work(1)).await?;
        flow.step("pay")
            .run(fail("no answer, password=hunter2"))
            .await
    });
    checkout.await.expect_err("failed");
    let found = console.only().await;
    assert_eq!(
        (&found["state"], &found["step"]),
        (&json!("failed"), &json!("pay"))
    );
    let error = &found["steps"][1]["error"];
    assert_eq!(error["message"], "no answer, password=REDACTED");
    assert_eq!(found["error"]["message"], error["message"]);
    assert_eq!(found["error_message"], error["message"]);
    // As the operation of the workflow has grouped it: one failure, one group.
    let fingerprint = found["error"]["fingerprint"].as_str().expect("a group");
    let group = console.get(&format!("errors/{fingerprint}")).await;
    assert_eq!(
        (&group["route"], &group["count"]),
        (&json!("checkout"), &json!(1))
    );
    let statistics = console.get("workflows/statistics").await;
    let expected = json!([{"step": "pay", "count": 1}]);
    assert_eq!(statistics["workflows"][0]["failing_steps"], expected);
}

#[tokio::test(start_paused = true)]
async fn error_that_only_implements_display_is_recorded() {
    let console = Console::new();
    let import = console
        .ops
        .workflow("import")
        .run_display(|flow| async move {
            let step = flow.step("parse").run(async { "7x".parse::<u32>() });
            step.await.map_err(|error| format!("line 3: {error}"))
        });
    import.await.expect_err("failed");
    let found = console.only().await;
    assert_eq!(
        found["error"]["message"],
        "line 3: invalid digit found in string"
    );
    assert_eq!(found["steps"][0]["error"]["kind"], "ParseIntError");
    let boxed = console
        .ops
        .workflow("boxed")
        .run_display(|_| async { Err::<(), BoxError>("7x".parse::<u32>().unwrap_err().into()) });
    boxed.await.expect_err("failed");
    let boxed = &console.list("name=boxed").await[0];
    assert_eq!(boxed["error_message"], "invalid digit found in string");
}

#[tokio::test(start_paused = true)]
async fn panic_fails_the_workflow_and_goes_on() {
    let console = Console::new();
    let checkout = console
        .ops
        .workflow("checkout")
        .run_infallible(|flow| async move {
            let step = flow.step("pay");
            step.run_infallible(async { panic!("no {}", "luck") }).await
        });
    let panicked = tokio::spawn(checkout).await.expect_err("a panic");
    assert!(panicked.is_panic());
    let found = console.only().await;
    let error = json!({"kind": "panic", "message": "no luck", "causes": [], "fingerprint": null});
    assert_eq!(
        (&found["state"], &found["steps"][0]["state"]),
        (&json!("failed"), &json!("failed"))
    );
    assert_eq!(
        (&found["error"]["message"], &found["steps"][0]["error"]),
        (&json!("no luck"), &error)
    );
    // A closure that panics, too.
    let broken = console
        .ops
        .workflow("broken")
        .run_infallible(|_| -> std::future::Ready<()> { panic!("a bug") });
    assert!(tokio::spawn(broken).await.is_err());
    assert_eq!(console.list("name=broken&state=failed").await.len(), 1);
    assert_eq!(Flow::current().map(|flow| flow.name().to_owned()), None);
}
