//! The two formats of a line.

use std::{convert::Infallible, error::Error};

use http::{Request, Response};
use serde_json::json;
use tower::{Layer as _, ServiceExt, service_fn};
use tower_keep::{
    Context, Track,
    logging::{self, LogFormat},
    observe,
};
use tracing_subscriber::layer::SubscriberExt;

use super::{Failed, Kept, json_log, pretty_log};

#[test]
fn json_event_is_one_flat_object() {
    let (log, _guard) = json_log();
    tracing::warn!(
        target: "shop::orders",
        count = 3, negative = -1, ratio = 0.5, ok = true, name = "a \"b\"\n", debug = ?[1, 2], shown = %7,
        "loaded {} orders", 3
    );
    let mut event = log.event();
    let time = event["timestamp"].take();
    let time = time.as_str().expect("a time");
    assert!(
        time.len() == 27 && time.ends_with('Z') && &time[10..11] == "T",
        "{time}"
    );
    assert_eq!(
        event,
        json!({
            "timestamp": null, "level": "WARN", "target": "shop::orders", "message": "loaded 3 orders",
            "count": 3, "negative": -1, "ratio": 0.5, "ok": true, "name": "a \"b\"\n", "debug": "[1, 2]",
            "shown": "7",
        })
    );
}

#[test]
fn json_unsupported_numbers_are_text() {
    let (log, _guard) = json_log();
    tracing::info!(
        nan = f64::NAN,
        inf = f64::NEG_INFINITY,
        huge = u128::MAX,
        small = 7u128,
        big = 1e300,
        most = u64::MAX
    );
    let event = log.event();
    assert_eq!(event["nan"], "NaN");
    assert_eq!(event["inf"], "-inf");
    assert_eq!(event["huge"], u128::MAX.to_string());
    assert_eq!(event["small"], 7);
    assert_eq!(event["big"], 1e300);
    assert_eq!(event["most"], u64::MAX);
    assert_eq!(event.get("message"), None);
}

#[test]
fn error_field_lists_sources_without_repeats() {
    let (log, _guard) = json_log();
    let cause = || Some(Box::new(Failed("reset", None)));
    let plain = Failed("cannot load", cause());
    let quoting = Failed("cannot load: reset", cause());
    tracing::error!(
        plain = &plain as &dyn Error,
        quoting = &quoting as &dyn Error
    );
    let event = log.event();
    assert_eq!(event["plain"], "cannot load: reset");
    assert_eq!(event["quoting"], "cannot load: reset");
}

#[test]
fn reserved_keys_are_not_overridden_by_fields() {
    let (log, _guard) = json_log();
    tracing::info!(
        level = "ERROR",
        target = 1,
        timestamp = "never",
        spans = true,
        r#type = "kept",
        field.level = "mine",
        "hello"
    );
    let event = log.event();
    assert_eq!(event["field.field.level"], "mine");
    assert_eq!(
        (&event["level"], &event["field.level"]),
        (&json!("INFO"), &json!("ERROR"))
    );
    assert_eq!(event["field.target"], 1);
    assert_eq!(event["field.timestamp"], "never");
    assert_eq!(event["field.spans"], true);
    assert_eq!(event["type"], "kept");
}

#[test]
fn spans_are_listed_from_outermost_with_fields() {
    let (log, _guard) = json_log();
    let outer = tracing::info_span!("outer", id = 7, state = "new", name = "n");
    let inner = tracing::info_span!(parent: &outer, "inner", later = tracing::field::Empty);
    outer.record("state", "old");
    inner.record("later", 1.5);
    inner.in_scope(|| tracing::info!("here"));
    assert_eq!(
        log.event()["spans"],
        json!([
            {"name": "outer", "id": 7, "state": "old", "field.name": "n"},
            {"name": "inner", "later": 1.5},
        ])
    );
}

/// A call with fields of the application, of which one tries to end the field and the line.
async fn call_with_fields() {
    let track =
        Track::builder("shop").log_fields(|_, fields| fields.add("tenant", "a\u{1e}b\u{1f}\"\n"));
    let service = service_fn(async |_: Request<()>| {
        let call = Context::current().expect("a context");
        call.add_field("user", 7);
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let layer = observe(track.build().expect("a tracker")).server();
    let service = layer.layer(service);
    service.oneshot(Request::new(())).await.expect("a response");
}

#[tokio::test]
async fn fields_of_call_are_fields_of_its_line() {
    let (log, _guard) = json_log();
    call_with_fields().await;
    let event = log.event();
    assert_eq!(event["fields.tenant"], "ab\"\n");
    assert_eq!(event["fields.user"], "7");
    assert_eq!(event.get("fields"), None);

    let (log, _guard) = pretty_log();
    call_with_fields().await;
    let text = log.text();
    assert!(
        text.contains(r#" fields.user=7 fields.tenant="ab\"\n""#),
        "{text}"
    );
}

#[test]
fn field_called_fields_is_ordinary_elsewhere() {
    let (log, _guard) = json_log();
    tracing::info!(fields = ?[1, 2], "mine");
    tracing::info!(target: "tower_keep::access", fields = "plain", "no call");
    assert_eq!(log.events()[0]["fields"], "[1, 2]");
    assert_eq!(log.events()[1].get("fields"), None);
}

#[test]
fn two_layers_in_one_subscriber_are_independent() {
    let (one, two) = (Kept::default(), Kept::default());
    let layer = |kept: &Kept, format| {
        let kept = kept.clone();
        let settings = logging::builder().format(format);
        let layer = settings.writer(move || kept.clone()).layer();
        layer.expect("a fixed format")
    };
    let subscriber = tracing_subscriber::registry()
        .with(layer(&one, LogFormat::Json))
        .with(layer(&two, LogFormat::Pretty));
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("work", id = 1);
        span.record("id", 2);
        Context::new_root().run(|| span.in_scope(|| tracing::info!("here")));
    });
    assert_eq!(one.event()["spans"], json!([{"name": "work", "id": 2}]));
    assert!(
        two.text().contains("here in work{id=2} req="),
        "{}",
        two.text()
    );
}

#[test]
fn pretty_line_is_readable() {
    let (log, _guard) = pretty_log();
    let context = Context::new_root();
    context.run(|| {
        tracing::info_span!("load", id = 7).in_scope(|| {
            tracing::info!(target: "shop", rows = 3, name = "two words", empty = "", "loaded");
        });
    });
    let line = log.text();
    let (time, rest) = line.split_once(' ').expect("a time");
    assert!(time.len() == 13 && time.ends_with('Z'), "{time}");
    let short = |id: &str| id[id.len() - 8..].to_owned();
    let (request, trace) = (context.request_id(), context.trace_id().to_string());
    let (request, trace) = (short(request), short(&trace));
    assert_eq!(
        rest,
        format!(
            " INFO shop: loaded rows=3 name=\"two words\" empty=\"\" in load{{id=7}} req=…{request} trace=…{trace}\n"
        )
    );
}

#[test]
fn color_is_off_without_terminal() {
    let (log, _guard) = pretty_log();
    tracing::error!("red");
    assert!(!log.text().contains('\u{1b}'));
}
