//! The files of the page.

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};

use super::problem::Problem;

/// Serves a file of the page.
pub(super) async fn get(method: Method, uri: Uri) -> Response {
    let _ = (method, uri);
    Problem::not_found("there is no such file").into_response()
}

/// Returns a file that the login page needs, which says nothing about the service.
pub(super) fn public_file(method: &Method, path: &str) -> Option<Response> {
    let _ = (method, path);
    None
}

/// Returns the login page.
pub(super) fn login_page() -> Response {
    (StatusCode::UNAUTHORIZED, "log in").into_response()
}
