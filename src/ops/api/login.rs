//! Sessions: they begin with a token or a link, and end with a logout.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, sleep};

use super::{page, problem::Problem, state::ApiState};
use crate::ops::{
    access::Identity,
    journal::{Event, EventKind, Severity},
};

/// How long a failed login waits for its answer.
const SLOW_DOWN: Duration = Duration::from_millis(500);

/// `GET login`: the login page, or a session for who has a link.
pub(super) async fn link(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(code) = query.get("code") else {
        return page::login_page();
    };
    match state.access.redeem_code(code, Instant::now()) {
        Some(identity) => begin(&state, identity, &headers),
        None => fail(&state, "the link was used already, or is too old").await,
    }
}

/// `POST login`: a session for who has a token.
pub(super) async fn token(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    if !state.access.accepts_origin(&headers) {
        return Problem::forbidden("the request comes from a page of another origin")
            .into_response();
    }
    let token = form.get("token").map(|token| token.trim());
    match token.and_then(|token| state.access.identify_token(token)) {
        Some(identity) => begin(&state, identity, &headers),
        None => fail(&state, "the token is unknown").await,
    }
}

/// `POST logout`: ends the session.
pub(super) async fn logout(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    see_console(state.access.end_session(&headers))
}

fn begin(state: &ApiState, identity: Identity, headers: &HeaderMap) -> Response {
    let role = identity.role();
    match state
        .access
        .begin_session(identity, headers, Instant::now())
    {
        Ok(cookie) => {
            let text = format!("logged in as {role:?}").to_lowercase();
            let subject = state.core.about.service.as_str();
            let event = Event::new(EventKind::Control, Severity::Info, subject, text);
            state.core.journal.record(event);
            see_console(cookie)
        }
        Err(_) => {
            let detail = "the system has no random numbers";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

/// Answers a failed login late. Whoever has the right token is never kept waiting by others.
async fn fail(state: &ApiState, detail: &str) -> Response {
    let Some(_slowed) = state.slow_down() else {
        let detail = "too many logins fail at the same time";
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    };
    sleep(SLOW_DOWN).await;
    Problem::new(StatusCode::UNAUTHORIZED, detail).into_response()
}

/// Sends the browser to the page, which is in the same folder.
fn see_console(cookie: String) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static("./"));
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
