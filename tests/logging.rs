//! Logging: one line per event, stamped, unforgeable; one line per failure, panics included.
//!
//! In a process of its own, whose panic hook `capture_panics` replaces.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    io::{self, Write},
    panic::{self, catch_unwind},
    process::{Command, Output},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Body, extract::Path, http::Request, routing::get};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt, service_fn};
use tower_keep::{
    Context, ErrorTracker, GuardLayer, Track,
    context::{Correlate, InheritContext, in_context},
    errors::capture_panics,
    hook_panics,
    logging::{self, LogFormat, Logging},
    observe, operation,
};
use tracing::{Instrument, subscriber::DefaultGuard};
use tracing_subscriber::layer::SubscriberExt;

const IDS: [&str; 4] = ["request_id", "correlation_id", "trace_id", "span_id"];

// ---- what the tests read with

/// A writer that keeps everything.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    /// Everything so far, which must end with a whole line.
    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8(kept.clone()).expect("a log is text");
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        text
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.lines().iter().map(|line| parsed(line)).collect()
    }

    /// The one event there is.
    fn event(&self) -> Value {
        let events = self.events();
        assert_eq!(events.len(), 1, "{events:#?}");
        events.into_iter().next().expect("one")
    }

    fn with_message(&self, message: &str) -> Value {
        let found = self.events();
        let found = found.into_iter().find(|event| event["message"] == message);
        found.unwrap_or_else(|| panic!("no {message:?} in {}", self.text()))
    }
}

/// A line as JSON, in which no key may stand twice.
fn parsed(line: &str) -> Value {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
    let Some(object) = event.as_object() else {
        panic!("no object: {line}");
    };
    for key in object.keys() {
        let quoted = format!("{}:", json!(key));
        // Keys of spans are in objects of their own.
        let flat = line.split(",\"spans\":[").next().unwrap_or(line);
        assert!(flat.matches(&quoted).count() <= 1, "{key} twice in {line}");
    }
    event
}

fn log(settings: Logging, directives: &str) -> (Kept, DefaultGuard) {
    let kept = Kept::default();
    let writer = kept.clone();
    let layer = settings.writer(move || writer.clone()).layer();
    let filter = tracing_subscriber::EnvFilter::new(directives);
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(layer.expect("a fixed format"));
    (kept, tracing::subscriber::set_default(subscriber))
}

fn json_log() -> (Kept, DefaultGuard) {
    log(logging::builder().format(LogFormat::Json), "debug")
}

fn pretty_log() -> (Kept, DefaultGuard) {
    log(logging::builder().format(LogFormat::Pretty), "debug")
}

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

async fn ask(app: Router, path: &str) -> (u16, String) {
    let request = Request::get(path)
        .header("x-request-id", "asked-by-a-test")
        .header("x-correlation-id", "a-journey")
        .body(Body::empty())
        .expect("a request");
    let response = app.oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body");
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    (status, body)
}

// ---- what a line looks like

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

#[derive(Debug)]
struct Failed(&'static str, Option<Box<Failed>>);
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.1.as_ref()?)
    }
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

// ---- lines cannot be forged, nor grow without end

/// What is dangerous somewhere, more often than chance has it.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => any::<String>(),
        2 => "[\\x00-\\x1f\\x7f-\\x9f\"\\\\\u{2028}\u{2029}\u{202e}]{0,8}",
        1 => Just("\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n".to_owned()),
        1 => Just("\r\n\u{1b}[2J\u{1b}[1;1H".to_owned()),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

/// What splits lines or steers terminals, for anybody who may read the log.
fn is_harmless(line: &str) -> bool {
    !line
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'))
}

fn say(message: &str, text: &str, error: &'static str) {
    let span = tracing::info_span!("work", text);
    span.in_scope(|| {
        let failed = Failed(error, None);
        tracing::info!(
            text,
            debug = ?text,
            shown = %text,
            error = &failed as &dyn Error,
            request_id = text,
            "{message}"
        );
    });
}

