//! The requests that cannot be sent say why, and are sent once.

use tower::ServiceBuilder;
use tower_keep::{
    GuardLayer, Outcome,
    call::{Evidence, find},
    observe,
    reqwest::{LayeredClient, service},
};

use super::{peer, retry, url};
use crate::support::{
    guards::{Ends, witness},
    logs::logs,
    nobody, within,
};

/// Sends a request for this URL, and returns the error.
async fn failed(http: &reqwest::Client, url: &str) -> (reqwest::Error, Ends) {
    let (witness, ends) = witness();
    let stack = ServiceBuilder::new()
        .layer(retry())
        .layer(GuardLayer::client(witness))
        .service(service(http.clone()));
    let client = LayeredClient::new(stack);
    let error = within(client.send(http.get(url))).await.unwrap_err();
    (*error.downcast().expect("reqwest's own error"), ends)
}

#[tokio::test]
async fn reqwest_request_that_cannot_be_built_reaches_no_layer() {
    let http = reqwest::Client::new();
    for url in ["/orders", "http://[::1/", "http://peer:99999/"] {
        let (error, mut ends) = failed(&http, url).await;
        assert!(error.is_builder(), "{error}");
        assert_eq!(ends.so_far(), [], "{url}");
    }
}

#[tokio::test]
async fn reqwest_url_that_is_not_http_is_no_failure_of_a_peer_and_is_not_retried() {
    let http = reqwest::Client::new();
    let (address, _) = peer(0).await;
    // The last one only by a redirect.
    for url in ["ftp://peer/orders".to_owned(), url(address, "/away")] {
        let (error, mut ends) = failed(&http, &url).await;
        assert!(error.is_builder(), "{error}");
        assert!(error.to_string().contains("ftp://"), "{error}");
        let classified = (Outcome::Failure, Evidence::Inconclusive);
        assert_eq!(ends.next_classified().await, classified, "{url}");
        assert_eq!(ends.so_far(), [], "{url}");
    }
}

#[tokio::test]
async fn reqwest_error_that_is_logged_has_no_query() {
    let logs = logs();
    let http = reqwest::Client::new();
    let stack = ServiceBuilder::new()
        .layer(observe("payments").client())
        .service(service(http.clone()));
    let client = LayeredClient::new(stack);
    let away = format!("http://user:secret@{}/orders?token=hush#part", nobody());
    for url in [
        away.as_str(),
        "ftp://user:secret@peer/orders?token=hush#part",
    ] {
        let error = within(client.send(http.get(url))).await.unwrap_err();
        let error = find::<reqwest::Error>(&*error).expect("reqwest's own error");
        let path = error.url().expect("the URL of the request").path();
        assert_eq!(path, "/orders");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
    let text = format!("{:?}", logs.calls());
    assert!(text.contains("/orders"), "{text}");
    for secret in ["hush", "secret", "part"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn reqwest_error_of_a_relative_uri_comes_from_the_service() {
    use tower::ServiceExt;

    let request = http::Request::get("/orders").body(String::new()).unwrap();
    let call = service(reqwest::Client::new()).oneshot(request);
    let error = within(call).await.unwrap_err();
    assert!(error.is_builder());
    assert!(find::<reqwest::Error>(&error).is_some());
}
