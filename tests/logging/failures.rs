//! One line per failure, panics included.

use std::{
    collections::BTreeSet,
    io,
    panic::{self, catch_unwind},
};

use axum::{Router, extract::Path, routing::get};
use serde_json::json;
use tower::{Layer as _, ServiceExt, service_fn};
use tower_keep::{
    Context, ErrorTracker, GuardLayer, Track,
    context::{Correlate, InheritContext, in_context},
    errors::capture_panics,
    logging::{self, LogFormat},
    observe, operation,
};
use tracing::Instrument;

use super::{ask, log};

#[tokio::test]
async fn panic_in_handler_is_one_line_with_location() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let errors = ErrorTracker::default();
    let track = Track::builder("orders").errors(errors.clone());
    let handler = async || {
        if true {
            panic!("no such order, says line {}", line!())
        }
    };
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(observe(track.build().expect("settings")).server());
    assert_eq!(ask(app, "/orders/7").await.0, 500);
    let event = log.event();
    assert_eq!(event["outcome"], "panicked");
    let message = event["error"].as_str().expect("a message");
    let line = message.strip_prefix("no such order, says line ");
    let place = event["error_location"].as_str().expect("a place");
    let expected = format!("tests/logging/failures.rs:{}:", line.expect("a line"));
    assert!(place.starts_with(&expected), "{place}");

    let groups = errors.groups();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].latest().record().location(), Some(place));
    assert_eq!(groups[0].latest().record().message(), message);
}

#[tokio::test]
async fn panic_caught_by_handler_is_a_warning() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let handler = async || {
        let caught = catch_unwind(|| panic!("contained"));
        format!("{}", caught.is_err())
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(observe("front").server());
    assert_eq!(ask(app, "/").await, (200, "true".to_owned()));
    let events = log.events();
    assert_eq!(events.len(), 2, "{events:#?}");
    assert_eq!(events[0]["message"], "caught a panic");
    assert_eq!(events[0]["level"], "WARN");
    assert_eq!(events[0]["error"], "contained");
    assert_eq!(events[0]["correlation_id"], "a-journey");
    assert_eq!(events[1]["outcome"], "success");
}

#[tokio::test]
async fn panic_without_access_log_is_logged_once() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let quiet = Track::builder("front").access_log(false).errors(None);
    let quiet = quiet.build().expect("settings");
    let route = || {
        Router::new().route(
            "/",
            get(async || {
                if true {
                    panic!("unseen")
                }
            }),
        )
    };
    let untracked = route().layer(GuardLayer::server(Correlate::default()));
    let unlogged = route().layer(observe(quiet).server());
    for (n, app) in [untracked, unlogged].into_iter().enumerate() {
        assert_eq!(ask(app, "/").await.0, 500);
        assert_eq!(log.events().len(), n + 1, "{}", log.text());
        let event = &log.events()[n];
        assert_eq!(
            (&event["level"], &event["error"]),
            (&json!("ERROR"), &json!("unseen"))
        );
    }
    // The second had a span to be found by.
    assert_eq!(log.events()[1]["correlation_id"], "a-journey");

    let service = service_fn(async |_: ()| -> Result<(), io::Error> { panic!("passed on") });
    let service = GuardLayer::any(InheritContext).layer(service);
    assert!(tokio::spawn(service.oneshot(())).await.is_err());
    assert_eq!(log.events().len(), 3, "{}", log.text());
    let event = &log.events()[2];
    assert_eq!(
        (&event["level"], &event["message"], &event["error"]),
        (&json!("ERROR"), &json!("panicked"), &json!("passed on"))
    );
    assert!(event["error_location"].is_string());
}

#[tokio::test]
async fn hook_panic_is_logged_and_contained() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let track = Track::builder("front").skip_log(|_| panic!("a sour predicate"));
    let track = track.build().expect("settings");
    let app = Router::new()
        .route("/", get(async || "hello"))
        .layer(observe(track).server());
    assert_eq!(ask(app, "/").await.0, 200);
    let event = log.with_message("a hook panicked");
    assert_eq!(event["error"], "a sour predicate");
    assert_eq!(log.with_message("call")["outcome"], "success");
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn panic_that_unwinds_is_one_line() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let service = service_fn(async |_: ()| -> Result<(), io::Error> { panic!("out of luck") });
    let service = observe("quotes").any().layer(service);
    let task = tokio::spawn(service.oneshot(()));
    assert!(task.await.expect_err("it panics").is_panic());
    let event = log.event();
    assert_eq!(event["level"], "ERROR");
    assert_eq!(
        (&event["operation"], &event["error"]),
        (&json!("quotes"), &json!("out of luck"))
    );
    assert!(
        event["error_location"]
            .as_str()
            .is_some_and(|place| place.contains("failures.rs"))
    );
    assert!(event["request_id"].is_string());
}

