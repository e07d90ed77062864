use std::{io, time::Duration};

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_keep::ops::{Access, Ops};

pub const TOKEN: &str = "the token of a viewer";

pub struct Console {
    pub ops: Ops,
    pub router: Router,
}

impl Console {
    pub fn new() -> Self {
        Self::of(Ops::builder("orders").build().expect("valid"))
    }

    pub fn of(ops: Ops) -> Self {
        let access = Access::builder()
            .viewer_token(TOKEN)
            .build()
            .expect("valid");
        let router = ops.console(access);
        Console { ops, router }
    }

    pub async fn send(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/api/v1/{path}"));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await;
        let response = response.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body");
        let json = serde_json::from_slice(&body.to_bytes()).expect("json");
        (status, json)
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, json) = self.send(path).await;
        assert_eq!(status, StatusCode::OK, "{path} {json}");
        json
    }

    /// Returns the rows of a list.
    pub async fn list(&self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("workflows?{query}")).await;
        page["workflows"].as_array().expect("a list").clone()
    }

    /// Returns the only workflow with its steps.
    pub async fn only(&self) -> Value {
        let rows = self.list("").await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        let id = rows[0]["id"].as_str().expect("an ID");
        self.get(&format!("workflows/{id}")).await
    }
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Does some work.
pub async fn work(millis: u64) -> io::Result<u64> {
    sleep(ms(millis)).await;
    Ok(millis)
}

pub async fn fail(text: &str) -> io::Result<u64> {
    Err(io::Error::other(text.to_owned()))
}

/// Returns members of each step.
pub fn of_steps<const N: usize>(workflow: &Value, members: [&str; N]) -> Vec<Value> {
    let steps = workflow["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| members.map(|member| step[member].clone()).to_vec().into())
        .collect()
}