proptest! {
    #[test]
    fn json_line_round_trips_any_text(message in any_text(), text in any_text()) {
        let (log, _guard) = json_log();
        say(&message, &text, String::leak(text.clone()));
        let lines = log.lines();
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(is_harmless(&lines[0]), "{:?}", &lines[0]);
        let event = parsed(&lines[0]);
        prop_assert_eq!(&event["level"], "INFO");
        if !message.is_empty() {
            prop_assert_eq!(&event["message"], &message);
        }
        prop_assert_eq!(&event["text"], &text);
        prop_assert_eq!(&event["shown"], &text);
        prop_assert_eq!(&event["error"], &text);
        prop_assert_eq!(&event["debug"], &format!("{text:?}"));
        prop_assert_eq!(&event["spans"], &json!([{"name": "work", "text": text}]));
    }

    #[test]
    fn pretty_line_is_one_line_for_any_text(message in any_text(), text in any_text()) {
        let (log, _guard) = pretty_log();
        say(&message, &text, String::leak(text.clone()));
        let lines = log.lines();
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(is_harmless(&lines[0]), "{:?}", &lines[0]);
    }

    #[test]
    fn line_is_at_most_64_kib(
        unit in prop_oneof![Just("x"), Just("\u{1}"), Just("ä€"), Just("\"")],
        lengths in prop::array::uniform4(0usize..30_000),
    ) {
        for open in [json_log, pretty_log] {
            let (log, _guard) = open();
            let [a, b, c, d] = lengths.map(|length| unit.repeat(length));
            let outer = tracing::info_span!("outer", a, b, c, d, shown = %a);
            let inner = tracing::info_span!(parent: &outer, "inner", a, b, c, d, shown = %a);
            inner.in_scope(|| tracing::info!(a, b, c, d, request_id = a, last = 1, "{a}"));
            let lines = log.lines();
            prop_assert_eq!(lines.len(), 1);
            prop_assert!(lines[0].len() < 64 << 10, "{}", lines[0].len());
            if lines[0].starts_with('{') {
                parsed(&lines[0]);
            }
        }
    }
}

#[test]
fn truncation_is_marked_and_dropped_fields_counted() {
    let (log, _guard) = json_log();
    let long = "x".repeat(20_000);
    tracing::info!(
        a = long,
        b = long,
        c = long,
        d = long,
        e = long,
        last = 1,
        "hello"
    );
    let event = log.event();
    let a = event["a"].as_str().expect("text");
    assert!(a.len() > 16_000 && a.ends_with("x…"), "{}", a.len());
    assert!(event["c"].as_str().is_some_and(|c| c.ends_with("x…")));
    assert_eq!(event.get("d"), None);
    assert_eq!(event["dropped_fields"], 3);
}

#[test]
fn spans_beyond_max_keep_the_innermost() {
    let (log, _guard) = json_log();
    let text = "x".repeat(500);
    let mut span = tracing::info_span!("span", number = 0, text);
    for number in 1..100 {
        span = tracing::info_span!(parent: &span, "span", number, text);
    }
    span.in_scope(|| tracing::info!("deep"));
    let event = log.event();
    let spans = event["spans"].as_array().expect("spans");
    assert!((5..20).contains(&spans.len()), "{}", spans.len());
    assert_eq!(spans.last().expect("one")["number"], 99);
}

#[test]
fn endless_value_is_truncated() {
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("and so on ")?;
            }
        }
    }
    let (log, _guard) = json_log();
    tracing::info!(endless = %Endless, last = 1, "hello");
    let event = log.event();
    assert!(
        event["endless"]
            .as_str()
            .is_some_and(|text| text.ends_with('…'))
    );
    assert_eq!(event["last"], 1);
}

#[test]
fn panicking_value_loses_its_text_only() {
    struct Sour;
    impl fmt::Debug for Sour {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            panic!("sour")
        }
    }
    let (log, _guard) = json_log();
    let before = hook_panics();
    tracing::info!(sour = ?Sour, sweet = 1, "hello");
    let event = log.with_message("hello");
    assert_eq!(event["sour"], "half<panicked>");
    assert_eq!(event["sweet"], 1);
    assert!(hook_panics() > before);
}

