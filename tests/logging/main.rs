//! Logging: one line per event, stamped, unforgeable; one line per failure, panics included.
//!
//! In a process of its own, whose panic hook `capture_panics` replaces.

mod bounds;
#[path = "../support/callsites.rs"]
mod callsites;
mod failures;
mod ids;
mod lines;
mod process;

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_keep::logging::{self, LogFormat, Logging};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

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
    callsites::ask_all_subscribers();
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
