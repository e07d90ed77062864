//! Logs over real connections: search and lines as they come.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tower_keep::{BoxError, ops::Ops};
use tracing::subscriber::with_default;
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::{callsites::ask_all_subscribers, schema, support::*};

/// Runs work whose events the console keeps.
fn log(console: &Console, work: impl FnOnce()) {
    ask_all_subscribers();
    with_default(registry().with(console.ops.layer()), work);
}

/// Returns the messages of the next frame that has lines of the log, and how many were skipped.
async fn lines(socket: &mut Socket) -> (Vec<String>, u64) {
    let next = async {
        loop {
            let message = socket
                .next()
                .await
                .expect("not the end")
                .expect("a message");
            let Message::Text(text) = message else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).expect("json");
            schema::check(&openapi(), "Frame", &frame);
            assert_ne!(frame["type"], "problem", "{frame}");
            if let Some(records) = frame["logs"]["records"].as_array() {
                let text = |record: &Value| record["message"].as_str().expect("a text").to_owned();
                let skipped = frame["logs"]["skipped"].as_u64().expect("a number");
                return (records.iter().map(text).collect(), skipped);
            }
        }
    };
    timeout(Duration::from_secs(30), next)
        .await
        .expect("a frame")
}

/// Sends a message and waits for the answer.
async fn say(socket: &mut Socket, message: Value) {
    let sent = socket.send(Message::text(message.to_string())).await;
    sent.expect("sent");
    let answer = async {
        loop {
            let frame = socket.next().await.expect("not the end").expect("a frame");
            if frame
                .to_text()
                .expect("a text")
                .contains("\"type\":\"tick\"")
            {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), answer)
        .await
        .expect("an answer");
}

#[tokio::test]
async fn logs_are_found_as_described() {
    let console = Console::start(Ops::builder("orders")).await;
    log(&console, || tracing::warn!(order_id = 7, "<b>refused</b>"));
    let found = json(&console.get(VIEWER, "api/v1/logs?q=refused").await);
    schema::check(&openapi(), "Logs", &found);
    assert_eq!(found["records"][0]["message"], "<b>refused</b>");
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    assert_eq!(status["dropped"]["logs"], 0);
    let wrong = problem(&console.get(VIEWER, "api/v1/logs?level=loud").await, 400);
    assert_eq!(wrong["field"], "level");
}

#[tokio::test]
async fn viewer_that_asks_gets_lines_as_they_come() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console
        .watch(VIEWER, "every=1&channels=logs&level=warn")
        .await;
    socket.next().await.expect("not the end").expect("hello");
    log(&console, || {
        tracing::info!("too low");
        tracing::warn!("first");
        tracing::error!("second");
    });
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (mut newer, skipped) = lines(&mut socket).await;
        assert_eq!(skipped, 0);
        newer.append(&mut seen);
        seen = newer;
    }
    assert_eq!(seen, ["second", "first"]);
}

#[tokio::test]
async fn viewer_changes_which_lines_it_gets() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=60&channels=health").await;
    // No tick is due: each is the answer to what is said.
    let tail = json!({"action": "tail", "q": "\"of 300\"", "target": "ops"});
    say(&mut socket, tail).await;
    say(&mut socket, json!({"action": "set_every", "every": 1})).await;
    log(&console, || {
        (0..300).for_each(|n| tracing::info!("line {n} of 300"));
        tracing::info!("another");
    });
    let (mut seen, mut skipped) = (Vec::new(), 0);
    while seen.len() as u64 + skipped < 300 {
        let (newer, more) = lines(&mut socket).await;
        assert!(newer.len() <= 200);
        seen.extend(newer);
        skipped += more;
    }
    assert_eq!(seen.len() as u64 + skipped, 300);
    assert!(seen.iter().all(|line| line.ends_with("of 300")));
    assert!(skipped == 0 || seen.contains(&"line 299 of 300".to_owned()));
}

#[tokio::test]
async fn viewer_that_does_not_ask_gets_no_lines() {
    let console = Console::start(Ops::builder("orders")).await;
    let mut socket = console.watch(VIEWER, "every=1").await;
    log(&console, || tracing::error!("not for everybody"));
    for _ in 0..3 {
        let frame = socket.next().await.expect("not the end").expect("a frame");
        assert!(
            !frame
                .to_text()
                .expect("a text")
                .contains("not for everybody")
        );
    }
    let wrong = json!({"action": "tail", "level": "loud"});
    socket
        .send(Message::text(wrong.to_string()))
        .await
        .expect("sent");
    let is_problem = async {
        loop {
            let frame = socket.next().await.expect("not the end").expect("a frame");
            if frame
                .to_text()
                .expect("a text")
                .contains("level is \\\"loud\\\"")
            {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), is_problem)
        .await
        .expect("a problem");
}

#[tokio::test]
async fn operator_who_changes_the_log_filter_sees_what_it_lets_through() {
    let set = |_: &str| -> Result<(), BoxError> { Ok(()) };
    let builder = Ops::builder("orders").log_filter((|| "info,sqlx=debug".to_owned(), set));
    let console = Console::start(builder.allow_control(true)).await;
    let debug = || {
        tracing::debug!(target: "sqlx::query", "select");
        tracing::debug!(target: "hyper", "poll");
    };
    log(&console, debug);
    let change = json!({"filter": "info,sqlx=debug", "seconds": 60, "reason": "a slow query"});
    let changed = console.post(OPERATOR, "api/v1/log-level", &change).await;
    assert_eq!(changed.status(), 200, "{changed:?}");
    log(&console, debug);
    let found = json(&console.get(VIEWER, "api/v1/logs?target=sqlx").await);
    assert_eq!(found["records"].as_array().map(Vec::len), Some(1));
    let found = json(&console.get(VIEWER, "api/v1/logs?target=hyper").await);
    assert_eq!(found["kept"], 1);
}
