//! Rejections become responses, whoever rejects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get as on_get};
use http::StatusCode;
use tower::ServiceExt;
use tower_keep::{
    CircuitBreaker, GuardLayer, Observe, Outcome, Rejection, Track,
    context::{Correlate, Trust},
    observe,
};

use super::order;
use crate::{
    integration::tracked,
    support::{
        both_versions, connect1, connect2, get,
        guards::{Fuse, Told, witness},
        header, local,
        logs::logs,
        meter::meter,
        serve, text, within,
    },
};

#[tokio::test]
async fn rejection_response_has_ids_and_retry_after() {
    let (meter, logs) = (meter(), logs());
    let (track, errors) = tracked("shop");
    let guards = (Correlate::default(), (track, Fuse::blown()));
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .layer(GuardLayer::server(guards));
    let address = serve(app).await;

    for (version, client) in both_versions() {
        let mut request = get(address, "/orders/7");
        request
            .headers_mut()
            .insert("x-correlation-id", "mine".parse().unwrap());
        let response = client.request(request).await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(header(&response, "x-correlation-id"), Some("mine"));
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(header(&response, "retry-after"), Some("2"));
        assert_eq!(
            header(&response, "content-type"),
            Some("application/problem+json")
        );
        let length = header(&response, "content-length").unwrap().parse();
        let body = text(response).await;
        assert_eq!(length, Ok(body.len()), "{version}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], 503);
        assert!(!body.contains("fuse"), "guards are not named to strangers");
    }
    assert_eq!(meter.calls(&[("outcome", "rejected")]), 2.0);
    assert_eq!(errors.total(), 0, "a rejection is no error");
    let line = &logs.calls()[0];
    assert_eq!(
        (line.get("outcome"), line.get("status")),
        ("rejected", "503")
    );
    assert_eq!(line.level, tracing::Level::WARN);
}

#[tokio::test]
async fn guard_state_is_shared_across_connections() {
    let fuse = Fuse::blows_after(4);
    let sick = Arc::new(AtomicBool::new(true));
    let state = sick.clone();
    let app = Router::new()
        .route("/orders/{id}", on_get(order))
        .route(
            "/maybe",
            on_get(move || {
                let sick = sick.load(Ordering::SeqCst);
                async move {
                    if sick {
                        StatusCode::INTERNAL_SERVER_ERROR
                    } else {
                        StatusCode::OK
                    }
                }
            }),
        )
        .layer(GuardLayer::server(fuse.clone()));
    let address = serve(app.clone()).await;

    // Two failures without any connection, on two clones of the service...
    for _ in 0..2 {
        let response = app.clone().oneshot(local("/maybe")).await.unwrap();
        assert_eq!(response.status(), 500);
    }
    // ...and one on each of two connections.
    let mut one = connect1(address).await;
    let mut two = connect2(address).await;
    assert_eq!(
        one.send_request(get(address, "/maybe"))
            .await
            .unwrap()
            .status(),
        500
    );
    assert_eq!(
        two.send_request(get(address, "/maybe"))
            .await
            .unwrap()
            .status(),
        500
    );
    assert!(fuse.is_blown());
    state.store(false, Ordering::SeqCst);

    // Everybody is rejected: old connections, new ones, and other routes of the same router.
    within(one.ready()).await.unwrap();
    for path in ["/maybe", "/orders/7"] {
        let response = two.send_request(get(address, path)).await.unwrap();
        assert_eq!(response.status(), 503);
        let response = connect1(address)
            .await
            .send_request(get(address, path))
            .await
            .unwrap();
        assert_eq!(response.status(), 503);
        let response = app.clone().oneshot(local(path)).await.unwrap();
        assert_eq!(response.status(), 503);
    }
    assert_eq!(
        one.send_request(get(address, "/maybe"))
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!((fuse.admitted(), fuse.failures()), (4, 4));
}

#[tokio::test]
async fn handler_can_return_a_rejection() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("shop");
    let closed = async || {
        let why = Rejection::rate_limited("till").with_retry_after(Duration::from_secs(3));
        Err::<(), _>(why)
    };
    let app = Router::new()
        .route("/pay", on_get(closed))
        .layer(GuardLayer::server((witness, track)));
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/pay")).await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after"), Some("3"));
        text(response).await;
        let told = ends.next().await;
        assert_eq!(told.outcome, Outcome::Rejected);
        assert_eq!(
            told.cause,
            r#"rejected by "till": rate_limited; retry after 3 s"#
        );
    }
    assert_eq!(errors.total(), 0);
}