#[test]
fn value_that_logs_while_formatted_is_safe() {
    struct Chatty;
    impl fmt::Display for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("inside");
            f.write_str("said")
        }
    }
    let (log, _guard) = json_log();
    tracing::info!(before = 1, chatty = %Chatty, after = 2, "outside");
    let event = log.with_message("outside");
    assert_eq!((&event["before"], &event["after"]), (&json!(1), &json!(2)));
    assert_eq!(event["chatty"], "said");
}

#[test]
fn writer_panic_or_error_is_contained() {
    struct Broken(bool);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            assert!(!self.0, "broken");
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for panics in [true, false] {
        let settings = logging::builder().format(LogFormat::Json);
        let layer = settings.writer(move || Broken(panics)).layer();
        let subscriber = tracing_subscriber::registry().with(layer.expect("a fixed format"));
        tracing::subscriber::with_default(subscriber, || tracing::info!("hello"));
    }
}

/// Half a line stayed there, and the next one was appended to it.
#[test]
fn line_after_partial_write_starts_fresh() {
    struct Fails(Kept, bool);
    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1 = true;
            self.0.write(&bytes[..bytes.len() / 2])
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (kept, full) = (Kept::default(), Arc::new(AtomicBool::new(false)));
    let (writer, is_full) = (kept.clone(), full.clone());
    let writer = move || -> Box<dyn Write> {
        match is_full.load(Ordering::Relaxed) {
            true => Box::new(Fails(writer.clone(), false)),
            false => Box::new(writer.clone()),
        }
    };
    let layer = logging::builder().format(LogFormat::Json).writer(writer);
    let subscriber = tracing_subscriber::registry().with(layer.layer().expect("a fixed format"));
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(subscriber, || {
            for is_full in [false, true, true, false, false] {
                full.store(is_full, Ordering::Relaxed);
                tracing::info!(is_full, "hello");
            }
        });
    });
    let lines = kept.lines();
    let (whole, cut): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.ends_with('}'));
    assert_eq!((whole.len(), cut.len()), (3, 2), "{lines:#?}");
    for line in whole {
        parsed(line);
    }
    let counted = recorder.handle().render();
    let lost = "tower_keep_log_lines_lost_total 2";
    assert!(counted.lines().any(|line| line == lost), "{counted}");
}

// ---- the IDs of a call

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

// ---- one line per failure

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
    let app = Router::new().route("/orders/{id}", get(handler)).layer(
        observe("orders")
            .track(track.build().expect("settings"))
            .server(),
    );
    assert_eq!(ask(app, "/orders/7").await.0, 500);
    let event = log.event();
    assert_eq!(event["outcome"], "panicked");
    let message = event["error"].as_str().expect("a message");
    let line = message.strip_prefix("no such order, says line ");
    let place = event["error_location"].as_str().expect("a place");
    let expected = format!("tests/logging.rs:{}:", line.expect("a line"));
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
    let unlogged = route().layer(observe("front").track(quiet).server());
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
    let track = Track::builder("front").skip(|_| panic!("a sour predicate"));
    let track = track.build().expect("settings");
    let app = Router::new()
        .route("/", get(async || "hello"))
        .layer(observe("front").track(track).server());
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
            .is_some_and(|place| place.contains("logging.rs"))
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

/// By observe.md 17: an unwrap here is another fault than an unwrap there.
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
        .layer(
            observe("shop")
                .track(track.build().expect("a tracker"))
                .server(),
        );
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

// ---- for the whole process: each in a process of its own

const PART: &str = "TOWER_KEEP_PART";

/// Runs one part of [`child_process`] in a child process.
fn play(part: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = player(part);
    command.envs(variables.iter().copied());
    command.output().expect("a child")
}

