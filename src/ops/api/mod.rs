//! The JSON API, version 1, with the page and live push. One file per resource.

mod calls;
mod control;
mod errors;
mod gate;
mod guards;
mod health;
mod journal;
mod live;
mod login;
mod metrics;
mod operations;
mod overview;
mod page;
mod params;
mod problem;
mod routes;
mod scrape;
pub(super) mod sections;
mod state;
mod status;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};

use super::{Access, core::Core};
use problem::{ApiResult, Problem};
use state::ApiState;

/// Returns the routes of the console.
pub(super) fn router<S: Clone + Send + Sync + 'static>(
    core: Arc<Core>,
    access: Access,
) -> Router<S> {
    let state = ApiState::new(core, access);
    let api = Router::new()
        .route("/status", get(status::get))
        .route("/overview", get(overview::get))
        .route("/routes", get(routes::get))
        .route("/operations", get(operations::get))
        .route("/guards", get(guards::list))
        .route("/guards/{kind}/{name}", get(guards::detail))
        .route("/guards/{kind}/{name}/control", post(control::guard))
        .route("/health", get(health::list))
        .route("/health/{name}", get(health::detail))
        .route("/errors", get(errors::list))
        .route(
            "/errors/{fingerprint}",
            get(errors::detail).post(control::error),
        )
        .route("/calls", get(calls::get))
        .route("/metrics", get(metrics::families))
        .route("/metrics/query", get(metrics::query))
        .route("/metrics/{name}", get(metrics::detail))
        .route("/journal", get(journal::get))
        .route("/live", get(live::socket))
        .route("/events", get(live::events))
        .fallback(async || Problem::not_found("there is no such resource"));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(scrape::get))
        .route("/health", get(health::document))
        .route("/logout", post(login::logout))
        .fallback(page::get)
        .layer(from_fn_with_state(state.clone(), gate::require_identity))
        // What follows is open: it says nothing and lets in.
        .route("/login", get(login::link).post(login::token))
        .layer(from_fn_with_state(state.clone(), gate::add_headers))
        .with_state(state)
}
