//! The log level, which operators change for a time.

use std::time::Duration;

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower_keep::{logging, ops::Ops};
use tracing::{Level, subscriber::with_default};
use tracing_subscriber::{layer::SubscriberExt, registry};

use crate::console::{OPERATOR, VIEWER, access, get, send};

const PATH: &str = "/api/v1/log-level";

async fn post(console: &Router, token: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(PATH).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(body.to_string()));
    send(console, token, request.expect("a request")).await
}

#[tokio::test(start_paused = true)]
async fn log_level_is_changed_by_operators_for_a_time() {
    let logging = logging::builder().level("info");
    let (filter, handle) = logging.reloadable_filter().expect("valid");
    let subscriber = std::sync::Arc::new(registry().with(filter));
    let is_debug = || {
        with_default(
            subscriber.clone(),
            || tracing::enabled!(target: "sqlx", Level::DEBUG),
        )
    };
    crate::cost::measure_without_table();
    let ops = Ops::builder("test").log_filter(handle).allow_control(true);
    let ops = ops.build().expect("valid settings");
    ops.spawn();
    let console: Router = ops.console(access());
    let plain = json!({"filter": "info", "until": null});
    assert_eq!(get(&console, PATH).await, (StatusCode::OK, plain.clone()));
    assert!(!is_debug());

    let change = json!({"filter": "info,sqlx=debug", "seconds": 60, "reason": "slow queries"});
    let (status, _) = post(&console, VIEWER, change.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, answer) = post(&console, OPERATOR, change).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(is_debug());
    let (_, shown) = get(&console, PATH).await;
    assert_eq!(shown["filter"], "info,sqlx=debug");
    assert!(shown["until"].as_f64() > Some(1.7e9));

    for (body, field) in [
        (json!({"filter": "sqlx=loud", "reason": "x"}), "filter"),
        (json!({"filter": "", "reason": "x"}), "filter"),
        (
            json!({"filter": "x".repeat(1_001), "reason": "x"}),
            "filter",
        ),
        (json!({"filter": "debug", "reason": " "}), "reason"),
        (json!({"filter": "debug"}), "reason"),
        (
            json!({"filter": "debug", "reason": "x", "seconds": 0}),
            "seconds",
        ),
        (
            json!({"filter": "debug", "reason": "x", "level": 0}),
            "level",
        ),
    ] {
        let (status, problem) = post(&console, OPERATOR, body).await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::BAD_REQUEST, &field.into())
        );
    }
    assert!(is_debug(), "nothing was changed");

    // Past the tick after its end.
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert!(!is_debug());
    assert_eq!(get(&console, PATH).await.1, plain);
    let (_, journal) = get(&console, "/api/v1/journal?kind=log_level").await;
    let [set, end] = &journal["events"].as_array().expect("a list")[..] else {
        panic!("{journal}")
    };
    assert_eq!(set["seq"], answer["seq"]);
    assert_eq!(set["text"], "info,sqlx=debug for 60 s: slow queries");
    let data = json!({"before": "info", "after": "info,sqlx=debug", "seconds": 60, "reason": "slow queries"});
    assert_eq!((&set["data"], &set["severity"]), (&data, &"warning".into()));
    assert_eq!(end["text"], "info again: the time of the change is over");
    assert_eq!(
        end["data"],
        json!({"before": "info,sqlx=debug", "after": "info"})
    );
}

#[tokio::test]
async fn log_level_is_not_there_without_a_filter_or_control() {
    crate::cost::measure_without_table();
    let console: Router = Ops::builder("test")
        .allow_control(true)
        .build()
        .expect("valid settings")
        .console(access());
    let change = json!({"filter": "debug", "reason": "x"});
    assert_eq!(get(&console, PATH).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        post(&console, OPERATOR, change.clone()).await.0,
        StatusCode::NOT_FOUND
    );
    let read = || "info".to_owned();
    let set = |_: &str| -> Result<(), tower_keep::BoxError> { Ok(()) };
    let ops = Ops::builder("test").log_filter((read, set)).build();
    let console: Router = ops.expect("valid settings").console(access());
    assert_eq!(get(&console, PATH).await.0, StatusCode::OK);
    assert_eq!(
        post(&console, OPERATOR, change).await.0,
        StatusCode::FORBIDDEN
    );
}
