use std::future::Future;

use axum::Router;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_keep::ops::{Access, Ops, OpsBuilder, traces::TracesBuilder};
use tracing::{Dispatch, dispatcher::with_default, instrument::WithSubscriber};
use tracing_subscriber::layer::SubscriberExt;

const TOKEN: &str = "the token of a viewer";

/// An operations side with the subscriber that keeps its traces.
pub struct Kept {
    pub ops: Ops,
    pub dispatch: Dispatch,
    console: Router,
}

impl Kept {
    /// Keeps all traces.
    pub fn all() -> Self {
        Self::with(|traces| traces.sample_rate(1.0))
    }

    pub fn with(change: impl FnOnce(TracesBuilder) -> TracesBuilder) -> Self {
        Self::of(Ops::builder("orders").traces(change))
    }

    pub fn of(builder: OpsBuilder) -> Self {
        let ops = builder.build().expect("valid settings");
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(ops.layer()));
        Self::of_subscriber(ops, dispatch)
    }

    pub fn of_subscriber(ops: Ops, dispatch: Dispatch) -> Self {
        crate::callsites::ask_all_subscribers();
        let access = Access::builder().viewer_token(TOKEN).build();
        let console = ops.console::<()>(access.expect("a long token"));
        Kept {
            ops,
            dispatch,
            console,
        }
    }

    /// Runs code whose spans are kept.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        with_default(&self.dispatch, work)
    }

    /// Runs a future whose spans are kept.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        work.with_subscriber(self.dispatch.clone()).await
    }

    /// Asks the API.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub async fn ask(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/api/v1/{path}"));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let response = self.console.clone().oneshot(request).await;
        let response = response.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body");
        let body = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        (status, body)
    }

    /// Returns the rows of the list.
    pub async fn list(&self, query: &str) -> Vec<Value> {
        let list = self.get(&format!("traces{query}")).await;
        list["traces"].as_array().expect("a list").clone()
    }

    /// Returns the only trace.
    pub async fn only(&self) -> Trace {
        let list = self.list("").await;
        assert_eq!(list.len(), 1, "{list:#?}");
        self.trace(list[0]["trace_id"].as_str().expect("an ID"))
            .await
    }

    pub async fn trace(&self, trace_id: &str) -> Trace {
        Trace(self.get(&format!("traces/{trace_id}")).await)
    }

    /// Returns what a span carries.
    pub async fn span(&self, trace: &Trace, at: usize) -> Value {
        let (trace_id, id) = (trace.id(), trace.column("id", at));
        let id = id.as_str().expect("an ID");
        self.get(&format!("traces/{trace_id}/spans/{id}")).await
    }
}

/// A trace as the API has it.
#[derive(Debug)]
pub struct Trace(pub Value);

impl Trace {
    pub fn id(&self) -> &str {
        self.0["trace"]["trace_id"].as_str().expect("an ID")
    }

    pub fn len(&self) -> usize {
        self.0["spans"]["id"].as_array().expect("a column").len()
    }

    pub fn column(&self, name: &str, at: usize) -> &Value {
        &self.0["spans"][name][at]
    }

    /// Returns the spans in their order, each with its depth before its name.
    pub fn shape(&self) -> Vec<String> {
        let mut depths: Vec<usize> = Vec::new();
        let mut shape = Vec::new();
        for at in 0..self.len() {
            let parent = self.column("parent", at).as_u64();
            let depth = parent.map_or(0, |parent| depths[parent as usize] + 1);
            depths.push(depth);
            let name = self.column("name", at).as_u64().expect("an index");
            let name = self.0["names"][name as usize].as_str().expect("a name");
            shape.push(format!("{depth} {name}"));
        }
        shape
    }
}
