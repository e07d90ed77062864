//! The pages for whoever runs the gateway, on a port of their own.

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use tower_keep::ops::recorder::{Format, Recorder};
use tower_keep::ops::{Access, Ops};
use tower_keep::{ErrorTracker, registry};

const PAGES: &str = "\
/ops/      the console, for whoever has a login link or a token
/metrics   Prometheus text, or OpenMetrics for whoever prefers it
/livez     200 as long as the process answers
/readyz    200 while new calls are welcome, else 503
/startupz  200 since everything listens
/errors    what went wrong lately, as JSON
/guards    each guard, its state and its figures, as JSON
";
const TEXT: &str = "text/plain; charset=utf-8";

/// Makes the routes of all pages.
pub fn router(ops: &Ops, access: Access) -> Router {
    let recorder = ops.recorder().clone();
    let metrics = async move |headers: HeaderMap| metrics(&recorder, &headers);
    let guards = async || json(&registry::snapshots());
    // Each group with its first and its latest sample.
    let errors = async || json(&ErrorTracker::global().groups());
    Router::new()
        .route("/", get(async || page(TEXT, PAGES)))
        .route("/metrics", get(metrics))
        .route("/errors", get(errors))
        .route("/guards", get(guards))
        .route("/ops", get(async || Redirect::permanent("ops/")))
        .merge(ops.probes())
        .nest("/ops/", ops.console(access))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page; / lists them\n"))
}

fn metrics(recorder: &Recorder, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    page(format.content_type(), recorder.render(format))
}

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => page("application/json", text + "\n"),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn page(kind: &'static str, body: impl IntoResponse) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http::header::ALLOW;
    use tower::util::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn admin_answers_every_page_it_lists() {
        let router = router(&ops(), Access::login_links());
        let listed = PAGES.lines().filter_map(|line| line.split(' ').next());
        for path in listed.chain(["/"]) {
            let status = get(&router, path, "*/*").await.status();
            let expected = match path {
                "/ops/" => StatusCode::UNAUTHORIZED,
                _ => StatusCode::OK,
            };
            assert_eq!(status, expected, "{path}");
        }
        let missing = get(&router, "/metrics/", "*/*").await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let moved = get(&router, "/ops", "*/*").await;
        assert_eq!(moved.headers()["location"], "ops/");
    }

    #[tokio::test]
    async fn metrics_come_in_the_format_that_is_asked_for() {
        let router = router(&ops(), Access::login_links());
        for (accept, kind) in [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
            (
                "application/openmetrics-text;version=1.0.0",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
        ] {
            let response = get(&router, "/metrics", accept).await;
            assert_eq!(response.headers()[CONTENT_TYPE], kind);
        }
    }

    #[tokio::test]
    async fn admin_is_not_ready_during_shutdown() {
        let ops = ops();
        let router = router(&ops, Access::login_links());
        ops.health().begin_shutdown();
        let response = get(&router, "/readyz", "*/*").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn pages_are_read_only() {
        let router = router(&ops(), Access::login_links());
        for path in ["/metrics", "/guards", "/errors"] {
            let request = Request::post(path).body(Body::empty()).expect("a request");
            let Ok(response) = router.clone().oneshot(request).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[ALLOW], "GET,HEAD");
        }
    }

    async fn get(router: &Router, path: &str, accept: &str) -> Response {
        let request = Request::get(path).header(ACCEPT, accept);
        let request = request.body(Body::empty()).expect("a request");
        let Ok(response) = router.clone().oneshot(request).await;
        response
    }

    /// Without its tasks: nothing is checked.
    fn ops() -> Ops {
        Ops::builder("gateway").build().expect("valid settings")
    }
}
