//! The files of the page.

use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, Method, StatusCode, header};

use super::{ApiResult, Route, path::PathParams, problem::Problem};
use crate::ops::console::{Asset, assets};

/// The page, wherever the console is mounted: `/ops` and `/ops/` are not both there for everybody who nests a router.
pub(super) const INDEX: &str = "index.html";
/// The files that the login page needs; they say nothing about the service.
const PUBLIC: [&str; 3] = ["login-", "app-", "icon-"];

/// Returns the routes of the files.
pub(super) fn files() -> [Route; 3] {
    [
        ("/", get(folder)),
        ("/index.html", get(async || page(assets::index()))),
        ("/assets/{file}", get(asset)),
    ]
}

async fn asset(params: PathParams) -> ApiResult<Response> {
    let found = assets::find(params.get("file")).map(file);
    found.ok_or_else(|| Problem::not_found("there is no such file"))
}

/// Serves the page, whose addresses are relative: without the slash at the end, they would lead elsewhere.
async fn folder(OriginalUri(original): OriginalUri) -> Response {
    match original.path().rsplit('/').next() {
        None | Some("") => page(assets::index()),
        // Relative, since a proxy may have removed a prefix; with a dot, or a name with a colon would be a scheme.
        Some(last) => see(StatusCode::PERMANENT_REDIRECT, &format!("./{last}/{INDEX}")),
    }
}

/// Sends a browser to another address.
pub(super) fn see(status: StatusCode, location: &str) -> Response {
    let mut response = status.into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Returns a file that the login page needs.
pub(super) fn public_file(method: &Method, path: &str) -> Option<Response> {
    let name = path.rsplit_once("assets/")?.1;
    let is_public = PUBLIC.iter().any(|prefix| name.starts_with(prefix));
    let is_style = name.ends_with(".css") || name.ends_with(".svg") || name.starts_with("login-");
    (matches!(*method, Method::GET | Method::HEAD) && is_public && is_style)
        .then(|| assets::find(name).map(file))
        .flatten()
}

/// Returns the login page.
pub(super) fn login_page(status: StatusCode) -> Response {
    let mut response = page(assets::login());
    *response.status_mut() = status;
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
