//! Requests and responses are those of reqwest, and layers see what they see of any client.

use std::time::Duration;

use http::{HeaderName, Response, StatusCode};
use tower::{Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, Context, FallbackLayer, GuardLayer, Outcome, Rejection,
    breaker::KeyedBreaker,
    fallback::{FailedCall, Fallback, FallbackInfo},
    observe,
    reqwest::{LayeredClient, into_body, service},
    timeout::{TimeLimit, TimeoutLayer},
};

use super::{peer, retry, url};
use crate::support::{guards::witness, nobody, within};

#[tokio::test]
async fn reqwest_response_has_json_and_the_url_that_it_was_redirected_to() {
    let (address, _) = peer(0).await;
    let (witness, mut ends) = witness();
    let http = reqwest::Client::new();
    let stack = ServiceBuilder::new()
        .layer(retry())
        .layer(GuardLayer::client(witness))
        .service(service(http.clone()));
    let client = LayeredClient::new(stack);
    let request = http.get(url(address, "/old")).query(&[("page", 1)]);
    let response = within(client.send(request)).await.unwrap();
    assert_eq!(response.url().as_str(), url(address, "/new"));
    assert_eq!(response.remote_addr(), Some(address));
    assert_eq!(response.json::<Vec<String>>().await.unwrap(), ["an order"]);
    let told = ends.next().await;
    assert_eq!(
        (told.outcome, told.status),
        (Outcome::Success, Some(StatusCode::OK))
    );
    assert_eq!(ends.so_far(), [], "a redirect is part of its attempt");
}

#[tokio::test]
async fn reqwest_body_is_sent_to_the_address_that_it_was_redirected_to() {
    let (address, _) = peer(0).await;
    let http = reqwest::Client::new();
    let request = || http.put(url(address, "/old")).body("an order");
    let plain = LayeredClient::new(service(http.clone()));
    let response = within(plain.send(request())).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "an order");
    // The retry has wrapped the body.
    let retried = LayeredClient::new(retry().layer(service(http.clone())));
    let response = within(retried.send(request())).await.unwrap();
    assert_eq!(response.url().as_str(), url(address, "/echo"));
    assert_eq!(response.text().await.unwrap(), "an order");
    // What is too long to be buffered goes to the first address only, as a stream would.
    let long = request().body("x".repeat(100_000));
    let response = within(retried.send(long)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    let long = http.put(url(address, "/echo")).body("x".repeat(100_000));
    let response = within(retried.send(long)).await.unwrap();
    assert_eq!(response.text().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn reqwest_request_carries_ids_deadline_and_default_headers() {
    let (address, _) = peer(0).await;
    let mut defaults = http::HeaderMap::new();
    defaults.insert("x-default", "yes".parse().unwrap());
    let inner = reqwest::Client::builder().default_headers(defaults);
    let time_left = HeaderName::from_static("x-time-left");
    let limit = TimeLimit::new("reqwest.attempt", Duration::from_secs(5));
    let stack = ServiceBuilder::new()
        .layer(observe("orders").client())
        .layer(TimeoutLayer::client(limit).timeout_header(time_left))
        .service(service(inner.build().unwrap()));
    let client = LayeredClient::new(stack);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
    let context = Context::new_root().with_deadline(deadline);
    let call = async {
        let request = reqwest::Client::new().get(url(address, "/headers"));
        let response = client.send(request.header("x-own", "too")).await?;
        Ok::<_, BoxError>(response.text().await?)
    };
    let headers = within(context.scope(call)).await.unwrap();
    let value = |name: &str| {
        let of = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
        headers.lines().find_map(of).unwrap_or_default()
    };
    assert_eq!(
        (value("x-default"), value("x-own")),
        ("yes".into(), "too".into())
    );
    assert_eq!(value("x-request-id"), context.request_id());
    assert!(value("traceparent").contains(&context.trace_id().to_string()));
    let left: u64 = value("x-time-left").parse().unwrap();
    assert!((1..=3_000).contains(&left), "{left}");
}

#[tokio::test]
async fn reqwest_breaker_of_one_host_opens_for_it_alone() {
    let ((bad, calls), (good, _)) = (peer(9).await, peer(0).await);
    let template = tower_keep::CircuitBreaker::builder("reqwest hosts").consecutive_failures(1);
    let hosts: KeyedBreaker<String> = KeyedBreaker::builder(template).build().unwrap();
    let http = reqwest::Client::new();
    let stack = hosts.layer().client().layer(service(http.clone()));
    let client = LayeredClient::new(stack);
    let send = async |to| within(client.send(http.get(url(to, "/")))).await;
    assert_eq!(send(bad).await.unwrap().status(), 503);
    let error = send(bad).await.unwrap_err();
    assert_eq!(Rejection::find(&*error).unwrap().guard(), "reqwest hosts");
    assert_eq!(send(good).await.unwrap().status(), 200);
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn reqwest_response_of_a_fallback_has_the_url_of_the_request() {
    let address = nobody();
    let stale = |_: &FailedCall<'_>| Response::new("this morning's".to_owned());
    let http = reqwest::Client::new();
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::client(Fallback::new("quotes")).with(stale))
        .service(service(http.clone()));
    let client = LayeredClient::new(stack);
    let response = within(client.send(http.get(url(address, "/quotes")))).await;
    let response = response.unwrap();
    assert_eq!(response.url().as_str(), url(address, "/quotes"));
    assert!(response.extensions().get::<FallbackInfo>().is_some());
    assert_eq!(response.text().await.unwrap(), "this morning's");
}

#[tokio::test]
async fn reqwest_client_is_boxed_with_its_layers_and_called_by_tasks() {
    let (address, _) = peer(0).await;
    let http = reqwest::Client::new();
    let stack = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(into_body))
        .layer(retry())
        .service(service(http.clone()));
    let client = LayeredClient::new(BoxCloneSyncService::new(stack));
    let task = |client: LayeredClient<_>| async move {
        let response = client.send(http.get(url(address, "/new"))).await?;
        response.text().await.map_err(BoxError::from)
    };
    let text = within(tokio::spawn(task(client.clone()))).await.unwrap();
    assert_eq!(text.unwrap(), r#"["an order"]"#);
}

#[tokio::test]
async fn reqwest_service_takes_any_body_and_its_response_converts_with_its_url() {
    let (address, _) = peer(0).await;
    let request = http::Request::put(url(address, "/echo")).body("an order".to_owned());
    let call = service(reqwest::Client::new()).oneshot(request.unwrap());
    let response = reqwest::Response::from(within(call).await.unwrap());
    assert_eq!(response.url().as_str(), url(address, "/echo"));
    assert_eq!(response.text().await.unwrap(), "an order");
}
