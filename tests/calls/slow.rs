//! Slow calls.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_keep::{Track, observe, operation};

use crate::console::{console, rows};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Makes a call that takes so long, and reads its body.
async fn call(track: impl Into<tower_keep::Observe>, millis: u64, content: &'static str) {
    let handler = async move || {
        tokio::time::sleep(ms(millis)).await;
        (StatusCode::CREATED, [(header::CONTENT_TYPE, content)], "x")
    };
    let app = Router::new().route("/slow/{id}", get(handler));
    let app: Router = app.layer(track.into().server());
    let request = Request::get("/slow/7")
        .body(Body::empty())
        .expect("a request");
    let response = app.oneshot(request).await.expect("infallible");
    response.into_body().collect().await.expect("a body");
}

fn slow_from(name: &'static str, warning: u64) -> Track {
    let track = Track::builder(name).slow(ms(warning), ms(60_000));
    track.build().expect("valid settings")
}

#[tokio::test(start_paused = true)]
async fn slow_calls_are_those_that_have_reached_their_threshold() {
    let console = console();
    call(observe("slow_default"), 999, "text/plain").await;
    assert!(rows(&console, "slow=1", "slow_default").await.is_empty());
    call(observe("slow_default"), 1_000, "text/plain").await;
    call(observe("slow_default"), 3_000, "text/plain").await;
    let found = rows(&console, "slow=1", "slow_default").await;
    assert_eq!(
        (found[0]["seconds"].as_f64(), found.len()),
        (Some(3.0), 2),
        "the newest first"
    );
    assert_eq!(
        (&found[1]["status"], &found[1]["outcome"]),
        (&201.into(), &"success".into())
    );
    assert_eq!(found[1]["route"], "/slow/{id}");
    assert!(found[1]["correlation_id"].is_string());

    call(observe(slow_from("slow_low", 50)), 49, "text/plain").await;
    assert!(rows(&console, "slow=1", "slow_low").await.is_empty());
    call(observe(slow_from("slow_low", 50)), 50, "text/plain").await;
    assert_eq!(rows(&console, "slow=1", "slow_low").await.len(), 1);

    call(observe(slow_from("slow_high", 5_000)), 4_999, "text/plain").await;
    assert!(rows(&console, "slow=1", "slow_high").await.is_empty());
    call(observe(slow_from("slow_high", 5_000)), 5_000, "text/plain").await;
    assert_eq!(rows(&console, "slow=1", "slow_high").await.len(), 1);

    call(observe("slow_stream"), 3_000, "text/event-stream").await;
    assert!(rows(&console, "slow=1", "slow_stream").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn slow_operations_are_shown_too() {
    let console = console();
    let run = async |kind: &'static str, millis, threshold: Option<u64>| {
        let operation = operation("import").kind(kind);
        let operation = match threshold {
            Some(threshold) => operation.slow(ms(threshold)),
            None => operation,
        };
        operation
            .run_infallible(tokio::time::sleep(ms(millis)))
            .await;
        rows(&console, "slow=1", kind).await.len()
    };
    assert_eq!(run("slow_1", 999, None).await, 0);
    assert_eq!(run("slow_1", 1_000, None).await, 1);
    assert_eq!(run("slow_2", 4_999, Some(5_000)).await, 0);
    assert_eq!(run("slow_2", 5_000, Some(5_000)).await, 1);
    assert_eq!(run("slow_3", 10, Some(10)).await, 1);
}
