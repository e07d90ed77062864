//! Requests reach the handler as they were sent.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get as on_get, post as on_post},
};
use http::Method;
use tower_keep::{GuardLayer, Outcome, observe};

use super::{fails, order};
use crate::{
    integration::tracked,
    support::{both_versions, get, guards::witness, meter::meter, serve, text},
};

#[tokio::test]
async fn request_body_passes_unchanged() {
    let app = Router::new()
        .route("/echo", on_post(|body: Bytes| async move { body }))
        .layer(observe("shop").server());
    let address = serve(app).await;
    let sent = "x".repeat(300_000);

    for (_, client) in both_versions() {
        let frames = tokio_stream::iter([Ok::<_, Infallible>(sent.clone()), Ok("end".into())]);
        let mut request = get(address, "/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = Body::from_stream(frames);
        let received = text(client.request(request).await.unwrap()).await;
        assert_eq!(received, format!("{sent}end"));
    }
}

/// The content type of a request is its sender's: with it, anybody could make a failure of every good answer, and
/// open the server's breakers.
#[tokio::test]
async fn grpc_content_type_on_plain_route_is_no_failure() {
    let meter = meter();
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .route("/fails", on_get(fails))
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;
    for (_, client) in both_versions() {
        for (path, outcome) in [
            ("/orders/7", Outcome::Success),
            ("/nowhere", Outcome::ClientError),
            ("/fails", Outcome::Failure),
        ] {
            let mut request = get(address, path);
            let grpc = "application/grpc".parse().unwrap();
            request.headers_mut().insert("content-type", grpc);
            text(client.request(request).await.unwrap()).await;
            assert_eq!(ends.next_outcome().await, outcome, "{path}");
        }
    }
    let kinds: Vec<_> = errors
        .groups()
        .iter()
        .map(|group| group.kind().to_owned())
        .collect();
    assert_eq!(kinds, ["500"]);
    // Nor does a path become a method's name by it.
    assert!(!meter.render().contains("orders/7"), "{}", meter.render());
}
