//! Calls through the layers of this crate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{Request, Response, StatusCode};
use serde_json::json;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, Retry, observe, operation,
    retry::{Backoff, RetryLayer},
};
use tracing::{Instrument, info, info_span};

use crate::support::Kept;

/// A handler that loads an order, and asks an upstream which fails twice.
fn app(kept: &Kept) -> Router {
    let asked = Arc::new(AtomicU32::new(0));
    let upstream = service_fn(move |request: Request<Body>| {
        let asked = asked.clone();
        async move {
            let traceparent = request.headers().get("traceparent").cloned();
            let mut response = Response::new(Body::empty());
            *response.status_mut() = match asked.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            };
            response.extensions_mut().insert(traceparent);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let backoff = Backoff::constant(Duration::from_millis(1));
    let retry = Retry::builder("payments")
        .max_attempts(3)
        .backoff(backoff)
        .build();
    let retry = retry.expect("valid settings");
    let client = ServiceBuilder::new()
        .layer(RetryLayer::client(retry).request_body(Body::new))
        .layer(observe("payments").client())
        .service(upstream);
    let handler = async move || {
        let load = operation("load_order").run(async { Ok::<_, std::io::Error>(()) });
        load.await.expect("it is loaded");
        let request = Request::get("http://payments/pay").body(Body::empty());
        let call = client.clone().oneshot(request.expect("a request"));
        let response = call
            .instrument(info_span!("pay"))
            .await
            .expect("infallible");
        response.status()
    };
    let _ = kept;
    Router::new()
        .route("/orders/{id}", get(handler))
        .layer(observe("orders").server())
}

async fn call(kept: &Kept, app: Router) -> Response<Body> {
    let request = Request::get("/orders/7")
        .body(Body::empty())
        .expect("a request");
    kept.scope(async {
        let response = app.oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1_000).await.expect("a body");
        Response::from_parts(parts, Body::from(body))
    })
    .await
}

async fn attempts_are_children_of_what_made_them() {
    let kept = Kept::all();
    let response = call(&kept, app(&kept)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let trace = kept.only().await;
    let expected = [
        "0 GET /orders/{id}",
        "1 load_order",
        "1 pay",
        "2 GET payments",
        "2 GET payments",
        "2 GET payments",
    ];
    assert_eq!(trace.shape(), expected, "{:#}", trace.0);
    assert_eq!(
        trace.0["spans"]["attempt"],
        json!([null, null, null, null, 2, 3])
    );
    assert_eq!(trace.0["spans"]["kind"][0], "server");
    assert_eq!(trace.0["spans"]["kind"][1], "operation");
    assert_eq!(trace.0["spans"]["kind"][3], "client");
    let row = &trace.0["trace"];
    assert_eq!(row["route"], "/orders/{id}");
    assert_eq!(row["outcome"], "success");
    assert_eq!(row["status"], 200);
    assert_eq!(row["reason"], "error", "an attempt has failed");
    let correlation = row["correlation_id"].as_str().expect("an ID");
    assert_eq!(
        kept.list(&format!("?correlation_id={correlation}"))
            .await
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_children_on_a_current_thread_runtime() {
    attempts_are_children_of_what_made_them().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_children_on_a_multi_thread_runtime() {
    attempts_are_children_of_what_made_them().await;
}

#[tokio::test]
async fn call_has_the_ids_of_its_context() {
    let kept = Kept::all();
    let handler = async || {
        let call = Context::current().expect("a call");
        format!("{} {}", call.trace_id(), call.span_id())
    };
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(observe("orders").server());
    let response = call(&kept, app).await;
    let body = axum::body::to_bytes(response.into_body(), 1_000)
        .await
        .expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    let trace = kept.only().await;
    let id = trace.column("id", 0).as_str().expect("an ID");
    assert_eq!(body, format!("{} {id}", trace.id()));
}

#[tokio::test]
async fn calls_of_one_connection_are_traces_of_their_own_that_link_it() {
    let kept = Kept::all();
    let connection = kept.run(|| info_span!("connection"));
    let app = Router::new()
        .route("/orders/{id}", get(async || "an order"))
        .layer(observe("orders").server());
    for _ in 0..2 {
        call(&kept, app.clone())
            .instrument(connection.clone())
            .await;
    }
    let calls = kept.list("?q=orders").await;
    assert_eq!(
        calls.len(),
        2,
        "and they are there while the connection is open"
    );
    let trace = kept
        .trace(calls[0]["trace_id"].as_str().expect("an ID"))
        .await;
    assert_eq!(trace.shape(), ["0 GET /orders/{id}"]);
    let link = kept.span(&trace, 0).await["links"][0]["trace_id"].clone();
    kept.run(|| drop(connection));
    assert_eq!(kept.list("?q=connection").await[0]["trace_id"], link);
}

#[tokio::test]
async fn task_in_the_context_of_a_call_is_in_its_trace_after_the_call_has_ended() {
    let kept = Kept::all();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(Some(released)));
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let dispatch = kept.dispatch.clone();
    let handler = move || {
        let released = released
            .lock()
            .expect("no panic")
            .take()
            .expect("called once");
        let done = done.lock().expect("no panic").take().expect("called once");
        let mail = async move {
            let _ = released.await;
            info!("sent");
            drop(done);
        };
        use tracing::instrument::WithSubscriber;
        let mail = mail
            .instrument(info_span!("mail"))
            .with_subscriber(dispatch.clone());
        tokio::spawn(tower_keep::context::in_context(mail));
        async { "an order" }
    };
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(observe("orders").server());
    call(&kept, app).await;
    let before = kept.only().await;
    assert_eq!(before.shape(), ["0 GET /orders/{id}", "1 mail"]);
    assert_eq!(
        (before.column("micros", 1), &before.0["trace"]["open"]),
        (&json!(null), &json!(1))
    );
    release.send(()).expect("the task waits");
    let _ = is_done.await;
    tokio::task::yield_now().await;
    let after = kept.only().await;
    assert_eq!(after.shape(), before.shape());
    assert!(after.column("micros", 1).is_u64(), "{:#}", after.0);
    assert_eq!(after.0["trace"]["open"], json!(0));
    assert_eq!(kept.span(&after, 1).await["events"][0]["message"], "sent");
}

#[tokio::test]
async fn failed_call_has_its_error_and_group() {
    let kept = Kept::with(|traces| traces.sample_rate(0.0));
    let handler = async || StatusCode::INTERNAL_SERVER_ERROR;
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(observe("orders").server());
    call(&kept, app).await;
    let trace = kept.only().await;
    let row = &trace.0["trace"];
    assert_eq!(
        (&row["reason"], &row["outcome"], &row["status"]),
        (&json!("error"), &json!("failure"), &json!(500))
    );
    let group = row["error_groups"][0].as_str().expect("a group");
    assert_eq!(kept.list(&format!("?error_group={group}")).await.len(), 1);
    assert_eq!(kept.list("?outcome=failure").await.len(), 1);
    // And back from the group.
    let error = kept.get(&format!("errors/{group}")).await;
    assert_eq!(
        (&error["latest"]["trace_id"], &error["latest"]["trace_kept"]),
        (&json!(trace.id()), &json!(true))
    );
}

/// A trace ID comes from strangers.
#[tokio::test]
async fn calls_of_one_trace_are_one_trace_whoever_sent_them() {
    let kept = Kept::all();
    let app = Router::new().route("/orders/{id}", get(async || "an order"));
    let app = observe("orders").server().layer(app);
    for _ in 0..300 {
        let request = Request::get("/orders/7");
        let request = request.header(
            "traceparent",
            format!("00-{}-{}-01", "1".repeat(32), "2".repeat(16)),
        );
        let request = request.body(Body::empty()).expect("a request");
        let response = kept.scope(app.clone().oneshot(request)).await;
        drop(response);
    }
    let list = kept.list("").await;
    let trace = kept
        .trace(list[0]["trace_id"].as_str().expect("an ID"))
        .await;
    assert!(trace.len() <= 300);
}

/// A histogram leads to calls whose values are in it.
#[tokio::test]
async fn examples_of_a_histogram_have_traces_that_are_kept() {
    let kept = Kept::all();
    let recorder = kept.ops.recorder().clone();
    let record = move |context: &Context| {
        metrics::with_local_recorder(&recorder, || {
            context.run(|| metrics::histogram!("load").record(0.25));
        });
    };
    let handler = {
        let record = record.clone();
        async move || {
            record(&Context::current().expect("a call"));
            "an order"
        }
    };
    let app = Router::new()
        .route("/load", get(handler))
        .layer(observe("orders").server());
    kept.scope(async {
        let request = Request::get("/load")
            .body(Body::empty())
            .expect("a request");
        let response = app.oneshot(request).await.expect("infallible");
        axum::body::to_bytes(response.into_body(), 1_000)
            .await
            .expect("a body");
    })
    .await;
    let trace = kept.only().await;
    record(&Context::new_root());
    let detail = kept.get("metrics/load").await;
    let example = &detail["examples"][0];
    // The first of its bucket is the example.
    assert_eq!(
        (
            &example["value"],
            &example["trace_id"],
            &example["trace_kept"]
        ),
        (&json!(0.25), &json!(trace.id()), &json!(true))
    );
}
