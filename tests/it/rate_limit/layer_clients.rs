//! Peers that say to the layer whose calls wait that they are called too often.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tower_keep::{
    Rejection,
    rate_limit::RateLimitLayer,
    testing::{Reply, ScriptedBody},
};

use super::{SECOND, call, grpc_request, limit, request};
use crate::support::meter::meter;

/// Returns how long the limit rejects calls after a reply whose body was read to its end.
async fn pause_after(request: Request<ScriptedBody>, reply: fn() -> Reply) -> Option<Duration> {
    let limit = limit(10);
    let layer = RateLimitLayer::client(limit.clone());
    if let Ok(response) = call(&layer, request, reply).await {
        let _ = response.into_body().collect().await;
    }
    limit.check().err()?.retry_after()
}

/// The status of a gRPC call that had a message came in the trailers, which the layer did not look at.
#[tokio::test(start_paused = true)]
async fn trailers_of_a_grpc_peer_empty_the_limit() {
    for (reply, pause) in [
        (
            (|| {
                Reply::ok()
                    .header("content-type", "application/grpc")
                    .data("x")
                    .trailers([("grpc-status", "8"), ("grpc-retry-pushback-ms", "2500")])
            }) as fn() -> Reply,
            Some(SECOND * 5 / 2),
        ),
        (
            || {
                Reply::ok()
                    .header("content-type", "application/grpc")
                    .data("x")
                    .trailers([("grpc-status", "8")])
            },
            Some(SECOND),
        ),
        (
            || {
                Reply::ok()
                    .header("content-type", "application/grpc")
                    .data("x")
                    .trailers([("grpc-status", "0")])
            },
            None,
        ),
        (
            || {
                Reply::ok()
                    .header("content-type", "application/grpc")
                    .data("x")
                    .trailers([("grpc-status", "14")])
            },
            None,
        ),
    ] {
        assert_eq!(pause_after(grpc_request(), reply).await, pause);
    }
    // Trailers of HTTP have no status.
    let plain = pause_after(request(), || {
        Reply::ok().data("x").trailers([("grpc-status", "8")])
    });
    assert_eq!(plain.await, None);
}

#[tokio::test(start_paused = true)]
async fn head_and_trailers_of_one_call_empty_the_limit_once() {
    let (limit, meter) = (limit(10), meter());
    let layer = RateLimitLayer::client(limit.clone());
    let reply = || {
        Reply::ok()
            .header("content-type", "application/grpc")
            .header("grpc-status", "8")
            .trailers([("grpc-status", "8")])
    };
    let response = call(&layer, grpc_request(), reply).await;
    let _ = response.expect("a response").into_body().collect().await;
    let labels = [("rate_limit", "peer")];
    let emptied = meter.sum("tower_keep_rate_limit_emptied_total", &labels);
    assert_eq!(emptied, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn trailers_of_a_server_empty_nothing() {
    let limit = limit(10);
    let layer = RateLimitLayer::server(limit.clone());
    let reply = || {
        Reply::ok()
            .header("content-type", "application/grpc")
            .data("x")
            .trailers([("grpc-status", "8")])
    };
    let response = call(&layer, grpc_request(), reply).await;
    let _ = response.expect("a response").into_body().collect().await;
    assert_eq!(limit.available(), 9);
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn status_of_tonic_as_an_error_empties_the_limit_of_the_layer() {
    use tower::{Layer, ServiceExt, service_fn};

    let limit = limit(10);
    let service = service_fn(|(): ()| async {
        let mut status = tonic::Status::resource_exhausted("too many");
        let pushback = "4000".parse().expect("a value");
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", pushback);
        Err::<(), _>(status)
    });
    let service = RateLimitLayer::any(limit.clone()).layer(service);
    service.oneshot(()).await.expect_err("exhausted");
    let rejection = limit.check().expect_err("empty");
    assert_eq!(rejection.retry_after(), Some(4 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn rejection_further_in_empties_nothing_as_an_error() {
    let limit = limit(10);
    let layer = RateLimitLayer::client(limit.clone());
    let reply = || Reply::error(Rejection::rate_limited("inner").with_retry_after(SECOND));
    call(&layer, request(), reply).await.expect_err("rejected");
    assert_eq!(limit.available(), 9);
}