fn player(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args([
        "--exact",
        "child_process",
        "--nocapture",
        "--test-threads=1",
    ]);
    for name in ["RUST_LOG", "LOG_FORMAT", "NO_COLOR", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env(PART, part);
    command
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(parsed).collect()
}

#[test]
fn child_process() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    // The test harness has a hook of its own.
    let _ = panic::take_hook();
    let say = |result: Result<(), logging::InitError>| match result {
        Ok(()) => println!("installed"),
        Err(error) => println!(
            "said: {:?} {}: {error}",
            error.setting_name(),
            error.is_already_installed()
        ),
    };
    match &*part {
        "init" => say(logging::init()),
        "level" => say(logging::builder().level("info,loud=very").init()),
        "twice" => {
            say(logging::init());
            say(logging::init());
            tracing::info!("still here");
        }
        "speak" => {
            say(logging::init());
            tracing::info!(target: "shop", "information");
            log::warn!(target: "old_library", "an event of the log crate");
            tracing::debug!(target: "shop::deep", "detail");
            let span = tracing::info_span!(target: "tower_keep::call", "call");
            println!("call span: {}", !span.is_disabled());
        }
        "stderr" => {
            say(logging::builder().stderr().init());
            tracing::info!("over here");
        }
        "panics" => {
            say(logging::init());
            assert!(std::thread::spawn(|| panic!("in a thread")).join().is_err());
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let app = Router::new()
                .route(
                    "/",
                    get(async || {
                        if true {
                            panic!("in a call")
                        }
                    }),
                )
                .layer(observe("front").server());
            runtime.expect("a runtime").block_on(ask(app, "/"));
        }
        "two panics" => {
            struct Sour;
            impl Drop for Sour {
                fn drop(&mut self) {
                    panic!("the second");
                }
            }
            say(logging::init());
            let _ = operation("sums").call(|| -> Result<(), io::Error> {
                let _sour = Sour;
                panic!("the first")
            });
        }
        "slow pipe" => {
            say(logging::init());
            let text = "x".repeat(9_000);
            for (written, count) in io::stdin().lines().enumerate() {
                let count: usize = count.expect("a line").parse().expect("a number");
                std::thread::scope(|scope| {
                    for thread in 0..3 {
                        let text = &text;
                        scope.spawn(move || {
                            for line in 0..count {
                                tracing::info!(thread, line, written, text, "hello");
                            }
                        });
                    }
                });
                eprintln!("{} {}", 3 * count, logging::lost_lines());
            }
        }
        other => panic!("no such part: {other}"),
    }
}

#[test]
fn init_writes_json_without_terminal() {
    let output = play("speak", &[]);
    let events = json_lines(&output.stdout);
    let told: Vec<_> = events
        .iter()
        .map(|event| (&event["target"], &event["message"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("shop"), &json!("information")),
            (&json!("old_library"), &json!("an event of the log crate")),
        ]
    );
    assert!(events[1].get("log.target").is_none(), "{events:#?}");
}

#[test]
fn init_reads_format_and_level_from_environment() {
    let variables = [
        ("LOG_FORMAT", "pretty"),
        ("RUST_LOG", "warn,shop::deep=debug"),
    ];
    let output = play("speak", &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("DEBUG shop::deep: detail"), "{text}");
    assert!(
        text.contains(" WARN old_library: an event of the log crate"),
        "{text}"
    );
    assert!(!text.contains("information"), "{text}");
    // Or tasks of a call had no IDs.
    assert!(text.contains("call span: true"), "{text}");
    let text = play("speak", &[("RUST_LOG", "off")]).stdout;
    assert!(json_lines(&text).is_empty());
    assert!(String::from_utf8_lossy(&text).contains("call span: false"));
}

#[test]
fn init_can_write_to_stderr() {
    let output = play("stderr", &[]);
    assert!(json_lines(&output.stdout).is_empty());
    assert_eq!(json_lines(&output.stderr)[0]["message"], "over here");
}

