//! Checks the console's page in a real browser: Debian's `chromium` and `chromium-driver`, or nothing where they are not
//! installed. `.ci/console` installs what is missing.

mod accessibility;
mod alerts;
mod browser;
mod connection;
mod controls;
mod http;
#[cfg(feature = "ops-sqlite")]
mod kept;
mod logs;
mod notifications;
mod page;
mod real;
mod server;
mod settings;
mod traces;
mod workflows;

use browser::Browser;
use server::Server;

/// The views of the page, with what each of them can select.
const VIEWS: [&str; 14] = [
    "#overview",
    "#routes",
    "#guards?name=payments",
    "#errors",
    "#alerts",
    "#traces",
    "#traces/4bf92f3577b34da6a3ce929d0e0e4736?at=0000000000000001",
    "#health?name=ledger-db",
    "#journal?at=17",
    "#logs?at=3",
    "#workflows?at=19d1b2c3d4e00002",
    "#calls",
    "#metrics?name=http_requests_total&by=route",
    "#notifications?channel=slack",
];

/// Starts a server and a browser, or returns `None` where something is not installed.
fn start(options: &[&str]) -> Option<(Server, Browser)> {
    Some((Server::start(options)?, Browser::start()?))
}

/// Opens a view and waits until it shows live data.
fn open_live(server: &Server, browser: &Browser, view: &str) {
    browser.open("about:blank");
    browser.open(&server.url(view));
    browser.wait("document.querySelector('.live.on')");
}
