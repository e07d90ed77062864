//! Over real connections: axum's router, hyper's and reqwest's clients.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use axum::{Router, routing::get as route};
use tower::{Layer, ServiceExt};
use tower_keep::cache::HttpCacheLayer;

use super::cache;
use crate::support::{both_versions, get, header, serve, text, within};

/// A route that numbers its responses, which are fresh for a minute.
fn router() -> Router {
    let calls = Arc::<AtomicU32>::default();
    let number = move || {
        let number = calls.fetch_add(1, SeqCst);
        async move { ([("cache-control", "max-age=60")], format!("call {number}")) }
    };
    Router::new().route("/", route(number.clone()).post(number))
}

#[tokio::test]
async fn axum_router_answers_from_the_cache() {
    let cache = cache("axum");
    let app = router().layer(HttpCacheLayer::server(cache.clone()));
    let address = serve(app).await;
    for (version, client) in both_versions() {
        // HTTP/2 names the scheme in each request, which makes it another one than that of HTTP/1.1.
        let call = async || {
            let response = within(client.request(get(address, "/"))).await;
            text(response.expect("a response")).await
        };
        let first = call().await;
        assert_eq!(call().await, first, "{version}");
    }
    assert_eq!((cache.stats().misses, cache.stats().hits), (2, 2));
}

#[tokio::test]
async fn hyper_client_answers_from_the_cache() {
    for (version, client) in both_versions() {
        let address = serve(router()).await;
        let client = HttpCacheLayer::client(cache("hyper")).layer(client);
        let call = || async {
            let call = client.clone().oneshot(get(address, "/"));
            within(call).await.expect("a response")
        };
        assert_eq!(text(call().await).await, "call 0");
        let again = call().await;
        assert!(header(&again, "age").is_some(), "{version}");
        assert_eq!(text(again).await, "call 0");
        let mut post = get(address, "/");
        *post.method_mut() = http::Method::POST;
        let posted = within(client.clone().oneshot(post)).await;
        assert_eq!(text(posted.expect("a response")).await, "call 1");
        assert_eq!(text(call().await).await, "call 2");
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_answers_from_the_cache() {
    use tower_keep::reqwest::{LayeredClient, service};
    let (cache, address) = (cache("reqwest"), serve(router()).await);
    let http = reqwest::Client::new();
    let stack = HttpCacheLayer::client(cache.clone()).layer(service(http.clone()));
    let client = LayeredClient::new(stack);
    let url = format!("http://{address}/");
    for _ in 0..2 {
        let response = within(client.send(http.get(&url)))
            .await
            .expect("a response");
        assert_eq!(response.url().as_str(), url);
        assert_eq!(response.text().await.expect("text"), "call 0");
    }
    assert_eq!(cache.stats().hits, 1);
}
