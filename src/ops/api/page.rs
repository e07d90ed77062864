//! The files of the page.

use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Uri, header};

use super::problem::Problem;
use crate::ops::console::{Asset, assets};

/// The files that the login page needs; they say nothing about the service.
const PUBLIC: [&str; 3] = ["login-", "app-", "icon-"];

/// Serves a file of the page.
pub(super) async fn get(method: Method, OriginalUri(original): OriginalUri, uri: Uri) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        let detail = "files can be read only";
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    }
    match uri.path().trim_start_matches('/') {
        "" | "index.html" => index(original.path()),
        path => match path.strip_prefix("assets/").and_then(assets::find) {
            Some(asset) => file(asset),
            None => Problem::not_found("there is no such file").into_response(),
        },
    }
}

/// Serves the page, whose addresses are relative: they need the slash at the end of its folder.
fn index(path: &str) -> Response {
    let folder = path.rsplit('/').next().unwrap_or_default();
    if folder.is_empty() || folder == "index.html" {
        return page(assets::index());
    }
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    if let Ok(location) = HeaderValue::try_from(format!("{folder}/")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Returns a file that the login page needs.
pub(super) fn public_file(method: &Method, path: &str) -> Option<Response> {
    let name = path.rsplit_once("assets/")?.1;
    let is_public = PUBLIC.iter().any(|prefix| name.starts_with(prefix));
    let is_style = name.ends_with(".css") || name.ends_with(".svg") || name.starts_with("login-");
    (method == Method::GET && is_public && is_style)
        .then(|| assets::find(name).map(file))
        .flatten()
}

/// Returns the login page, for who is not known yet.
pub(super) fn login_page() -> Response {
    let mut response = page(assets::login());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

fn page(asset: &Asset) -> Response {
    content(asset, "no-store")
}

fn file(asset: &Asset) -> Response {
    // The name has a hash of the content.
    content(asset, "private, max-age=31536000, immutable")
}

fn content(asset: &Asset, cache_control: &'static str) -> Response {
    let mut response = asset.body().into_response();
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(asset.content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(cache_control),
    );
    response
}
