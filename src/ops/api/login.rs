//! Sessions: they begin with a token or a link, and end with a logout.

use std::time::Duration;

use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tokio::time::{Instant, sleep};

use super::{ApiResult, page, params::Params, path::Body, problem::Problem, state::ApiState};
use crate::ops::{
    access::Identity,
    journal::{Event, EventKind, Severity},
};

/// The time for which a failed login waits for its answer.
const SLOW_DOWN: Duration = Duration::from_millis(500);

/// Answers `GET login`: with the login page, or a session for who has a link.
pub(super) async fn link(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> ApiResult<Response> {
    let params = Params::parse(&uri, &["code"])?;
    let Some(code) = params.text("code") else {
        return Ok(page::login_page(StatusCode::OK));
    };
    match state.access.redeem_code(code, Instant::now()) {
        Some(identity) => begin(&state, identity, (&headers, &uri)),
        None => Err(failure(&state, "the link was used already, or is too old").await),
    }
}

/// Answers `POST login`: with a session for who has a token.
pub(super) async fn token(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> ApiResult<Response> {
    if !state.access.accepts_origin(&headers, &uri) {
        return Err(Problem::foreign_origin());
    }
    let token = body.form_field("token")?.unwrap_or_default();
    match state.access.identify_token(token.trim()) {
        Some(identity) => begin(&state, identity, (&headers, &uri)),
        None => Err(failure(&state, "the token is unknown").await),
    }
}

/// Answers `POST logout`: ends the session.
pub(super) async fn logout(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    see_console(state.access.end_session(&headers))
}

fn begin(state: &ApiState, identity: Identity, head: (&HeaderMap, &Uri)) -> ApiResult<Response> {
    let role = identity.role().as_str();
    let cookie = state.access.begin_session(identity, head, Instant::now());
    let cookie = cookie.map_err(|_| {
        let detail = "the system has no random numbers";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let text = format!("logged in as {role}");
    let subject = state.core.about.service.as_str();
    let event = Event::new(EventKind::Control, Severity::Info, subject, text);
    state.core.journal.record(event);
    Ok(see_console(cookie))
}

/// Makes the answer to a failed login late. Whoever has the right token is never kept waiting by others.
async fn failure(state: &ApiState, detail: &str) -> Problem {
    let Some(_slowed) = state.slow_down() else {
        let detail = "too many logins fail at the same time";
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
    };
    sleep(SLOW_DOWN).await;
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// Sends the browser to the page, which is in the same folder.
fn see_console(cookie: String) -> Response {
    let mut response = page::see(StatusCode::SEE_OTHER, page::INDEX);
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
