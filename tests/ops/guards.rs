//! An operations side with controls, and what it says about guards.

use std::time::Duration;

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_keep::ops::{Access, Ops, OpsBuilder, journal::EventKind};

pub struct Guards {
    pub ops: Ops,
    pub router: Router,
}

impl Guards {
    pub fn start() -> Self {
        Self::with(Ops::builder("orders"))
    }

    pub fn with(builder: OpsBuilder) -> Self {
        let access = Access::builder().by(|_| {
            let operator = tower_keep::ops::Identity::new(tower_keep::ops::Role::Operator);
            Some(operator.named("mira"))
        });
        let ops = builder.allow_control(true).build();
        let ops = ops.expect("valid");
        ops.spawn();
        let router = ops.console(access.build().expect("valid"));
        Guards { ops, router }
    }

    pub async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        (parts.status, value)
    }

    pub async fn act(&self, name: &str, body: Value) -> StatusCode {
        self.post(name, "control", body).await.0
    }

    pub async fn post(&self, name: &str, resource: &str, body: Value) -> (StatusCode, Value) {
        self.post_to("circuit_breaker", name, resource, body).await
    }

    pub async fn act_on_chaos(&self, name: &str, body: Value) -> StatusCode {
        self.post_to("chaos", name, "control", body).await.0
    }

    pub async fn post_to(
        &self,
        kind: &str,
        name: &str,
        resource: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let path = format!("/api/v1/guards/{kind}/{name}/{resource}");
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).expect("a request"))
            .await
    }

    pub async fn guard(&self, name: &str) -> Value {
        self.guard_of("circuit_breaker", name).await
    }

    pub async fn guard_of(&self, kind: &str, name: &str) -> Value {
        let path = format!("/api/v1/guards/{kind}/{name}");
        let (_, guard) = self
            .send(Request::get(path).body(Body::empty()).expect("a request"))
            .await;
        guard
    }

    /// Returns text, before and after of what operators did to a guard.
    pub fn journal(&self, name: &str) -> Vec<[String; 3]> {
        let events = self.ops.journal().after(0, 1_000, |event| {
            event.kind() == EventKind::Control && event.subject() == name
        });
        let data = |event: &tower_keep::ops::journal::Event, name| {
            let value = event.data().get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let lines = events.iter().map(|event| {
            let by = event.who().map(|who| format!(" by {who}"));
            let text = format!("{}{}", event.text(), by.unwrap_or_default());
            [text, data(event, "before"), data(event, "after")]
        });
        lines.collect()
    }
}

pub fn line(text: &str, before: &str, after: &str) -> [String; 3] {
    [text, before, after].map(str::to_owned)
}

pub async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
