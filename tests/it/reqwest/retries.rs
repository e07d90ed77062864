//! Retries and hedges over reqwest: bodies are replayed, and what was never sent is known.

use std::{sync::atomic::Ordering, time::Duration};

use tower::{Layer, ServiceBuilder};
use tower_keep::{
    GuardLayer, Outcome,
    call::find,
    hedge::{Hedge, HedgeLayer},
    reqwest::{LayeredClient, service},
    retry::Attempt,
};

use super::{peer, retry, url};
use crate::support::{guards::witness, nobody, within};

#[tokio::test]
async fn reqwest_put_is_retried_with_its_body() {
    let (address, calls) = peer(2).await;
    let http = reqwest::Client::new();
    let client = LayeredClient::new(retry().layer(service(http.clone())));
    let request = http.put(url(address, "/")).json(&["an order"]);
    let response = within(client.send(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let attempt = response.extensions().get::<Attempt>().unwrap();
    assert_eq!(attempt.number(), 3);
    assert_eq!(response.text().await.unwrap(), r#"["an order"]"#);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn reqwest_post_is_sent_again_only_if_it_was_never_sent() {
    let http = reqwest::Client::new();
    let address = nobody();
    for (retry_unsent, attempts) in [(false, 1), (true, 3)] {
        let (witness, mut ends) = witness();
        let stack = ServiceBuilder::new()
            .layer(retry().retry_unsent(retry_unsent))
            .layer(GuardLayer::client(witness))
            .service(service(http.clone()));
        let client = LayeredClient::new(stack);
        let request = http.post(url(address, "/")).body("an order");
        let error = within(client.send(request)).await.unwrap_err();
        let error = find::<reqwest::Error>(&*error).expect("reqwest's own error");
        assert!(error.is_connect());
        let outcomes: Vec<_> = ends.so_far().iter().map(|told| told.outcome).collect();
        assert_eq!(outcomes, vec![Outcome::Failure; attempts]);
    }
}

#[tokio::test(start_paused = true)]
async fn reqwest_timeout_of_a_request_ends_one_attempt() {
    let (address, _) = peer(0).await;
    let (witness, mut ends) = witness();
    let http = reqwest::Client::new();
    let stack = ServiceBuilder::new()
        .layer(retry())
        .layer(GuardLayer::client(witness))
        .service(service(http.clone()));
    let client = LayeredClient::new(stack);
    let request = http.get(url(address, "/hang"));
    let request = request.timeout(Duration::from_secs(1));
    let error = within(client.send(request)).await.unwrap_err();
    assert!(find::<reqwest::Error>(&*error).unwrap().is_timeout());
    let outcomes: Vec<_> = ends.so_far().iter().map(|told| told.outcome).collect();
    assert_eq!(outcomes, [Outcome::TimedOut; 3]);
}

#[tokio::test]
async fn reqwest_put_is_hedged_with_its_body() {
    let (address, calls) = peer(1).await;
    let hedge = Hedge::builder("reqwest").delay(Duration::from_secs(1));
    let hedge = HedgeLayer::client(hedge.build().unwrap());
    let http = reqwest::Client::new();
    let client = LayeredClient::new(hedge.layer(service(http.clone())));
    let request = http.put(url(address, "/")).json(&["an order"]);
    let response = within(client.send(request)).await.unwrap();
    let attempt = response.extensions().get::<Attempt>().unwrap();
    assert_eq!(attempt.number(), 2);
    assert_eq!(response.text().await.unwrap(), r#"["an order"]"#);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}
