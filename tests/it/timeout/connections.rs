//! Deadlines over real connections.

use std::time::Duration;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{HeaderName, StatusCode};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt};
use tower_keep::{
    GuardLayer, Outcome,
    context::{Correlate, Propagate, deadline},
    timeout::{Deadline, TimeoutLayer},
};

use crate::support::{HyperClient, get as request, guards::witness, http1, http2, serve, within};

const LEFT: HeaderName = HeaderName::from_static("x-time-left-ms");

#[derive(Clone)]
struct Hop {
    client: HyperClient,
    next: Option<std::net::SocketAddr>,
    told: mpsc::UnboundedSender<Duration>,
}

/// Says how long it has, and asks the next.
async fn hop(State(hop): State<Hop>) -> impl IntoResponse {
    let left = deadline().map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
    let _ = hop.told.send(left.unwrap_or(Duration::MAX));
    let Some(next) = hop.next else {
        return StatusCode::OK;
    };
    let client = TimeoutLayer::client(Duration::from_secs(60))
        .timeout_header(LEFT)
        .layer(hop.client);
    let client = GuardLayer::client(Propagate::default()).layer(client);
    match client.oneshot(request(next, "/")).await {
        Ok(response) => response.status(),
        Err(_) => StatusCode::BAD_GATEWAY,
    }
}

#[tokio::test]
async fn deadline_shrinks_from_hop_to_hop() {
    for (version, client) in [("1.1", http1()), ("2", http2())] {
        let (told, mut times) = mpsc::unbounded_channel();
        let server = |next| {
            let (client, told) = (client.clone(), told.clone());
            let guards = (
                Correlate::default(),
                Deadline::builder("deadline")
                    .timeout_header(LEFT)
                    .build()
                    .expect("settings"),
            );
            let app = Router::new()
                .route("/", get(hop))
                .with_state(Hop { client, next, told });
            serve(app.layer(GuardLayer::server(guards)))
        };
        let third = server(None).await;
        let second = server(Some(third)).await;
        let first = server(Some(second)).await;
        let client = TimeoutLayer::client(Duration::from_secs(20))
            .timeout_header(LEFT)
            .send_limit()
            .send_limit()
            .layer(client.clone());
        let response = within(client.oneshot(request(first, "/")))
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200, "HTTP/{version}");
        let mut before = Duration::from_secs(20);
        for _ in 0..3 {
            let left = within(times.recv()).await.expect("a hop");
            assert!(left < before, "{left:?} of {before:?} over HTTP/{version}");
            assert!(
                left > Duration::from_secs(10),
                "the clock ran away: {left:?}"
            );
            before = left;
        }
    }
}

#[tokio::test]
async fn timeout_of_handler_keeps_connection() {
    let (witness, mut ends) = witness();
    let app = Router::new()
        .route("/hangs", get(std::future::pending::<StatusCode>))
        .route("/works", get(async || "works"))
        .layer(TimeoutLayer::server(Duration::from_millis(50)))
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;
    for client in [http1(), http2()] {
        let late = within(client.request(request(address, "/hangs")))
            .await
            .expect("an answer");
        assert_eq!(late.status(), 504);
        assert_eq!(ends.next_outcome().await, Outcome::TimedOut);
        let good = within(client.request(request(address, "/works")))
            .await
            .expect("an answer");
        assert_eq!(good.status(), 200);
        assert_eq!(crate::support::text(good).await, "works");
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
}
