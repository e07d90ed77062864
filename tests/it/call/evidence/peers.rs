//! Peers that go away, that refuse what they are asked, or that are not even reached: what circuits and callers make of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Path, routing::any};
use http::{Request, StatusCode};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::Semaphore;
use tower::{ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_keep::{
    breaker::CircuitState,
    retry::{Backoff, ReplayBody, Retry, RetryLayer},
    timeout::TimeoutLayer,
};

use super::breakers::{breaker, readme_client};
use crate::support::{
    both_versions,
    frames::{Act, Frames},
    get, serve, within,
};

const SECOND: Duration = Duration::from_secs(1);

/// An HTTP/2 server that shuts down, as politely as it can: of twenty calls under way it has looked at none.
#[tokio::test]
async fn graceful_goaway_loses_no_call_and_opens_no_circuit() {
    const CALLS: usize = 20;
    let (server, address) = Frames::leave_politely(CALLS).await;
    let breaker = breaker();
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<ReplayBody<Body>>();
    let retry = Retry::builder("peer").backoff(Backoff::constant(Duration::ZERO));
    let retry = RetryLayer::client(retry.build().expect("sound settings")).retry_unsent(true);
    let client = ServiceBuilder::new()
        .layer(retry)
        .layer(breaker.layer().client())
        .service(client);
    let calls = (0..CALLS).map(|_| {
        let request = Request::post(format!("http://{address}/"));
        let request = request.body(Body::from("an order")).expect("a request");
        client.clone().oneshot(request)
    });
    let answers = within(futures_util::future::join_all(calls)).await;
    for answer in answers {
        assert_eq!(answer.expect("it was sent again").status(), 200);
    }
    assert_eq!(server.bodies(), vec![b"an order"; 2 * CALLS]);
    assert_eq!(breaker.state(), CircuitState::Closed);
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (CALLS as u64, 0));
}

#[tokio::test]
async fn unsupported_request_is_sent_once_without_opening() {
    let seen = Arc::new(AtomicU32::new(0));
    let counted = seen.clone();
    let app = Router::new().route(
        "/{status}",
        any(async move |Path(status): Path<u16>| {
            counted.fetch_add(1, Ordering::SeqCst);
            StatusCode::from_u16(status).expect("a status")
        }),
    );
    let address = serve(app).await;
    for two in [false, true] {
        for status in [501, 505, 506, 508, 510, 511] {
            let breaker = breaker();
            let client = readme_client(&breaker, two, 10 * SECOND);
            for method in ["POST", "GET"] {
                for _ in 0..10 {
                    let mut request = get(address, &format!("/{status}"));
                    *request.method_mut() = method.parse().expect("a method");
                    let answer = within(client.clone().oneshot(request)).await;
                    assert_eq!(answer.expect("an answer").status(), status);
                }
                assert_eq!(seen.swap(0, Ordering::SeqCst), 10, "{method} {status}");
            }
            assert_eq!(breaker.state(), CircuitState::Closed, "{status}");
            assert_eq!(breaker.counts().failures, 0, "{status}");
        }
    }
}

#[tokio::test]
async fn unsendable_requests_open_no_circuit() {
    let address = serve(Router::new().fallback(async || "well")).await;
    for two in [false, true] {
        for uri in ["/relative", "ftp://a.example/orders", "a.example:443"] {
            let breaker = breaker();
            let client = readme_client(&breaker, two, 10 * SECOND);
            for _ in 0..10 {
                let request = Request::post(uri).body(Body::empty()).expect("a request");
                within(client.clone().oneshot(request))
                    .await
                    .expect_err("nowhere to go");
            }
            assert_eq!(
                breaker.state(),
                CircuitState::Closed,
                "{uri}, HTTP/2: {two}"
            );
            assert_eq!(breaker.counts().calls, 0, "{uri}, HTTP/2: {two}");
            let answer = within(client.oneshot(get(address, "/"))).await;
            assert_eq!(answer.expect("an answer").status(), 200);
        }
    }
}

/// Load that is shed in this process says nothing of the peer.
#[tokio::test]
async fn local_load_shed_opens_no_circuit() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let app = Router::new().fallback(async move || {
        closed.acquire().await.expect("an open gate").forget();
        "well"
    });
    let address = serve(app).await;
    for (version, client) in both_versions() {
        let breaker = breaker();
        let client = ServiceBuilder::new()
            .layer(breaker.layer().client())
            .layer(LoadShedLayer::new())
            .layer(ConcurrencyLimitLayer::new(10))
            .service(client);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            calls.spawn(client.clone().oneshot(get(address, "/")));
        }
        for _ in 0..30 {
            let shed = within(calls.join_next()).await.expect("a call");
            shed.expect("no panic").expect_err("too many at once");
        }
        gate.add_permits(11);
        while let Some(answer) = within(calls.join_next()).await {
            assert_eq!(answer.expect("no panic").expect("an answer").status(), 200);
        }
        assert_eq!(breaker.state(), CircuitState::Closed, "{version}");
        let answer = within(client.oneshot(get(address, "/"))).await;
        assert_eq!(answer.expect("an answer").status(), 200);
        let counts = breaker.counts();
        assert_eq!((counts.calls, counts.failures), (11, 0), "{version}");
    }
}

/// A connection of HTTP/2 that is dead, since its packets vanish, swallows every call that the pool gives it, for as
/// long as TCP goes on hoping: a quarter of an hour. A time limit alone does not help: the next attempt is given the
/// same connection. What helps are pings, after which the pool has that connection no more:
///
/// ```ignore
/// let client = Client::builder(TokioExecutor::new())
///     .timer(TokioTimer::new())
///     .http2_only(true)
///     .http2_keep_alive_interval(Duration::from_secs(5)) // half of an attempt's time, interval and timeout together
///     .http2_keep_alive_timeout(Duration::from_secs(2))
///     .build_http::<ReplayBody<_>>();
/// let client = ServiceBuilder::new()
///     .layer(TimeoutLayer::client(Duration::from_secs(30)))
///     .layer(RetryLayer::client(Retry::new("payments")))
///     .layer(breaker.layer().client())
///     .layer(TimeoutLayer::client(Duration::from_secs(10)))
///     .service(client);
/// ```
#[tokio::test]
async fn dead_connection_is_replaced_after_missed_pings() {
    let (server, address) = Frames::serve([Act::AnswerAndVanish, Act::Answer]).await;
    let breaker = breaker();
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_keep_alive_interval(Duration::from_millis(500))
        .http2_keep_alive_timeout(Duration::from_millis(500))
        .build_http::<ReplayBody<Body>>();
    let retry = Retry::builder("peer").backoff(Backoff::constant(Duration::ZERO));
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::client(30 * SECOND))
        .layer(RetryLayer::client(retry.build().expect("sound settings")))
        .layer(breaker.layer().client())
        .layer(TimeoutLayer::client(10 * SECOND))
        .service(client);
    for _ in 0..2 {
        let answer = within(client.clone().oneshot(get(address, "/"))).await;
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    assert_eq!(server.bodies().len(), 2, "each was answered once");
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (3, 1));
}
