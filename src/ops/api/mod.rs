//! The JSON API, version 1, with the page and live push. One file per resource; `openapi.json` describes them all.

mod alerts;
mod calls;
mod channels;
mod control;
mod errors;
mod gate;
mod guards;
mod health;
mod journal;
mod live;
mod log_level;
mod login;
mod logs;
mod metrics;
mod operations;
mod operator;
mod overview;
mod page;
mod params;
mod path;
mod problem;
mod routes;
mod rows;
mod rules;
mod scrape;
pub(super) mod sections;
mod silences;
mod state;
mod status;
mod telling;
#[cfg(feature = "ops-logs")]
mod trace_detail;
#[cfg(feature = "ops-logs")]
mod trace_span;
#[cfg(feature = "ops-logs")]
pub(super) mod traces;
mod workflows;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, StatusCode, header};

use super::{Access, core::Core};
use problem::{ApiResult, Problem};
use state::ApiState;

/// The description of the API for programs.
const OPENAPI: &str = include_str!("openapi.json");

/// Returns the routes of the console.
pub(super) fn router<S: Clone + Send + Sync + 'static>(
    core: Arc<Core>,
    access: Access,
) -> Router<S> {
    let state = ApiState::new(core, access);
    let add = |router: Router<ApiState>, (path, methods)| router.route(path, methods);
    let closed = resources().into_iter().chain(page::files());
    #[cfg(feature = "ops-logs")]
    let closed = closed.chain(traces::resources());
    closed
        .fold(Router::new(), add)
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), gate::require_identity))
        // What follows is open: it says nothing and lets in.
        .route("/login", login().fallback(method_not_allowed))
        .layer(DefaultBodyLimit::max(path::MAX_BODY))
        .layer(from_fn(gate::add_headers))
        .with_state(state)
}

/// A path with what its methods do.
type Route = (&'static str, MethodRouter<ApiState>);

/// Returns the resources of the API, in the order of `openapi.json`. All of them need an identity.
fn resources() -> Vec<Route> {
    vec![
        ("/api/v1/status", get(status::get)),
        ("/api/v1/overview", get(overview::get)),
        ("/api/v1/routes", get(routes::get)),
        ("/api/v1/operations", get(operations::get)),
        ("/api/v1/guards", get(guards::list)),
        ("/api/v1/guards/{kind}/{name}", get(guards::detail)),
        ("/api/v1/guards/{kind}/{name}/control", post(control::guard)),
        (
            "/api/v1/guards/{kind}/{name}/settings",
            post(control::setting),
        ),
        ("/api/v1/health", get(health::list)),
        ("/api/v1/health/{name}", get(health::detail)),
        ("/api/v1/errors", get(errors::list)),
        (
            "/api/v1/errors/{fingerprint}",
            get(errors::detail).post(control::error),
        ),
        ("/api/v1/alerts", get(alerts::list)),
        ("/api/v1/alerts/{fingerprint}", get(alerts::detail)),
        (
            "/api/v1/alerts/{fingerprint}/acknowledge",
            post(alerts::acknowledge),
        ),
        (
            "/api/v1/alerts/{fingerprint}/resolve",
            post(alerts::resolve),
        ),
        (
            "/api/v1/silences",
            get(silences::list).post(silences::create),
        ),
        ("/api/v1/silences/{id}/end", post(silences::end)),
        ("/api/v1/rules", get(rules::list)),
        ("/api/v1/calls", get(calls::get)),
        ("/api/v1/metrics", get(metrics::families)),
        ("/api/v1/metrics/query", get(metrics::query)),
        ("/api/v1/metrics/{name}", get(metrics::detail)),
        ("/api/v1/workflows", get(workflows::list)),
        ("/api/v1/workflows/statistics", get(workflows::statistics)),
        ("/api/v1/workflows/{id}", get(workflows::detail)),
        ("/api/v1/journal", get(journal::get)),
        ("/api/v1/logs", get(logs::get)),
        (
            "/api/v1/log-level",
            get(log_level::get).post(log_level::post),
        ),
        ("/api/v1/channels", get(channels::list)),
        ("/api/v1/channels/{name}/test", post(channels::test)),
        (
            "/api/v1/channels/{name}/deliveries",
            get(channels::deliveries),
        ),
        (
            "/api/v1/channels/{name}/deliveries/{id}/retry",
            post(channels::retry),
        ),
        ("/api/v1/live", get(live::socket)),
        ("/api/v1/events", get(live::events)),
        ("/api/v1/openapi.json", get(openapi)),
        ("/health", get(health::document)),
        ("/metrics", get(scrape::get)),
        ("/logout", post(login::logout)),
    ]
}

fn login() -> MethodRouter<ApiState> {
    get(login::link).post(login::token)
}

async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], OPENAPI).into_response()
}

async fn method_not_allowed() -> Problem {
    let detail = "the resource does not have this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use http::{Method, Request};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::ops::Ops;

    /// Returns the methods of each route, as the router has them: the others are not allowed.
    async fn methods(routes: Vec<Route>) -> BTreeSet<String> {
        let core = Ops::builder("orders").build().expect("valid").into_core();
        let state = ApiState::new(core, Access::login_links());
        let mut all = BTreeSet::new();
        for (path, methods) in routes {
            // WebSockets and streams are not opened: their methods are those of any other.
            let router = Router::new().route(path, methods).with_state(state.clone());
            for method in [
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::DELETE,
                Method::PATCH,
            ] {
                let uri = path.replace(['{', '}'], "");
                let request = Request::builder()
                    .method(&method)
                    .uri(uri)
                    .body(Body::empty());
                let response = router.clone().oneshot(request.expect("a request")).await;
                let status = response.expect("infallible").status();
                if status != StatusCode::METHOD_NOT_ALLOWED {
                    all.insert(format!("{} {path}", method.as_str().to_lowercase()));
                }
            }
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn openapi_describes_all_routes_and_no_others() {
        let mut routes = resources();
        routes.push(("/login", login()));
        #[cfg(feature = "ops-logs")]
        routes.extend(traces::resources());
        let document: Value = serde_json::from_str(OPENAPI).expect("json");
        let paths = document["paths"].as_object().expect("paths");
        // Those of other features.
        let is_there =
            |path: &str| cfg!(feature = "ops-logs") || !path.starts_with("/api/v1/traces");
        let described = paths
            .iter()
            .filter(|(path, _)| is_there(path))
            .flat_map(|(path, item)| {
                let item = item.as_object().expect("an object").keys();
                let methods = item.filter(|key| *key != "parameters");
                methods.map(move |method| format!("{method} {path}"))
            });
        assert_eq!(methods(routes).await, described.collect());
    }
}
