//! The places where the console can be mounted.

use axum::{Router, routing::get};
use http::{Request, StatusCode};
use tower_keep::ops::{Access, Ops};

use super::support::*;

fn console() -> (Ops, Router) {
    let ops = Ops::builder("orders").build().expect("valid");
    let console = ops.console(access());
    (ops, console)
}

/// Follows redirects like a browser, and returns the address and the status at the end.
async fn browse(app: Router, path: &str) -> (String, StatusCode) {
    let address = serve(app).await;
    let mut path = path.to_owned();
    for _ in 0..3 {
        let request = Request::get(&path).header("authorization", format!("Bearer {VIEWER}"));
        let response = fetch(address, request.body(String::new()).expect("a request")).await;
        let Some(location) = response.headers().get("location") else {
            return (path, response.status());
        };
        let location = location.to_str().expect("text");
        assert!(
            !location.starts_with('/') && !location.contains(':'),
            "relative: {location}"
        );
        let folder = &path[..=path.rfind('/').expect("a slash")];
        let location = location.strip_prefix("./").unwrap_or(location);
        path = format!("{folder}{location}");
    }
    panic!("it redirects for ever: {path}")
}

async fn resolves(app: Router, path: &str, folder: &str) {
    let (page, status) = browse(app.clone(), path).await;
    assert_eq!(status, StatusCode::OK, "{path} {page}");
    // The addresses of the page are relative to its folder.
    let base = &page[..=page.rfind('/').expect("a slash")];
    assert_eq!(base, folder, "{path}");
    for path in ["api/v1/status", "assets/none", "health", "login"] {
        let (_, status) = browse(app.clone(), &format!("{base}{path}")).await;
        let expected = if path == "assets/none" { 404 } else { 200 };
        assert_eq!(status, expected, "{base}{path}");
    }
}

#[tokio::test]
async fn console_can_be_nested_as_a_service_with_and_without_a_slash() {
    let (_ops, console) = console();
    for mount in ["/ops", "/a/b/ops"] {
        let app = Router::new().nest_service(mount, console.clone());
        let folder = format!("{mount}/");
        resolves(app.clone(), mount, &folder).await;
        resolves(app.clone(), &folder, &folder).await;
        resolves(app, &format!("{folder}index.html"), &folder).await;
    }
    let app = Router::new().nest_service("/{name}/ops", console);
    resolves(app.clone(), "/acme/ops", "/acme/ops/").await;
    let (_, status) = browse(app, "/acme/ops/api/v1/health/acme").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn console_can_be_nested_as_a_router() {
    let (_ops, console) = console();
    for mount in ["/ops", "/a/b/ops"] {
        let app = Router::new().nest(mount, console.clone());
        resolves(app, mount, &format!("{mount}/")).await;
    }
    let app = Router::new().nest("/ops/", console.clone());
    resolves(app, "/ops/", "/ops/").await;
    let app = Router::new().nest("/a", Router::new().nest("/b/ops/", console.clone()));
    resolves(app, "/a/b/ops/", "/a/b/ops/").await;
    // With a state, beside other routes.
    let app = Router::new()
        .route("/", get(async || "orders"))
        .nest("/ops", Router::new().merge(console.clone()))
        .with_state(());
    resolves(app, "/ops", "/ops/").await;
}

#[tokio::test]
async fn console_can_be_a_server_of_its_own() {
    let (_ops, console) = console();
    resolves(console, "/", "/").await;
}

#[tokio::test]
async fn login_leads_to_the_page_wherever_it_is() {
    let ops = Ops::builder("orders").build().expect("valid");
    for nest_service in [true, false] {
        let access = Access::login_links();
        let link = access.login_link().expect("random numbers");
        let app = match nest_service {
            true => Router::new().nest_service("/ops", ops.console::<()>(access)),
            false => Router::new().nest("/ops", ops.console(access)),
        };
        let address = serve(app).await;
        let request = |path: &str| Request::get(format!("/ops/{path}"));
        let login = request(&link).body(String::new()).expect("a request");
        let login = fetch(address, login).await;
        assert_eq!(login.status(), StatusCode::SEE_OTHER);
        let location = login.headers()["location"].to_str().expect("text");
        let cookie = login.headers()["set-cookie"].to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a pair");
        let page = request(location).header("cookie", cookie);
        let page = fetch(address, page.body(String::new()).expect("a request")).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert!(String::from_utf8_lossy(page.body()).contains("assets/app-"));
    }
}

/// Below a parameter, `https:evil.example` led a browser that has a session to that host.
#[tokio::test]
async fn redirect_to_the_page_leads_to_no_other_host() {
    let (_ops, console) = console();
    let app = Router::new().nest_service("/{name}", console);
    let address = serve(app).await;
    for path in ["/https:evil.example", "/javascript:alert(1)", "/acme"] {
        let request = Request::get(path).header("authorization", format!("Bearer {VIEWER}"));
        let response = fetch(address, request.body(String::new()).expect("a request")).await;
        let location = response.headers()["location"].to_str().expect("text");
        assert_eq!(location, format!(".{path}/index.html"));
    }
}
