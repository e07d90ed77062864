//! Alerts before and after a restart.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tower_keep::ops::Ops;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn alerts_survive_a_restart() {
    let folder = std::env::temp_dir().join(format!("tower-keep-alerts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("ops.db");
    let builder = || {
        Ops::builder("orders")
            .sqlite(&*path)
            .rule(backlog().for_(Duration::ZERO))
    };
    let mut service = Service::start(builder());
    service.load("a", 20.0);
    service.load("b", 20.0);
    seconds(1).await;
    let alerts = service.alerts("").await;
    assert_eq!(service.act(&alerts[0], "acknowledge").await, StatusCode::OK);
    assert_eq!(service.act(&alerts[1], "resolve").await, StatusCode::OK);
    let silence = json!({"matchers": ["id=c"], "seconds": 3600, "reason": "x"});
    assert_eq!(
        service.post("api/v1/silences", silence).await.0,
        StatusCode::OK
    );
    drop(service);
    // Its tasks end after it, and the file is free then.
    seconds(2).await;

    let mut service = Service::start(builder());
    for turn in 0.. {
        seconds(1).await;
        if !service.alerts("state=acknowledged").await.is_empty() {
            break;
        }
        assert!(turn < 10_000, "the file is not read");
        // The writer is a thread, whose clock is not that of the test.
        tokio::task::spawn_blocking(std::thread::yield_now)
            .await
            .expect("no panic");
    }
    let again = service.alerts("state=acknowledged").await;
    assert_eq!(
        (&again[0]["fingerprint"], &again[0]["seq"]),
        (&alerts[0]["fingerprint"], &alerts[0]["seq"])
    );
    assert_eq!(again[0]["acknowledged"]["by"], "mira");
    assert_eq!(
        states(&service.alerts("state=resolved").await),
        ["backlog resolved"]
    );
    let silences = service.get("api/v1/silences", "Silences").await;
    assert_eq!(silences["silences"][0]["matchers"], json!(["id=c"]));
    let id = again[0]["labels"]["id"]
        .as_str()
        .expect("a text")
        .to_owned();
    service.load(&id, 1.0);
    seconds(90).await;
    let resolved = service.alerts("state=resolved").await;
    let expected = "the condition has not held since the process was restarted";
    assert!(
        resolved.iter().any(|alert| alert["resolution"] == expected),
        "{resolved:?}"
    );
    drop(service);
    std::fs::remove_dir_all(folder).expect("a folder");
}
