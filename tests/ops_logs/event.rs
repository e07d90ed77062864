//! Parts of an event that are kept.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};
use tower_keep::{context::Context, ops::Ops};
use tracing::{Level, level_filters::LevelFilter, subscriber::with_default};

use super::support::*;

#[tokio::test]
async fn event_is_kept_with_all_it_has() {
    let kept = kept();
    kept.log(|| {
        tracing::warn!(target: "orders::pay", order_id = 7, ok = false, share = 0.5, who = "mira", "retry refused: {}", "budget");
    });
    let found = kept.find("").await;
    let record = &found["records"][0];
    assert_eq!(record["message"], "retry refused: budget");
    assert_eq!(
        (&record["level"], &record["target"]),
        (&json!("warn"), &json!("orders::pay"))
    );
    let fields = json!({"order_id": 7, "ok": false, "share": 0.5, "who": "mira"});
    assert_eq!(record["fields"], fields);
    assert_eq!(
        (&record["request_id"], &record["trace_id"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&found["kept"], &found["dropped"], &found["before"]),
        (&json!(1), &json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn record_has_the_ids_of_its_call() {
    let kept = kept();
    let context = Context::new_root();
    kept.log(|| context.run(|| tracing::info!("inside")));
    kept.log(|| tracing::info!("outside"));
    let trace_id = String::from_utf8(context.trace_id().to_hex().to_vec()).expect("hex");
    let record = &kept.find(&format!("trace_id={trace_id}")).await["records"][0];
    assert_eq!(record["message"], "inside");
    assert_eq!(record["trace_id"], trace_id);
    assert_eq!(record["request_id"], context.request_id());
    assert_eq!(record["correlation_id"], context.correlation_id());
    for query in ["id", "request_id"] {
        let query = format!("{query}={}", context.request_id());
        assert_eq!(kept.messages(&query).await, ["inside"], "{query}");
    }
    assert_eq!(kept.messages("").await, ["outside", "inside"]);
}

#[tokio::test]
async fn record_of_a_task_has_the_ids_of_the_span_that_it_is_in() {
    let kept = kept();
    let context = Context::new_root();
    let subscriber = Arc::new(kept.subscriber());
    let span = with_default(subscriber.clone(), || {
        context.run(|| tracing::info_span!("work"))
    });
    with_default(subscriber, || {
        // As a task that was spawned inside of the span.
        span.in_scope(|| tracing::info!("by span"));
        tracing::info_span!("other").in_scope(|| tracing::info!("apart"));
    });
    let query = format!("correlation_id={}", context.correlation_id());
    assert_eq!(kept.messages(&query).await, ["by span"]);
    assert_eq!(kept.messages("").await, ["apart", "by span"]);
}

#[tokio::test]
async fn ids_of_the_event_itself_come_first() {
    let kept = kept();
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    kept.log(|| {
        Context::new_root().run(|| {
            tracing::info!(request_id = "mine", trace_id, span_id = "no id", "call");
        });
    });
    let record = &kept.find(&format!("trace_id={trace_id}")).await["records"][0];
    assert_eq!(record["request_id"], "mine");
    assert_eq!(record["fields"], json!({"span_id": "no id"}));
}

#[tokio::test]
async fn credentials_are_not_kept() {
    let kept = kept();
    kept.log(|| {
        tracing::info!(password = "hunter2", api_key = %"hunter2", token = ?Some("hunter2"), tokens = 12, "login");
        tracing::info!(url = "https://mira:hunter2@db/x?token=hunter2", "GET with Authorization: Bearer hunter2");
        log_record("password: hunter2\nnext line");
    });
    let found = kept.find("").await;
    let text = found.to_string();
    assert!(!text.contains("hunter2"), "{found:#}");
    assert_eq!(found["records"][2]["fields"]["tokens"], 12);
    assert_eq!(
        found["records"][0]["message"],
        "password: REDACTED\nnext line"
    );
    assert_eq!(kept.messages("q=hunter2").await, [""; 0]);
}

/// Logs as `tracing-log` passes a record of the `log` crate on.
fn log_record(message: &str) {
    tracing::event!(target: "log", Level::INFO, message = %message, log.target = "sqlx::query", log.line = 7);
}

#[tokio::test]
async fn record_of_the_log_crate_has_its_own_target() {
    let kept = kept();
    kept.log(|| log_record("select"));
    let record = &kept.find("target=sqlx").await["records"][0];
    assert_eq!(
        (&record["target"], &record["fields"]),
        (&json!("sqlx::query"), &json!({}))
    );
}

#[tokio::test]
async fn level_of_its_own_bounds_what_is_kept() {
    let log = || {
        tracing::debug!("debug");
        tracing::info!("info");
        tracing::warn!("warn");
    };
    for (level, expected) in [
        (LevelFilter::DEBUG, &["warn", "info", "debug"][..]),
        (LevelFilter::WARN, &["warn"]),
        (LevelFilter::OFF, &[]),
    ] {
        let kept = Kept::new(Ops::builder("orders").logs(|logs| logs.level(level)));
        kept.log(log);
        assert_eq!(kept.messages("").await, expected, "{level}");
    }
    let kept = kept();
    kept.log(log);
    assert_eq!(kept.messages("").await, ["warn", "info"]);
}

#[tokio::test]
async fn long_texts_and_many_fields_are_cut() {
    let kept = kept();
    kept.log(|| {
        tracing::info!(value = "ä".repeat(10_000), "{}", "m".repeat(20_000));
    });
    let record = &kept.find("").await["records"][0];
    let len = |value: &Value| value.as_str().expect("a text").len();
    assert!((8_000..=8_192).contains(&len(&record["message"])));
    assert!((4_000..=4_096).contains(&len(&record["fields"]["value"])));
    assert!(record["message"].as_str().expect("a text").ends_with('…'));
}

#[tokio::test]
async fn value_that_panics_or_logs_harms_nobody() {
    struct Panics;
    impl fmt::Debug for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("a bug of the application")
        }
    }
    struct Logs;
    impl fmt::Debug for Logs {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("nested");
            f.write_str("logged")
        }
    }
    let kept = kept();
    kept.log(|| {
        tracing::info!(value = ?Panics, "first");
        tracing::info!(value = ?Logs, "second");
    });
    let found = kept.find("").await;
    let values: Vec<_> = found["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| &record["fields"]["value"])
        .collect();
    assert!(values.contains(&&json!("<panicked>")), "{found:#}");
    assert!(values.contains(&&json!("logged")), "{found:#}");
}
