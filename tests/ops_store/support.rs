use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rusqlite::Connection;
use serde_json::Value;
use tower::ServiceExt;
use tower_keep::ops::{
    Access, Identity, Ops, Role,
    health::ComponentSnapshot,
    journal::{Event, EventKind, Severity},
};

/// A folder of a test, which goes with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-keep-ops-store-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("ops.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn ops(file: &Path) -> Ops {
    let builder = Ops::builder("orders").allow_control(true);
    builder.sqlite(file).build().expect("valid")
}

pub fn event(text: &str) -> Event {
    Event::new(EventKind::Custom, Severity::Info, "orders", text)
}

/// Returns the answer of the console.
pub async fn get(ops: &Ops, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty());
    send(ops, request.expect("a request")).await
}

/// Sends what an operator does, and returns the answer of the console.
pub async fn post(ops: &Ops, path: &str, body: &str) -> Value {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(body.to_owned().into());
    send(ops, request.expect("a request")).await
}

async fn send(ops: &Ops, request: Request<Body>) -> Value {
    let operator = Identity::new(Role::Operator).named("mira");
    let access = Access::builder().by(move |_| Some(operator.clone()));
    let console: Router = ops.console(access.build().expect("valid"));
    let path = request.uri().to_string();
    let response = console.oneshot(request).await;
    let response = response.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Waits until the store of an operations side is as wanted.
pub async fn store_when(
    ops: &Ops,
    is_wanted: impl Fn(&ComponentSnapshot) -> bool,
) -> ComponentSnapshot {
    let mut watch = ops.health().watch();
    let found = |snapshot: &tower_keep::ops::health::HealthSnapshot| {
        let mut components = snapshot.components.iter();
        components
            .find(|each| each.name.as_str() == "ops_store" && is_wanted(each))
            .cloned()
    };
    let wait = watch.wait_for(|snapshot| found(snapshot).is_some());
    let snapshot = in_time(wait).await.expect("it lives").clone();
    found(&snapshot).expect("found")
}

/// Waits for what must happen.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let limit = tokio::time::timeout(Duration::from_secs(60), future);
    limit.await.expect("in time")
}

pub fn open(file: &Path) -> Connection {
    Connection::open(file).expect("a database")
}

pub fn number(file: &Connection, sql: &str) -> i64 {
    file.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Asserts that SQLite finds nothing wrong.
pub fn assert_sound(file: &Connection) {
    let found: String = file
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("checked");
    assert_eq!(found, "ok");
}