#[tokio::test]
async fn inner_rejection_is_rejected_for_every_layer() {
    let (outer, mut outer_ends) = witness();
    let (inner, mut inner_ends) = witness();
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(order).layer(GuardLayer::server((inner, Fuse::blown()))),
        )
        .layer(GuardLayer::server(outer));
    let address = serve(app).await;

    for (_, client) in both_versions() {
        text(client.request(get(address, "/orders/7")).await.unwrap()).await;
        for ends in [&mut outer_ends, &mut inner_ends] {
            let Told { outcome, cause, .. } = ends.next().await;
            assert_eq!(outcome, Outcome::Rejected);
            assert_eq!(
                cause,
                r#"rejected by "fuse": circuit_open; retry after 1.5 s"#
            );
        }
    }
}

/// Returns the problem bodies of a layer, a handler and a pair of guards that reject.
async fn rejected_bodies(observe: Observe, correlate: Correlate) -> [String; 3] {
    let breaker = CircuitBreaker::new("stock");
    breaker.force_open();
    let handler = || async {
        let why = Rejection::rate_limited("quota").with_key("tenant 7");
        why.with_last_error("password is wrong")
    };
    let guarded = on_get(|| async { "in stock" }).layer(breaker.layer().server());
    let pair = (correlate, (Track::new("pair"), Fuse::blown()));
    let app = Router::new()
        .route("/layer", guarded)
        .route("/handler", on_get(handler))
        .layer(observe.server());
    let alone = Router::new()
        .route("/pair", on_get(|| async { "alone" }))
        .layer(GuardLayer::server(pair));
    let app = app.merge(alone);
    let body = async |path| text(app.clone().oneshot(local(path)).await.unwrap()).await;
    [
        body("/layer").await,
        body("/handler").await,
        body("/pair").await,
    ]
}

#[tokio::test]
async fn rejection_details_are_shown_for_a_whole_service() {
    let correlate = Correlate::builder().rejection_details(true).build();
    let observe = observe("shop").rejection_details(true);
    let [layer, handler, pair] = rejected_bodies(observe, correlate.unwrap()).await;
    assert!(
        layer.contains(r#""kind":"circuit_open","guard":"stock","reason":"forced_open""#),
        "{layer}"
    );
    assert!(
        handler.contains(r#""guard":"quota","key":"tenant 7""#),
        "{handler}"
    );
    assert!(!handler.contains("password"), "{handler}");
    assert!(pair.contains(r#""guard":"fuse""#), "{pair}");
}

#[tokio::test]
async fn rejection_details_are_hidden_by_default_and_from_untrusted_callers() {
    let strangers = Correlate::builder()
        .trust(Trust::never())
        .rejection_details(true);
    let strangers = strangers.build().unwrap();
    let stranger = observe("shop").correlate(strangers.clone());
    let off = observe("shop")
        .rejection_details(true)
        .rejection_details(false);
    for (observe, correlate) in [
        (observe("shop"), Correlate::default()),
        (stranger.clone(), strangers.clone()),
        (stranger.rejection_details(true), strangers),
        (off, Correlate::default()),
    ] {
        for body in rejected_bodies(observe, correlate).await {
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(
                problem["detail"].is_string() && problem.get("guard").is_none(),
                "{body}"
            );
        }
    }
}
