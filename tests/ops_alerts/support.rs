use std::time::{Duration, SystemTime};

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt;
use tower_keep::ops::{Access, Identity, Ops, OpsBuilder, Role, alerts::Rule, journal::EventKind};

use crate::schema;

pub fn openapi() -> Value {
    serde_json::from_str(include_str!("../../src/ops/api/openapi.json")).expect("json")
}

/// A service with its console, and a clock that the test moves.
pub struct Service {
    pub ops: Ops,
    pub router: Router,
    pub second: u64,
}

impl Service {
    pub fn start(builder: OpsBuilder) -> Self {
        Self::with(builder.allow_control(true), Role::Operator)
    }

    pub fn with(builder: OpsBuilder, role: Role) -> Self {
        let access = Access::builder().by(move |_| Some(Identity::new(role).named("mira")));
        let ops = builder.build().expect("valid");
        ops.spawn();
        let router = ops.console(access.build().expect("valid"));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let second = now.expect("after 1970").as_secs() + 10;
        Service {
            ops,
            router,
            second,
        }
    }

    /// Sets a gauge, which is in the history from then on.
    pub fn load(&mut self, id: &str, value: f64) {
        metrics::with_local_recorder(self.ops.recorder(), || {
            metrics::gauge!("load", "id" => id.to_owned()).set(value);
        });
        self.second += 1;
        self.ops.recorder().tick(self.second);
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("/{path}"));
        let request = request.header("content-type", "application/json");
        let body = body.map_or(Body::empty(), |body| body.to_string().into());
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await;
        let (parts, body) = response.expect("infallible").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = serde_json::from_slice(&body).unwrap_or(Value::String(text));
        (parts.status, value)
    }

    /// Returns an answer that is as a schema says.
    pub async fn get(&self, path: &str, schema: &str) -> Value {
        let (status, value) = self.send(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path} {value}");
        if !schema.is_empty() {
            schema::check(&openapi(), schema, &value);
        }
        value
    }

    pub async fn alerts(&self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("api/v1/alerts?{query}"), "Alerts").await;
        page["alerts"].as_array().expect("a list").clone()
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn act(&self, alert: &Value, action: &str) -> StatusCode {
        let fingerprint = alert["fingerprint"].as_str().expect("a text");
        let path = format!("api/v1/alerts/{fingerprint}/{action}");
        let (status, value) = self.post(&path, json!({"reason": "on it"})).await;
        if status.is_success() {
            schema::check(&openapi(), "Done", &value);
        }
        status
    }

    pub fn journal(&self, kind: EventKind) -> Vec<String> {
        let events = self
            .ops
            .journal()
            .after(0, 1_000, |event| event.kind() == kind);
        let lines = events.iter().map(|event| {
            let by = event.who().map(|who| format!(" by {who}"));
            format!(
                "{}: {}{}",
                event.subject(),
                event.text(),
                by.unwrap_or_default()
            )
        });
        lines.collect()
    }
}

pub async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

pub fn states(alerts: &[Value]) -> Vec<String> {
    let state = |alert: &Value| {
        format!(
            "{} {}",
            alert["rule"].as_str().unwrap_or_default(),
            alert["state"].as_str().unwrap_or_default()
        )
    };
    alerts.iter().map(state).collect()
}

pub fn backlog() -> Rule {
    let rule = Rule::new("backlog")
        .when("load by (id) > 10")
        .for_(Duration::from_secs(30));
    rule.critical_at(100.0)
        .label("team", "mail")
        .annotation("runbook", "see {id}")
}