/// At the default level nothing was told of it, and the call succeeded.
#[tokio::test]
async fn operation_failure_handled_in_call_is_a_warning() {
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let handler = async || {
        let load = async { Err::<(), _>(io::Error::other("reset")) };
        let _ = operation("load").run(load).await;
        "from the cache"
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(observe("front").server());
    assert_eq!(ask(app, "/").await.0, 200);
    let told = log.with_message("operation");
    assert_eq!(
        (&told["level"], &told["error"]),
        (&json!("WARN"), &json!("reset"))
    );
    assert_eq!(told["correlation_id"], "a-journey");
    assert_eq!(log.with_message("call")["level"], "INFO");
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn operation_panic_in_call_is_logged_by_the_call() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let handler = async || {
        operation("count")
            .run_infallible(async {
                if true {
                    panic!("deep")
                }
            })
            .await;
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(observe("front").server());
    assert_eq!(ask(app, "/").await.0, 500);
    let event = log.event();
    assert_eq!(
        (&event["message"], &event["error"]),
        (&json!("call"), &json!("deep"))
    );
    assert!(event["error_location"].is_string());
}

/// At `info` the operation has no span, and the user's was taken for it.
#[tokio::test]
async fn operation_line_lists_spans_at_every_level() {
    for level in ["info", "debug"] {
        let (log, _guard) = log(logging::builder().format(LogFormat::Json), level);
        let job = tracing::info_span!("job", job_id = 42);
        let load = async { Err::<(), _>(io::Error::other("reset")) };
        let _ = operation("load").run(load).instrument(job).await;
        let event = log.event();
        assert_eq!(event["message"], "operation");
        let spans = json!([{"name": "job", "job_id": 42}]);
        assert_eq!(event["spans"], spans, "{level}");
    }
}

#[tokio::test]
async fn operation_failure_in_detached_task_is_logged() {
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let handler = async || {
        let load = async { Err::<(), _>(io::Error::other("reset")) };
        tokio::spawn(in_context(operation("load").run(load)));
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(observe("front").server());
    assert_eq!(ask(app, "/").await.0, 200);
    tokio::task::yield_now().await;
    let event = log.with_message("operation");
    assert_eq!(
        (&event["level"], &event["error"]),
        (&json!("ERROR"), &json!("reset"))
    );
    assert_eq!(event["correlation_id"], "a-journey");
}

#[tokio::test]
async fn panic_outside_of_calls_is_one_event() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let context = Context::new_root();
    let task = tokio::spawn(context.scope(async { panic!("alone") }));
    assert!(task.await.is_err());
    let event = log.event();
    assert_eq!(
        (&event["level"], &event["message"]),
        (&json!("ERROR"), &json!("panicked"))
    );
    assert_eq!(event["error"], "alone");
    assert_eq!(event["request_id"], context.request_id());
}

#[test]
fn panic_resumed_is_not_taken_for_an_earlier_one() {
    capture_panics();
    let (log, _guard) = log(logging::builder().format(LogFormat::Json), "info");
    let thrown = catch_unwind(|| {
        operation("sums").call(|| -> Result<(), io::Error> {
            let _ = catch_unwind(|| panic!("first"));
            panic::resume_unwind(Box::new("second"))
        })
    });
    assert!(thrown.is_err());
    let first = log.with_message("caught a panic");
    assert_eq!(
        (&first["level"], &first["error"]),
        (&json!("WARN"), &json!("first"))
    );
    let second = log.with_message("operation");
    assert_eq!(second["error"], "second");
    assert_eq!(second.get("error_location"), None);
}

/// A panic of an unwrap here is another fault than one of an unwrap there (observe.md 17).
#[tokio::test]
async fn panics_are_grouped_by_location() {
    capture_panics();
    let errors = ErrorTracker::default();
    let track = Track::builder("shop").errors(errors.clone());
    let nothing: fn() -> Option<u8> = || None;
    let app = Router::new()
        .route(
            "/orders/{id}",
            get(async move |Path(id): Path<u8>| match id {
                7 => nothing().unwrap().to_string(),
                _ => nothing().unwrap().to_string(),
            }),
        )
        .layer(observe(track.build().expect("a tracker")).server());
    for path in ["/orders/7", "/orders/8", "/orders/9"] {
        assert_eq!(ask(app.clone(), path).await.0, 500);
    }
    let groups = errors.groups();
    let locations: BTreeSet<_> = groups
        .iter()
        .map(|group| group.location().expect("where"))
        .collect();
    assert_eq!((groups.len(), locations.len()), (2, 2), "{groups:#?}");
}
