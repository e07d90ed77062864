//! A server, and what a scrape of it has.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{Router, body::Body};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;

pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

pub async fn fetch(address: SocketAddr, method: Method, path: &str) -> Response<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    let request = request.body(Body::empty()).expect("a request");
    let (head, body) = client
        .request(request)
        .await
        .expect("a response")
        .into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(body.into()).expect("text");
    Response::from_parts(head, text)
}

/// Returns the name and the labels of each sample.
pub fn samples(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("a closing brace");
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""));
            let labels = labels
                .map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
            (name.to_owned(), labels.collect())
        })
        .collect()
}
