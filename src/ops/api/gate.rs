//! The gate before each handler: who asks, from which page, and the headers of security.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use super::{page, problem::Problem, state::ApiState};
use crate::ops::{Access, console::assets::CONTENT_SECURITY_POLICY};

/// Lets callers through whom the policy knows, and hands their identity on in the extensions.
pub(super) async fn require_identity(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(identity) = state.access.identify(&parts, Instant::now()) else {
        if Access::has_token(&parts.headers)
            && let Err(problem) = state.fail_login(&parts).await
        {
            return problem.into_response();
        }
        return refuse(&parts.method, parts.uri.path(), &parts.headers);
    };
    let changes_something = !matches!(parts.method, Method::GET | Method::HEAD);
    let opens_socket = parts.headers.contains_key(header::UPGRADE);
    if (changes_something || opens_socket)
        && !state.access.accepts_origin(&parts.headers, &parts.uri)
    {
        return Problem::foreign_origin().into_response();
    }
    parts.extensions.insert(identity);
    next.run(Request::from_parts(parts, body)).await
}

/// Refuses a stranger: with the login page where a browser asks for a page, else with a problem.
fn refuse(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if let Some(file) = page::public_file(method, path) {
        return file;
    }
    let accepts_html = headers.get(header::ACCEPT).is_some_and(|accept| {
        accept
            .as_bytes()
            .windows(9)
            .any(|part| part == b"text/html")
    });
    if method == Method::GET && accepts_html {
        return page::login_page(StatusCode::UNAUTHORIZED);
    }
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "a token or a session is needed");
    let mut response = problem.into_response();
    let scheme = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    response
}

/// Adds the headers that tell browsers to run, embed and remember nothing.
pub(super) async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    // Neither a window nor an element of a page from elsewhere.
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        set(HeaderName::from_static(name), "same-origin");
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}
