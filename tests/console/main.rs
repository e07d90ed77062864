//! Checks the console's page in a real browser: Debian's `chromium` and `chromium-driver`, or nothing where they are not
//! installed. `.ci/console` installs what is missing.

mod accessibility;
mod browser;
mod connection;
mod controls;
mod http;
mod page;
mod real;
mod server;
mod settings;

use browser::Browser;
use server::Server;

/// The views of the page, with what each of them can select.
const VIEWS: [&str; 8] = [
    "#overview",
    "#routes",
    "#guards?name=payments",
    "#errors",
    "#health?name=ledger-db",
    "#journal?at=17",
    "#calls",
    "#metrics?name=http_requests_total&by=route",
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
