use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_keep::ops::health::{Health, HealthSnapshot, HealthStatus};

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns the status of a component.
pub(super) fn status(health: &Health, name: &str) -> HealthStatus {
    component(&health.snapshot(), name).0
}

/// Returns status and text of a component.
pub(super) fn component(snapshot: &HealthSnapshot, name: &str) -> (HealthStatus, String) {
    let component = snapshot.component(name).expect("a component of this name");
    let text = component.text.as_deref().unwrap_or_default();
    (component.status, text.to_owned())
}

/// Lets every first run happen, and end if it takes no time.
pub(super) async fn first_runs() {
    sleep(ms(1_001)).await;
}

/// Sends `GET` to the probes.
pub(super) async fn get(health: &Health, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = health.probes().oneshot(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("text");
    (head.status, head.headers, body)
}

/// Sends `GET` to the probes, for status and body.
pub(super) async fn probe(health: &Health, path: &str) -> (u16, String) {
    let (status, _, body) = get(health, path).await;
    (status.as_u16(), body)
}

/// A counter that clones share.
#[derive(Clone, Default)]
pub(super) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(super) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
