//! Sessions: they begin with a token or a link, and end with a logout.

use axum::{extract::State, response::Response};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use tokio::time::Instant;

use super::{ApiResult, page, params::Params, path::Body, problem::Problem, state::ApiState};
use crate::ops::{
    access::Identity,
    journal::{Event, EventKind, Severity},
};

/// Answers `GET login`: with the login page, or a session for who has a link.
pub(super) async fn link(State(state): State<ApiState>, parts: Parts) -> ApiResult<Response> {
    let params = Params::parse(&parts.uri, &["code"])?;
    // Scanners of links ask for the head alone: it uses up no code.
    let Some(code) = params.text("code").filter(|_| parts.method == Method::GET) else {
        return Ok(page::login_page(StatusCode::OK));
    };
    match state.access.redeem_code(code, Instant::now()) {
        Some(identity) => begin(&state, identity, &parts),
        None => Err(failure(&state, &parts, "the link was used already, or is too old").await),
    }
}

/// Answers `POST login`: with a session for who has a token.
pub(super) async fn token(
    State(state): State<ApiState>,
    parts: Parts,
    body: Body,
) -> ApiResult<Response> {
    if !state.access.accepts_origin(&parts.headers, &parts.uri) {
        return Err(Problem::foreign_origin());
    }
    let token = body.form_field("token")?.unwrap_or_default();
    match state.access.identify_token(token.trim()) {
        Some(identity) => begin(&state, identity, &parts),
        None => Err(failure(&state, &parts, "the token is unknown").await),
    }
}

/// Answers `POST logout`: ends the session.
pub(super) async fn logout(State(state): State<ApiState>, request: Parts) -> Response {
    let head = (&request.headers, &request.uri);
    see_console(state.access.end_session(head))
}

fn begin(state: &ApiState, identity: Identity, request: &Parts) -> ApiResult<Response> {
    let role = identity.role().as_str();
    let head = (&request.headers, &request.uri);
    let cookie = state.access.begin_session(identity, head, Instant::now());
    let cookie = cookie.map_err(|_| {
        let detail = "the system has no random numbers";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let address = state.access.client_address(request);
    let text = format!("logged in as {role}");
    let subject = state.core.about.service.as_str();
    let event = Event::new(EventKind::Login, Severity::Info, subject, text)
        .with("address", address.map(|address| address.to_string()));
    state.core.audit(event);
    Ok(see_console(cookie))
}

async fn failure(state: &ApiState, request: &Parts, detail: &str) -> Problem {
    let failed = state.fail_login(request).await;
    failed
        .err()
        .unwrap_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, detail))
}

/// Sends the browser to the page, which is in the same folder.
fn see_console(cookie: String) -> Response {
    let mut response = page::see(StatusCode::SEE_OTHER, page::INDEX);
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