/// One writer of the pipe was `node`, which makes it non-blocking: of 9 KB lines, 114 were corrupt.
#[cfg(unix)]
#[tokio::test]
async fn nonblocking_pipe_gets_whole_lines_and_counts_lost() {
    use std::{
        fs::File,
        io::{BufRead, BufReader, Read},
        process::Stdio,
    };
    let (sender, receiver) = tokio::net::unix::pipe::pipe().expect("a pipe");
    let sender = sender.into_nonblocking_fd().expect("a descriptor");
    let receiver = receiver.into_nonblocking_fd().expect("a descriptor");
    let mut command = player("slow pipe");
    command.stdin(Stdio::piped()).stdout(sender);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("a child");
    // It holds the other end of the pipe.
    drop(command);
    let mut orders = child.stdin.take().expect("piped");
    let mut replies = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut log = |count: usize| -> (usize, usize) {
        writeln!(orders, "{count}").expect("the child reads");
        let reply = replies.next().expect("a reply").expect("text");
        let (written, lost) = reply.split_once(' ').expect("two numbers");
        (written.parse().expect("one"), lost.parse().expect("other"))
    };
    let (mut pipe, mut read) = (File::from(receiver), Vec::new());
    let mut take = |most: usize| {
        let result = Read::by_ref(&mut pipe)
            .take(most as u64)
            .read_to_end(&mut read);
        result.map_err(|error| error.kind()).err()
    };
    let (mut written, mut lost) = (0, 0);
    // What the reader takes leaves room for a part of a line only, or for none.
    for most in [10_000, 4_096, 70_000, 0, 25_000, 8_192] {
        let (more, so_far) = log(10);
        (written, lost) = (written + more, so_far);
        take(most);
    }
    assert!(lost > 0, "the reader is slow");
    assert_eq!(take(usize::MAX >> 1), Some(io::ErrorKind::WouldBlock));
    // The rest of a line that was begun comes with the next.
    let (more, so_far) = log(1);
    (written, lost) = (written + more, so_far);
    drop(orders);
    assert!(child.wait().expect("a child").success());
    assert_eq!(take(usize::MAX >> 1), None);
    let text = String::from_utf8(read).expect("a log is text");
    let lines: Vec<_> = text.lines().filter(|line| line.contains("hello")).collect();
    for line in &lines {
        assert_eq!(parsed(line)["text"].as_str().map(str::len), Some(9_000));
    }
    assert_eq!(lines.len() + lost, written);
}

#[test]
fn init_names_invalid_setting() {
    let said = |part: &str, variables: &[(&str, &str)]| {
        let output = play(part, variables);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text
            .lines()
            .find_map(|line| Some(line.split_once("said: ")?.1));
        found
            .unwrap_or_else(|| panic!("no error in {text}"))
            .to_owned()
    };
    assert_eq!(
        said("init", &[("RUST_LOG", "info,my_app=lots")]),
        "Some(\"RUST_LOG\") false: logging: RUST_LOG is \"info,my_app=lots\", must be directives such as \
         info,my_app=debug (\"my_app=lots\" is not a directive)"
    );
    assert_eq!(
        said("init", &[("LOG_FORMAT", "xml")]),
        "Some(\"LOG_FORMAT\") false: logging: LOG_FORMAT is \"xml\", must be json or pretty"
    );
    assert!(said("level", &[]).starts_with("Some(\"level\")"));
    let text = play("init", &[("RUST_LOG", " "), ("LOG_FORMAT", "")]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("installed"));
}

#[test]
fn init_twice_is_an_error() {
    let output = play("twice", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("None true: logging: another tracing subscriber is installed already"),
        "{text}"
    );
    assert_eq!(json_lines(&output.stdout).len(), 1);
}

#[test]
fn init_replaces_panic_output_on_stderr() {
    let output = play("panics", &[]);
    let events = json_lines(&output.stdout);
    assert_eq!(events.len(), 2, "{events:#?}");
    assert_eq!(
        (&events[0]["message"], &events[0]["error"]),
        (&json!("panicked"), &json!("in a thread"))
    );
    assert_eq!(
        (&events[1]["message"], &events[1]["error"]),
        (&json!("call"), &json!("in a call"))
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Somebody asked for it.
    let output = play("panics", &[("RUST_BACKTRACE", "1")]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr)
            .matches("stack backtrace")
            .count(),
        2
    );
    // Nobody listens.
    let output = play("panics", &[("RUST_LOG", "off")]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        text.lines()
            .filter(|line| line.contains("panicked at"))
            .count(),
        2,
        "{text}"
    );
}

#[test]
fn double_panic_is_logged_before_abort() {
    let output = play("two panics", &[]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("\"the first\"") && text.contains("\"the second\""),
        "{text}"
    );
}
