//! Calls in flight, over a real connection.

use std::future::pending;

use axum::{Router, extract::Path, routing::get as on_get};
use http::StatusCode;
use tokio::{net::TcpListener, sync::mpsc};
use tower_keep::{Context, observe, operation, ops::Ops};

use crate::console::{access, console, get, rows};

/// Sends a word when it is dropped.
struct OnDrop(mpsc::UnboundedSender<String>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send("dropped".to_owned());
    }
}

// On one thread, so that the call is over when the next task runs.
#[tokio::test]
async fn call_in_flight_is_shown_with_its_ids_until_its_caller_is_gone() {
    let console = console();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let hang = async move |Path(_): Path<u32>, context: Context| {
        let ids = format!("{} {}", context.correlation_id(), context.trace_id());
        let _ = sender.send(ids);
        let _on_drop = OnDrop(sender);
        operation("wait_for_stock")
            .kind("db")
            .run_infallible(pending::<()>())
            .await;
    };
    let app = Router::new()
        .route("/orders/{id}", on_get(hang))
        .layer(observe("hanging").server());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = tokio::spawn(async move {
        let _ = reqwest::get(format!("http://{address}/orders/7?secret=1")).await;
    });

    let ids = receiver.recv().await.expect("a call");
    let (correlation, trace) = ids.split_once(' ').expect("two IDs");
    let rows_now = rows(&console, "slow=0", "hanging").await;
    let [row] = &rows_now[..] else {
        panic!("{rows_now:?}")
    };
    assert_eq!(
        (&row["kind"], &row["method"]),
        (&"server".into(), &"GET".into())
    );
    assert_eq!(row["route"], "/orders/{id}");
    assert_eq!(row["correlation_id"], correlation);
    assert_eq!(row["trace_id"], trace);
    assert!(row["path"].is_null() && row["outcome"].is_null() && row["status"].is_null());
    assert!(row["seconds"].as_f64() >= Some(0.0) && row["id"].is_u64());
    assert!(row["started_at"].as_f64() > Some(1.7e9));
    let operations = rows(&console, "", "db").await;
    assert_eq!(operations[0]["route"], "wait_for_stock");
    assert_eq!(operations[0]["kind"], "operation");
    assert_eq!(operations[0]["correlation_id"], correlation);
    let (_, status) = get(&console, "/api/v1/status").await;
    assert!(status["calls"]["oldest_seconds"].is_number(), "{status}");

    client.abort();
    assert_eq!(receiver.recv().await.as_deref(), Some("dropped"));
    assert!(rows(&console, "", "hanging").await.is_empty());
    assert!(rows(&console, "", "db").await.is_empty());
    server.abort();
}

#[tokio::test]
async fn calls_are_a_bounded_page() {
    let console = console();
    let service = observe("page").server();
    let app = Router::new()
        .route("/", on_get(pending::<()>))
        .layer(service);
    let mut calls = Vec::new();
    for _ in 0..3 {
        let request = http::Request::new(axum::body::Body::empty());
        let call = tower::ServiceExt::oneshot(app.clone(), request);
        let mut call = Box::pin(call);
        assert!(is_pending(&mut call));
        calls.push(call);
    }
    let (_, page) = get(&console, "/api/v1/calls?limit=2").await;
    assert_eq!(page["calls"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["truncated"], true);
    assert_eq!(rows(&console, "", "page").await.len(), 3);
    drop(calls);
    assert!(rows(&console, "", "page").await.is_empty());
    for (query, field) in [("limit=0", "limit"), ("slow=2", "slow"), ("kind=x", "kind")] {
        let (status, problem) = get(&console, &format!("/api/v1/calls?{query}")).await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::BAD_REQUEST, &field.into())
        );
    }
}

#[tokio::test]
async fn console_that_does_not_watch_calls_shows_none() {
    crate::cost::measure_without_table();
    let ops = Ops::builder("blind").watch_calls(false).build();
    let console: Router = ops.expect("valid settings").console(access());
    let (status, page) = get(&console, "/api/v1/calls").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(page["calls"].as_array().map(Vec::len), Some(0));
    let (_, status) = get(&console, "/api/v1/status").await;
    assert!(status["calls"]["oldest_seconds"].is_null());
}

/// Polls a call once, and returns whether it is pending.
fn is_pending<F: Future>(call: &mut std::pin::Pin<Box<F>>) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    call.as_mut().poll(&mut cx).is_pending()
}
