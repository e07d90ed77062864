//! Requests that the key of an HTTP cache does not tell apart, or whose key callers could choose.

use http::{HeaderValue, Request};
use tower::Layer;
use tower_keep::{cache::HttpCacheLayer, testing::ScriptedBody};

use super::{
    cache,
    http_calls::{get, numbered, text},
};

fn ask(question: &'static str) -> Request<ScriptedBody> {
    let mut request = get(&[]);
    *request.body_mut() = ScriptedBody::from(question);
    request
}

/// The body of a `GET` was no part of its key: the answer to one search was given to all others, and a caller with a body could put
/// a page of its choice in the place of another.
#[tokio::test(start_paused = true)]
async fn get_with_a_body_is_not_answered_from_the_cache_and_not_kept() {
    let cache = cache("cache.question");
    let script = numbered(&[("cache-control", "max-age=60")]);
    let service = HttpCacheLayer::client(cache.clone()).layer(script);
    assert_eq!(text(&service, ask("cats?")).await, "0");
    assert_eq!(text(&service, ask("dogs?")).await, "1");
    assert_eq!(text(&service, get(&[])).await, "2");
    assert_eq!(text(&service, ask("cats?")).await, "3");
    assert_eq!(text(&service, get(&[])).await, "2");
    assert_eq!(cache.stats().bypassed, 3);
}

/// The cache took the first `Host`, and an application that takes the last one wrote the page.
#[tokio::test(start_paused = true)]
async fn request_that_names_several_hosts_has_no_key() {
    let cache = cache("cache.hosts");
    let script = numbered(&[("cache-control", "max-age=60")]);
    let service = HttpCacheLayer::client(cache.clone()).layer(script);
    let mut poison = get(&[("host", "example.com")]);
    let evil = HeaderValue::from_static("evil.example");
    poison.headers_mut().append("host", evil);
    assert_eq!(text(&service, poison).await, "0");
    let honest = || get(&[("host", "example.com")]);
    assert_eq!(text(&service, honest()).await, "1");
    assert_eq!(text(&service, honest()).await, "1");
    assert_eq!(cache.stats().bypassed, 1);
}

/// A request in absolute form whose `Host` is another one: an application may write its page for either.
#[tokio::test(start_paused = true)]
async fn host_that_is_not_that_of_the_uri_is_a_part_of_the_key() {
    let script = numbered(&[("cache-control", "max-age=60")]);
    let service = HttpCacheLayer::client(cache("cache.absolute")).layer(script);
    let with = |host: Option<&str>| {
        let mut request = Request::get("http://example.com/");
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.body(ScriptedBody::new()).expect("a request")
    };
    assert_eq!(text(&service, with(Some("evil.example"))).await, "0");
    assert_eq!(text(&service, with(None)).await, "1");
    assert_eq!(text(&service, with(Some("example.com"))).await, "1");
    assert_eq!(text(&service, with(Some("evil.example"))).await, "0");
}
