use axum::{Router, body::Body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_keep::ops::{Access, Ops, OpsBuilder};
use tracing::subscriber::with_default;
use tracing_subscriber::{layer::SubscriberExt, registry};

const TOKEN: &str = "the token of a viewer";

/// An operations side that nobody has spawned, and its subscriber.
pub struct Kept {
    pub ops: Ops,
    pub console: Router,
}

impl Kept {
    pub fn new(builder: OpsBuilder) -> Self {
        crate::callsites::ask_all_subscribers();
        let ops = builder.build().expect("valid");
        let access = Access::builder().viewer_token(TOKEN).build();
        let console = ops.console(access.expect("valid"));
        Kept { ops, console }
    }

    pub fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        registry().with(self.ops.layer())
    }

    /// Runs work whose events are kept.
    pub fn log(&self, work: impl FnOnce()) {
        with_default(self.subscriber(), work);
    }

    pub async fn get(&self, query: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/api/v1/logs?{query}"))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::empty());
        let response = self
            .console
            .clone()
            .oneshot(request.expect("a request"))
            .await;
        let response = response.expect("infallible");
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (status, serde_json::from_slice(&body).expect("json"))
    }

    pub async fn find(&self, query: &str) -> Value {
        let (status, found) = self.get(query).await;
        assert_eq!(status, 200, "{found}");
        found
    }

    /// Returns the messages that a search finds, the newest first.
    pub async fn messages(&self, query: &str) -> Vec<String> {
        let found = self.find(query).await;
        let records = found["records"].as_array().expect("records");
        let message = |record: &Value| record["message"].as_str().expect("a text").to_owned();
        records.iter().map(message).collect()
    }
}

pub fn kept() -> Kept {
    Kept::new(Ops::builder("orders"))
}
