//! The IDs of the call in each of its events.

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tower_keep::{
    Context,
    context::in_context,
    logging::{self, LogFormat},
    observe,
};
use tracing::Instrument;

use super::{ask, json_log, log};

const IDS: [&str; 4] = ["request_id", "correlation_id", "trace_id", "span_id"];

fn stamps(event: &Value) -> [Option<&str>; 4] {
    IDS.map(|id| event[id].as_str())
}

fn stamps_of(context: &Context) -> [Option<String>; 4] {
    [
        Some(context.request_id().to_owned()),
        Some(context.correlation_id().to_owned()),
        Some(context.trace_id().to_string()),
        Some(context.span_id().to_string()),
    ]
}

fn below() {
    tracing::info!("below the handler");
}

#[tokio::test]
async fn correlation_id_is_in_every_event_of_a_call() {
    let (log, _guard) = json_log();
    let handler = async |context: Context| {
        tracing::info!("in the handler");
        below();
        let in_span = async {
            assert_eq!(Context::current(), None);
            tracing::info!("in a task with the span");
        };
        tokio::spawn(in_span.in_current_span())
            .await
            .expect("a task");
        let in_context = in_context(async { tracing::info!("in a task with the context") });
        tokio::spawn(in_context).await.expect("a task");
        let deep = tracing::info_span!("deep", id = 7);
        let in_deep = async { tracing::info!("in a task with a span below") };
        tokio::spawn(in_deep.instrument(deep))
            .await
            .expect("a task");
        tokio::spawn(async { tracing::info!("in a task with nothing") })
            .await
            .expect("a task");
        serde_json::to_string(&stamps_of(&context)).expect("text")
    };
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(observe("orders").server());
    tracing::info!("before");
    let (status, ids) = ask(app, "/orders/7").await;
    tracing::info!("after");
    assert_eq!(status, 200);
    let ids: [Option<String>; 4] = serde_json::from_str(&ids).expect("IDs");
    let ids = ids.each_ref().map(Option::as_deref);
    assert_eq!(ids[..2], [Some("asked-by-a-test"), Some("a-journey")]);

    let stamped = [
        "in the handler",
        "below the handler",
        "in a task with the span",
        "in a task with the context",
        "in a task with a span below",
        "call",
    ];
    for message in stamped {
        assert_eq!(stamps(&log.with_message(message)), ids, "{message}");
    }
    for message in ["before", "in a task with nothing", "after"] {
        assert_eq!(stamps(&log.with_message(message)), [None; 4], "{message}");
    }
    assert_eq!(log.events().len(), stamped.len() + 3);
    let call = json!({"name": "GET /orders/{id}"});
    assert_eq!(log.with_message("in the handler")["spans"], json!([call]));
    assert_eq!(
        log.with_message("in a task with a span below")["spans"],
        json!([call, {"name": "deep", "id": 7}])
    );
    assert_eq!(log.with_message("call").get("spans"), None);
}

#[test]
fn correlation_fields_of_event_are_kept() {
    let (log, _guard) = json_log();
    let context = Context::new_root();
    context.run(|| tracing::info!(request_id = "mine", trace_id = 7, "hello"));
    let event = log.event();
    assert_eq!(
        (&event["request_id"], &event["trace_id"]),
        (&json!("mine"), &json!("7"))
    );
    assert_eq!(event["correlation_id"], context.correlation_id());
    assert_eq!(event["span_id"], context.span_id().to_string());
}

#[tokio::test]
async fn successful_call_is_one_line() {
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let app = Router::new()
        .route("/", get(async || "hello"))
        .layer(observe("front").server());
    assert_eq!(ask(app, "/").await.0, 200);
    let event = log.event();
    assert_eq!(
        (&event["level"], &event["status"]),
        (&json!("INFO"), &json!(200))
    );
}
