//! Logins: by token, by link, by the application, and floods of wrong ones.

use std::time::Duration;

use http::{Method, Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tower_keep::ops::{Access, Identity, Ops, Role, journal::EventKind};

use super::support::*;

pub async fn log_in(console: &Console, token: &str) -> Response<bytes::Bytes> {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("token={}", token.replace(' ', "+"));
    console.send(Method::POST, "login", &form, &body).await
}

#[tokio::test]
async fn login_begins_a_session_that_a_logout_ends() {
    let console = Console::start(Ops::builder("orders")).await;
    let login = log_in(&console, OPERATOR).await;
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let cookie = login.headers()["set-cookie"].to_str().expect("text");
    let flags: Vec<_> = cookie.split("; ").skip(1).collect();
    // Without TLS on this machine; elsewhere also `Secure`. Without a path, it holds for the console alone.
    assert_eq!(flags, ["HttpOnly", "SameSite=Strict", "Max-Age=43200"]);
    let session = [("cookie", cookie.split(';').next().expect("a pair"))];
    let status = console
        .send(Method::GET, "api/v1/status", &session, "")
        .await;
    assert_eq!(json(&status)["role"], "operator");
    // Not by a page of somebody else.
    let foreign = [session[0], ("origin", "https://evil.example")];
    problem(
        &console.send(Method::POST, "logout", &foreign, "").await,
        403,
    );
    let logout = console.send(Method::POST, "logout", &session, "").await;
    assert_eq!(logout.status(), StatusCode::SEE_OTHER);
    let removal = logout.headers()["set-cookie"].to_str().expect("text");
    assert!(
        removal.contains("=; ") && removal.ends_with("Max-Age=0"),
        "{removal}"
    );
    problem(
        &console
            .send(Method::GET, "api/v1/status", &session, "")
            .await,
        401,
    );
}

#[tokio::test]
async fn login_link_is_valid_once() {
    let access = Access::login_links();
    let link = access.login_link().expect("random numbers");
    let console = Console::with_access(Ops::builder("orders"), access).await;
    let first = console.send(Method::GET, &link, &[], "").await;
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    problem(&console.send(Method::GET, &link, &[], "").await, 401);
    problem(
        &console.send(Method::GET, "login?code=wrong", &[], "").await,
        401,
    );
    problem(
        &console
            .send(Method::GET, "login?next=//evil", &[], "")
            .await,
        400,
    );
    let page = console.send(Method::GET, "login", &[], "").await;
    assert_eq!(page.status(), StatusCode::OK);
}

/// The console as a service that is called directly, under a paused clock.
struct Direct {
    ops: Ops,
    router: axum::Router,
}

impl Direct {
    fn start() -> Self {
        let ops = Ops::builder("orders").build().expect("valid");
        ops.spawn();
        let router = ops.console(access());
        Direct { ops, router }
    }

    /// Sends a request from an address.
    async fn send(&self, from: [u8; 4], mut request: http::Request<String>) -> StatusCode {
        let peer = std::net::SocketAddr::from((from, 4_711));
        request.extensions_mut().insert(peer);
        let request = request.map(axum::body::Body::from);
        let response = tower::ServiceExt::oneshot(self.router.clone(), request).await;
        response.expect("infallible").status()
    }

    async fn log_in(&self, from: [u8; 4], token: &str) -> StatusCode {
        let request = http::Request::post("/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={}", token.replace(' ', "+")));
        self.send(from, request.expect("a request")).await
    }

    async fn status(&self, from: [u8; 4], token: &str) -> StatusCode {
        let request = http::Request::get("/api/v1/status")
            .header("authorization", format!("Bearer {token}"))
            .body(String::new());
        self.send(from, request.expect("a request")).await
    }

    /// Returns what the journal has about logins, with the address of each.
    fn logins(&self) -> Vec<(String, serde_json::Value)> {
        let events = self
            .ops
            .journal()
            .after(0, 1_000, |event| event.kind() == EventKind::Login);
        let lines = events.iter().map(|event| {
            let address = event.data().get("address").cloned();
            // Without the time, which is not paused.
            let text = event.text().split(" in the minute from ").next();
            (
                text.unwrap_or_default().to_owned(),
                address.unwrap_or_default(),
            )
        });
        lines.collect()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn flood_of_wrong_logins_does_not_lock_out_a_right_one() {
    let direct = Direct::start();
    let attacks = (0..100).map(|n| {
        let direct = &direct;
        async move {
            let begun = Instant::now();
            let status = match n % 2 {
                0 => direct.log_in([9, 9, 9, n], "a wrong token").await,
                _ => direct.status([9, 9, 9, n], "a wrong token").await,
            };
            (status, begun.elapsed())
        }
    });
    let right = async {
        let begun = Instant::now();
        let statuses = (
            direct.log_in([1, 2, 3, 4], OPERATOR).await,
            direct.status([1, 2, 3, 4], VIEWER).await,
        );
        assert_eq!(statuses, (StatusCode::SEE_OTHER, StatusCode::OK));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    };
    let (attacks, ()) = tokio::join!(futures_util::future::join_all(attacks), right);
    let slowed = (StatusCode::UNAUTHORIZED, Duration::from_millis(500));
    let refused = (StatusCode::TOO_MANY_REQUESTS, Duration::ZERO);
    let count = |expected| attacks.iter().filter(|each| **each == expected).count();
    assert_eq!((count(slowed), count(refused)), (32, 68));
    // And not for longer.
    assert_eq!(
        direct.log_in([9, 9, 9, 9], "a wrong token").await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test(start_paused = true)]
async fn failed_logins_are_in_the_journal_by_address_and_minute() {
    let direct = Direct::start();
    direct.log_in([1, 1, 1, 1], OPERATOR).await;
    for _ in 0..3 {
        direct.log_in([9, 9, 9, 9], "a wrong token").await;
    }
    direct.status([8, 8, 8, 8], "a wrong token").await;
    let old = http::Request::get("/api/v1/status").header("cookie", "tower_keep_ops=0123");
    direct
        .send([7, 7, 7, 7], old.body(String::new()).expect("a request"))
        .await;
    let line = |text: &str, address: &str| (text.to_owned(), json!(address));
    let first = line("logged in as operator", "1.1.1.1");
    assert_eq!(direct.logins(), std::slice::from_ref(&first));
    seconds(61).await;
    let expected = [
        first,
        line("3 wrong tokens or logins from 9.9.9.9", "9.9.9.9"),
        line("1 wrong token or login from 8.8.8.8", "8.8.8.8"),
    ];
    assert_eq!(direct.logins(), expected);
    // What is not due when the process ends is in it, too.
    direct.log_in([9, 9, 9, 9], "a wrong token").await;
    direct.ops.health().begin_shutdown();
    seconds(1).await;
    assert_eq!(direct.logins().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn flood_of_failed_logins_leaves_room_in_the_journal() {
    let direct = Direct::start();
    for _ in 0..10 {
        let flood = (0..1_000_u32).map(|n| {
            let [.., a, b] = n.to_be_bytes();
            direct.log_in([10, 0, a, b], "a wrong token")
        });
        futures_util::future::join_all(flood).await;
        seconds(61).await;
    }
    assert_eq!(direct.logins().len(), 10 * 4);
    let counted = direct
        .ops
        .journal()
        .after(0, 1_000, |event| event.kind() == EventKind::Login);
    let counted = counted
        .iter()
        .filter_map(|event| event.data()["count"].as_u64());
    assert_eq!(counted.sum::<u64>(), 10_000);
}

#[tokio::test]
async fn application_knows_its_users_by_a_closure() {
    let access = Access::builder().by(|request| {
        let name = request.headers.get("x-user")?.to_str().ok()?;
        Some(Identity::new(Role::Operator).named(name))
    });
    let access = access.build().expect("valid");
    let console = Console::with_access(Ops::builder("orders"), access).await;
    let mira = [("x-user", "mira")];
    let status = console.send(Method::GET, "api/v1/status", &mira, "").await;
    assert_eq!(json(&status)["user"], "mira");
    problem(
        &console.send(Method::GET, "api/v1/status", &[], "").await,
        401,
    );
}

/// HTTP/2 has no `Host`: every login from a browser was refused as one of another origin.
#[tokio::test]
async fn login_works_over_http2() {
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto,
        service::TowerToHyperService,
    };
    let ops = Ops::builder("orders").build().expect("valid");
    let app = axum::Router::new().nest_service("/ops", ops.console::<()>(access()));
    let (client, server) = tokio::io::duplex(64 * 1_024);
    tokio::spawn(async move {
        let builder = auto::Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(app);
        let _ = builder
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    let connecting =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    let (mut sender, connection) = connecting.await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut log_in = async |origin: &str| {
        let request = http::Request::post("https://orders.example/ops/login")
            .header("origin", origin)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={}", OPERATOR.replace(' ', "+")));
        let response = sender.send_request(request.expect("a request")).await;
        response.expect("a response").status()
    };
    assert_eq!(
        log_in("https://orders.example").await,
        StatusCode::SEE_OTHER
    );
    assert_eq!(log_in("https://evil.example").await, StatusCode::FORBIDDEN);
}

/// Scanners of mails and chats ask for the head of a link, and used it up.
#[tokio::test]
async fn login_link_is_not_used_up_by_a_request_for_its_head() {
    let access = Access::login_links();
    let link = access.login_link().expect("random numbers");
    let console = Console::with_access(Ops::builder("orders"), access).await;
    let head = console.send(Method::HEAD, &link, &[], "").await;
    assert_eq!(head.headers().get("set-cookie"), None);
    let login = console.send(Method::GET, &link, &[], "").await;
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
}
