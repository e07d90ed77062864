//! The layer in axum routers, over real connections: around a route, a nested router, the whole app.

mod contexts;
mod ends;
mod errors;
mod panics;
mod rejections;
mod requests;
mod routing;

use std::{error::Error, fmt};

use axum::{body::Body, extract::Path};
use http::{Request, StatusCode};
use http_body_util::BodyExt;

use crate::support::{HyperClient, within};

async fn order(Path(id): Path<u32>) -> String {
    format!("order {id}")
}

async fn fails() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// HTTP/1.1 may lose the head too: it waits in the same buffer as the first frame.
async fn is_cut_short(client: &HyperClient, request: Request<Body>) -> bool {
    match within(client.request(request)).await {
        Ok(response) => within(response.into_body().collect()).await.is_err(),
        Err(_) => true,
    }
}

#[derive(Debug)]
struct TornPage(u32);

impl fmt::Display for TornPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {} is torn", self.0)
    }
}
impl Error for TornPage {}
