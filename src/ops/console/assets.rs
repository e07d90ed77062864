//! The files of the page: what is in `assets/`, as it is served.
//!
//! Scripts are [joined](super::join); all names but those of the two pages have a hash of the content, so that they may be
//! cached forever. The files are served as they are, without compression: a copy in the repository that is compressed
//! cannot be reviewed, and compressing here would take crates. Proxies compress, and a browser loads each version once.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{
    asset::Asset,
    join::{compact, join},
};

/// The policy of all pages: nothing is loaded from elsewhere, no inline script, no inline style, no frame around the page.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

macro_rules! modules {
    ($($path:literal),+ $(,)?) => { &[$(($path, include_str!(concat!("assets/", $path)))),+] };
}

/// The modules of the page; each imports earlier ones only.
const PAGE_MODULES: &[(&str, &str)] = modules![
    "outcomes.js",
    "settings.js",
    "dom.js",
    "format.js",
    "address.js",
    "store.js",
    "api.js",
    "live.js",
    "parts.js",
    "shapes.js",
    "windowed.js",
    "charts.js",
    "guard_parts.js",
    "dialogs.js",
    "event_parts.js",
    "health_parts.js",
    "workflow_parts.js",
    "views/overview.js",
    "views/routes.js",
    "views/guards.js",
    "views/errors.js",
    "views/notifications.js",
    "views/alerts.js",
    "waterfall.js",
    "views/trace.js",
    "views/traces.js",
    "views/health.js",
    "views/journal.js",
    "views/workflows.js",
    "views/calls.js",
    "views/logs.js",
    "views/metrics.js",
    "shell.js",
    "app.js",
];

/// The modules of the login page.
const LOGIN_MODULES: &[(&str, &str)] = modules!["settings.js", "login.js"];

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

struct Files {
    index: Asset,
    login: Asset,
    assets: Vec<Asset>,
}

/// Returns the page.
pub(crate) fn index() -> &'static Asset {
    &files().index
}

/// Returns the login page.
pub(crate) fn login() -> &'static Asset {
    &files().login
}

/// Returns what is served as `assets/<name>`.
pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    files().assets.iter().find(|asset| asset.name() == name)
}

fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(Files::build)
}

impl Files {
    fn build() -> Self {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        // The path in the pages, and what is served in its place.
        let sources = [
            ("app.js", JAVASCRIPT, join(PAGE_MODULES).into()),
            ("login.js", JAVASCRIPT, join(LOGIN_MODULES).into()),
            (
                "app.css",
                CSS,
                compact(include_str!("assets/app.css")).into(),
            ),
            (
                "icon.svg",
                "image/svg+xml",
                text(include_str!("assets/icon.svg")),
            ),
            (
                "vendor/uplot/uPlot.iife.min.js",
                JAVASCRIPT,
                text(include_str!("assets/vendor/uplot/uPlot.iife.min.js")),
            ),
        ];
        let mut index = include_str!("assets/index.html").to_owned();
        let mut login = include_str!("assets/login.html").to_owned();
        let mut assets = Vec::new();
        for (path, content_type, body) in sources {
            let file = path.rsplit('/').next().unwrap_or(path);
            let asset = Asset::hashed(file, content_type, body);
            let (from, to) = (
                format!("\"assets/{path}\""),
                format!("\"assets/{}\"", asset.name()),
            );
            index = index.replace(&from, &to);
            login = login.replace(&from, &to);
            assets.push(asset);
        }
        Files {
            index: Asset::page("index.html", index),
            login: Asset::page("login.html", login),
            assets,
        }
    }
}

#[cfg(test)]
#[path = "assets_tests.rs"]
mod tests;
