use std::{future::Future, time::Duration};

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_keep::{
    ops::{
        Access, Identity, Ops, OpsBuilder, Role,
        journal::Severity,
        notify::{AlertGroup, AlertNotice, Channel, ChannelBuilder},
    },
    retry::Backoff,
};

/// The time for which a test waits for what must happen: long, since nothing is slow but the machine.
const LIMIT: Duration = Duration::from_secs(60);

/// An operations side with its API.
pub struct Bench {
    pub ops: Ops,
    router: Router,
}

impl Bench {
    pub fn start(builder: OpsBuilder) -> Self {
        let access = Access::builder().by(|request| {
            let is_viewer = request.headers.contains_key("x-viewer");
            let role = if is_viewer {
                Role::Viewer
            } else {
                Role::Operator
            };
            Some(Identity::new(role).named("mira"))
        });
        let ops = builder.allow_control(true).build().expect("valid");
        ops.spawn();
        let router = ops.console(access.build().expect("valid"));
        Bench { ops, router }
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
        (
            parts.status,
            serde_json::from_slice(&body).unwrap_or(Value::Null),
        )
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = Request::get(format!("/api/v1/{path}")).body(Body::empty());
        let (status, value) = self.send(request.expect("a request")).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request =
            Request::post(format!("/api/v1/{path}")).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).expect("a request"))
            .await
    }

    pub async fn channel(&self, name: &str) -> Value {
        let channels = self.get("channels").await;
        let channels = channels["channels"].as_array().expect("a list").clone();
        channels
            .into_iter()
            .find(|channel| channel["name"] == name)
            .expect("the channel")
    }

    pub async fn deliveries(&self, name: &str) -> Vec<Value> {
        let answer = self
            .get(&format!("channels/{name}/deliveries?limit=200"))
            .await;
        answer["deliveries"].as_array().expect("a list").clone()
    }

    /// Waits until the newest delivery of a channel has a state, and returns it.
    pub async fn delivery(&self, name: &str, state: &str) -> Value {
        within(async {
            loop {
                let deliveries = self.deliveries(name).await;
                if let Some(newest) = deliveries.first().filter(|newest| newest["state"] == state) {
                    return newest.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

/// Waits for what must happen.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

/// Makes a channel try again at once.
pub fn eager<C: Channel>(channel: ChannelBuilder<C>) -> ChannelBuilder<C> {
    channel
        .backoff(Backoff::constant(Duration::from_millis(5)))
        .breaker(|breaker| breaker.consecutive_failures(1_000))
}

pub fn firing(rule: &str) -> AlertGroup {
    AlertGroup::new(rule.to_owned()).with_alert(alert())
}

pub fn resolved(rule: &str) -> AlertGroup {
    AlertGroup::new(rule.to_owned()).with_alert(alert().resolved())
}

pub fn alert() -> AlertNotice {
    AlertNotice::new(
        Severity::Critical,
        "error ratio of POST /pay is 0.12, above 0.05 for 2 min",
    )
    .with_label("route", "POST /pay")
    .with_annotation("runbook", "https://wiki.example/pay")
}

pub fn reason() -> Value {
    json!({"reason": "a drill"})
}
