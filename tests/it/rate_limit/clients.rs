//! Peers that say that they are called too often.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::time::advance;
use tower_keep::{
    GuardLayer, Rejection,
    rate_limit::RateLimit,
    testing::{Reply, ScriptedBody},
};

use super::{SECOND, builder, call, grpc_request, limit, request};
use crate::support::meter::meter;

/// Returns how long the limit rejects calls after this reply.
async fn pause_after(
    limit: &RateLimit,
    request: Request<ScriptedBody>,
    reply: fn() -> Reply,
) -> Option<Duration> {
    limit.reset();
    if let Ok(response) = call(&limit.layer().client(), request, reply).await {
        let _ = response.into_body().collect().await;
    }
    limit.check().err()?.retry_after()
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_empty_the_limit_for_as_long_as_the_peer_asks() {
    let (limit, meter) = (limit(10), meter());
    let pause = pause_after(&limit, request(), || {
        Reply::status(429).header("retry-after", "7")
    });
    assert_eq!(pause.await, Some(7 * SECOND));
    advance(7 * SECOND).await;
    limit.check().expect("the pause is over");
    assert_eq!(
        limit.check().expect_err("empty").retry_after(),
        Some(SECOND)
    );
    let emptied = meter.sum(
        "tower_keep_rate_limit_emptied_total",
        &[("rate_limit", "peer")],
    );
    assert_eq!(emptied, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn pauses_have_a_bound_and_a_default() {
    let limit = limit(10);
    for (reply, pause) in [
        (
            (|| Reply::status(429).header("retry-after", "3600")) as fn() -> Reply,
            30 * SECOND,
        ),
        (|| Reply::status(429), SECOND),
        (|| Reply::status(429).header("retry-after", "soon"), SECOND),
    ] {
        let paused = pause_after(&limit, request(), reply).await;
        assert_eq!(paused, Some(pause));
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_peers_empty_the_limit_in_head_trailers_or_error() {
    let limit = limit(10);
    for (reply, pause) in [
        (
            (|| {
                Reply::ok()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "8")
                    .header("grpc-retry-pushback-ms", "2500")
            }) as fn() -> Reply,
            SECOND * 5 / 2,
        ),
        (
            || {
                Reply::ok()
                    .header("content-type", "application/grpc")
                    .data("x")
                    .trailers([("grpc-status", "8")])
            },
            SECOND,
        ),
    ] {
        let paused = pause_after(&limit, grpc_request(), reply).await;
        assert_eq!(paused, Some(pause));
    }
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn status_of_tonic_as_an_error_empties_the_limit() {
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
    let service = limit.layer().any().layer(service);
    service.oneshot(()).await.expect_err("exhausted");
    let rejection = limit.check().expect_err("empty");
    assert_eq!(rejection.retry_after(), Some(4 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_limit_of_the_peer_empty_nothing() {
    let limit = limit(10);
    for reply in [
        (|| Reply::ok().header("retry-after", "7")) as fn() -> Reply,
        || Reply::status(503).header("retry-after", "7"),
        || Reply::status(500),
        || Reply::status(404),
        || Reply::error("reset"),
        // What a guard further in has rejected.
        || Reply::status(429).extension(Rejection::rate_limited("inner")),
        || Reply::error(Rejection::rate_limited("inner").with_retry_after(SECOND)),
    ] {
        assert_eq!(pause_after(&limit, request(), reply).await, None);
        assert_eq!(limit.available(), 8);
    }
    for reply in [
        (|| Reply::grpc(14).header("grpc-retry-pushback-ms", "2500")) as fn() -> Reply,
        || Reply::grpc(0),
    ] {
        assert_eq!(pause_after(&limit, grpc_request(), reply).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn servers_and_limits_without_a_pause_obey_no_peer() {
    let limit = limit(10);
    let reply = || Reply::status(429).header("retry-after", "7");
    let server = GuardLayer::server(limit.clone());
    call(&server, request(), reply).await.expect("a response");
    assert_eq!(limit.available(), 9);
    let limit = builder(10).max_pause(None).build().expect("valid");
    assert_eq!(pause_after(&limit, request(), reply).await, None);
    let mut settings = limit.settings();
    settings.max_pause = Some(3 * SECOND);
    limit.apply(&settings).expect("valid");
    assert_eq!(
        pause_after(&limit, request(), reply).await,
        Some(3 * SECOND)
    );
}
