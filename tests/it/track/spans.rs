//! The span of a call.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get as on_get};
use tower::ServiceExt;
use tower_keep::{Context, observe, track::SpanLevel};
use tracing::Level;

use super::{guarded, track};
use crate::support::{both_versions, get, header, http1, local, logs::logs, serve, text};

#[tokio::test]
async fn span_accepts_fields_of_handler() {
    let logs = logs();
    let app = Router::new()
        .route(
            "/orders/{id}",
            on_get(async || {
                tracing::info!(target: "shop", "in the handler");
                tokio::task::yield_now().await;
                tracing::info!(target: "shop", "after a wait");
            }),
        )
        .layer(observe(track().build().unwrap()).server());
    let address = serve(app).await;
    for (version, client) in both_versions() {
        let response = client.request(get(address, "/orders/7")).await.unwrap();
        let request_id = header(&response, "x-request-id").unwrap();
        let spans = logs.call_spans();
        let span = spans.last().unwrap();
        for (field, value) in [
            ("otel.name", "GET /orders/{id}"),
            ("otel.kind", "server"),
            ("http.request.method", "GET"),
            ("http.route", "/orders/{id}"),
            ("http.response.status_code", "200"),
            ("url.path", "/orders/7"),
            ("url.scheme", "http"),
            ("network.protocol.version", version),
            ("outcome", "success"),
            ("request_id", request_id),
            ("error.type", ""),
            ("otel.status_code", ""),
        ] {
            assert_eq!(span.get(field), value, "{field} over {version}");
        }
        assert_eq!((span.level, span.closed), (Level::INFO, true));
    }
    let positions: BTreeSet<_> = logs.events("shop").iter().map(|event| event.span).collect();
    assert_eq!(logs.events("shop").len(), 4);
    assert_eq!(positions.len(), 2, "each call has a span of its own");
    assert!(!positions.contains(&None));
}

#[tokio::test]
async fn span_records_error() {
    let logs = logs();
    let address = serve(guarded(track())).await;
    for (path, error, status) in [
        ("/status/500", "500", "ERROR"),
        ("/panics", "panic", "ERROR"),
        ("/status/404", "", ""),
    ] {
        text(http1().request(get(address, path)).await.unwrap()).await;
        let spans = logs.call_spans();
        let span = spans.last().unwrap();
        assert_eq!(span.get("error.type"), error, "{path}");
        assert_eq!(span.get("otel.status_code"), status, "{path}");
    }
}

#[tokio::test]
async fn span_level_is_configurable_with_hooks() {
    for (level, expected) in [
        (SpanLevel::Info, vec![Level::INFO]),
        (SpanLevel::Debug, vec![Level::DEBUG]),
        (SpanLevel::Off, vec![]),
    ] {
        let logs = logs();
        let seen = Arc::new(Mutex::new(0));
        let see = seen.clone();
        let hook = move |span: &tracing::Span| {
            assert!(Context::current().is_some());
            span.record("outcome", "seen by the hook");
            *see.lock().unwrap() += 1;
        };
        let app = guarded(track().span_level(level).on_span(hook));
        let response = app.oneshot(local("/orders/7")).await.unwrap();
        assert_eq!(logs.call_spans().len(), expected.len());
        assert!(
            logs.call_spans()
                .iter()
                .all(|span| span.get("outcome") == "seen by the hook")
        );
        text(response).await;
        let levels: Vec<_> = logs.call_spans().iter().map(|span| span.level).collect();
        assert_eq!(levels, expected);
        assert_eq!(*seen.lock().unwrap(), expected.len());
        assert_eq!(logs.calls().len(), 1);
    }
}
