//! However a call ends, it leaves the table.

use std::{
    future::pending,
    panic::resume_unwind,
    task::{Context, Waker},
};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::get,
};
use futures_util::{FutureExt, StreamExt, stream};
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_keep::{observe, operation};

use crate::console::{console, rows};

fn app() -> Router {
    let chunks = || {
        let chunk = |_| async { Ok::<_, std::io::Error>(Bytes::from_static(b"chunk")) };
        let chunks = stream::iter(0..3).then(chunk).chain(stream::pending());
        Body::from_stream(chunks)
    };
    Router::new()
        .route("/at-once", get(async || "done"))
        .route("/never", get(pending::<()>))
        .route("/later", get(async || tokio::task::yield_now().await))
        .route("/stream", get(async move || chunks()))
        .route(
            "/panic",
            get(async || -> () {
                // Without a word to the panic hook.
                resume_unwind(Box::new("of the test"))
            }),
        )
        .layer(observe("dropped").server())
}

#[tokio::test]
async fn dropped_calls_leave_nothing() {
    let console = console();
    let app = app().with_state(());
    let mut kept = Vec::new();
    for _ in 0..100_000 {
        let path = match fastrand::u32(..100) {
            0 => "/panic",
            1..=24 => "/at-once",
            25..=49 => "/never",
            50..=74 => "/later",
            _ => "/stream",
        };
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let mut call = Box::pin(app.clone().oneshot(request));
        let mut response = None;
        for _ in 0..fastrand::u32(..3) {
            response = (&mut call).now_or_never();
            if response.is_some() {
                break;
            }
        }
        match response {
            None => kept.push(call.map(drop).boxed()),
            Some(response) => {
                let mut body = response.expect("infallible").into_body();
                let mut cx = Context::from_waker(Waker::noop());
                for _ in 0..fastrand::u32(..3) {
                    let _ = std::pin::Pin::new(&mut body).poll_frame(&mut cx);
                }
                kept.push(body.collect().map(drop).boxed());
            }
        }
        while kept.len() > fastrand::usize(..200) {
            let index = fastrand::usize(..kept.len());
            drop(kept.swap_remove(index));
        }
    }
    let now = rows(&console, "", "dropped").await.len();
    assert!(now <= kept.len(), "{now} of {}", kept.len());
    drop(kept);
    assert_eq!(
        rows(&console, "", "dropped").await,
        Vec::<serde_json::Value>::new()
    );
}

#[tokio::test]
async fn dropped_operations_leave_nothing() {
    let console = console();
    for _ in 0..1_000 {
        let run = operation("dropped")
            .kind("drop_test")
            .run_infallible(pending::<()>());
        let mut run = Box::pin(run);
        assert!((&mut run).now_or_never().is_none());
        assert_eq!(rows(&console, "", "drop_test").await.len(), 1);
    }
    let panics = std::panic::catch_unwind(|| {
        let work = || -> Result<(), std::io::Error> { resume_unwind(Box::new("of the test")) };
        operation("panics").kind("drop_test").call(work)
    });
    assert!(panics.is_err());
    assert!(rows(&console, "", "drop_test").await.is_empty());
}
