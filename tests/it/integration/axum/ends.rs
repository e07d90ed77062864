//! Calls that end with a body, a disconnect, an error or the server.

use std::{convert::Infallible, future::pending, sync::Arc};

use axum::{Router, body::Body, routing::get as on_get};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{Notify, mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower_keep::{GuardLayer, Outcome};

use super::{TornPage, is_cut_short};
use crate::{
    integration::tracked,
    support::{both_versions, connect1, get, guards::witness, header, listen, serve, text, within},
};

#[tokio::test]
async fn body_ends_with_its_last_frame() {
    let (witness, mut ends) = witness();
    let app = Router::new()
        .route("/known", on_get(|| async { "four" }))
        .route("/empty", on_get(|| async {}))
        .route("/nothing", on_get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/fresh",
            on_get(|| async { (StatusCode::NOT_MODIFIED, "unsent") }),
        )
        .route(
            "/streamed",
            on_get(|| async {
                let frames = tokio_stream::iter(["on", "e ", "by one"]);
                Body::from_stream(frames.map(Ok::<_, Infallible>))
            }),
        )
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;

    for (_, client) in both_versions() {
        for (path, status, bytes) in [
            ("/known", 200, 4),
            ("/empty", 200, 0),
            ("/nothing", 204, 0),
            ("/fresh", 304, 0),
            ("/streamed", 200, 10),
        ] {
            let response = client.request(get(address, path)).await.unwrap();
            assert_eq!(response.status(), status);
            text(response).await;
            let told = ends.next().await;
            assert_eq!(told.outcome, Outcome::Success, "{path}");
            assert_eq!(told.status.unwrap(), status);
            assert_eq!(told.response_bytes, bytes, "{path}");
        }
        let mut head = get(address, "/known");
        *head.method_mut() = Method::HEAD;
        let response = client.request(head).await.unwrap();
        assert_eq!(header(&response, "content-length"), Some("4"));
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
    assert_eq!(ends.so_far(), []);
}

#[tokio::test]
async fn client_disconnect_before_head_cancels_call() {
    let (witness, mut ends) = witness();
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let app = Router::new()
        .route(
            "/never",
            on_get(move || async move {
                arrives.notify_one();
                pending::<()>().await
            }),
        )
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        let call = tokio::spawn(client.request(get(address, "/never")));
        within(arrived.notified()).await;
        call.abort();
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.status),
            (Outcome::Cancelled, None),
            "{version}"
        );
    }
}

#[tokio::test]
async fn client_disconnect_in_body_cancels_call() {
    let (witness, mut ends) = witness();
    let app = Router::new()
        .route(
            "/ticks",
            on_get(|| async {
                let (sender, ticks) = mpsc::channel(1);
                sender.send(Ok::<_, Infallible>("tick")).await.unwrap();
                // Never closed: only the client can end it.
                tokio::spawn(async move { sender.closed().await });
                Body::from_stream(ReceiverStream::new(ticks))
            }),
        )
        .layer(GuardLayer::server(witness));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        let mut body = client
            .request(get(address, "/ticks"))
            .await
            .unwrap()
            .into_body();
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "tick");
        drop((body, client));
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Cancelled, "{version}");
        assert_eq!(told.response_bytes, 4);
    }
}

#[tokio::test]
async fn body_error_after_good_head_is_a_failure() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let app = Router::new()
        .route(
            "/torn",
            on_get(|| async {
                let frames = tokio_stream::iter([Ok("half"), Err(TornPage(7))]);
                Body::from_stream(frames)
            }),
        )
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        assert!(is_cut_short(&client, get(address, "/torn")).await);
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Failure, "{version}");
        assert!(told.cause.contains("page 7 is torn"), "{}", told.cause);
    }
    let [group] = &errors.groups()[..] else {
        panic!("{:#?}", errors.groups())
    };
    assert_eq!((group.count(), group.route()), (2, Some("/torn")));
    assert_eq!(
        (group.kind(), group.message()),
        ("TornPage", "page <num> is torn")
    );
}

#[tokio::test]
async fn graceful_shutdown_waits_for_guarded_bodies() {
    let (witness, mut ends) = witness();
    let (sender, chunks) = mpsc::channel::<Result<&'static str, Infallible>>(1);
    let chunks = Arc::new(std::sync::Mutex::new(Some(chunks)));
    let app = Router::new()
        .route(
            "/slow",
            on_get(move || {
                let chunks = chunks.lock().unwrap().take().unwrap();
                async { Body::from_stream(ReceiverStream::new(chunks)) }
            }),
        )
        .layer(GuardLayer::server(witness));
    let (listener, address) = listen().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let server = axum::serve(listener, app);
        server
            .with_graceful_shutdown(async { stopped.await.unwrap() })
            .await
    });

    let mut sender1 = connect1(address).await;
    let response = sender1.send_request(get(address, "/slow")).await.unwrap();
    stop.send(()).unwrap();
    sender.send(Ok("last words")).await.unwrap();
    drop(sender);
    assert_eq!(text(response).await, "last words");
    assert_eq!(ends.next_outcome().await, Outcome::Success);
    within(server).await.unwrap().unwrap();
}
