//! Who is let in, and what is not let out.

use std::time::Instant;

use http::{Method, Response, StatusCode};
use serde_json::json;
use tokio_tungstenite::tungstenite::http::Request as WsRequest;
use tower_keep::{
    CircuitBreaker,
    ops::{Access, Identity, Ops, Role},
};

use super::support::*;

/// Returns method and path of all that is described.
fn described() -> Vec<(Method, String)> {
    let document = openapi();
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an object");
        let methods = item.keys().filter(|key| *key != "parameters");
        let path = path.trim_start_matches('/').replace(['{', '}'], "");
        methods.map(move |method| {
            let method = method.to_uppercase();
            (method.parse().expect("a method"), path.clone())
        })
    });
    all.collect()
}

fn assert_headers(response: &Response<bytes::Bytes>, path: &str) {
    let has = |name: &str, value: &str| {
        let found = response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        assert!(
            found.is_some_and(|found| found.contains(value)),
            "{path}: {name} {found:?}"
        );
    };
    has(
        "content-security-policy",
        "default-src 'none'; script-src 'self'; ",
    );
    has("content-security-policy", "frame-ancestors 'none'");
    has("x-content-type-options", "nosniff");
    has("referrer-policy", "no-referrer");
    has("cross-origin-opener-policy", "same-origin");
    assert!(response.headers().contains_key("cache-control"), "{path}");
}

#[tokio::test]
async fn every_route_refuses_a_stranger() {
    let console = Console::start(Ops::builder("orders").allow_control(true)).await;
    let mut checked = 0;
    for (method, path) in described() {
        if path == "login" {
            continue;
        }
        for headers in [
            &[][..],
            &[("authorization", "Bearer wrong")],
            &[("authorization", "Basic YTpi")],
            &[("cookie", "tower_keep_ops=wrong")],
        ] {
            let body = if method == Method::POST { "{}" } else { "" };
            let response = console.send(method.clone(), &path, headers, body).await;
            let problem = problem(&response, 401);
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(problem["detail"], "a token or a session is needed");
            assert_headers(&response, &path);
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
    // What is not there looks the same.
    for path in ["", "index.html", "api/v1/none", "none", "assets/none"] {
        problem(&console.send(Method::GET, path, &[], "").await, 401);
        problem(&console.send(Method::DELETE, path, &[], "").await, 401);
    }
}

#[tokio::test]
async fn stranger_with_a_browser_gets_the_login_page_and_what_it_needs() {
    let console = Console::start(Ops::builder("a secret name")).await;
    let html = [("accept", "text/html,*/*;q=0.8")];
    let page = console.send(Method::GET, "", &html, "").await;
    assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
    assert_headers(&page, "");
    let text = String::from_utf8_lossy(page.body()).into_owned();
    assert!(text.contains("Sign in") && !text.contains("secret name"));
    let mut files = text.split('"').filter(|part| part.starts_with("assets/"));
    assert!(files.clone().count() >= 3);
    assert!(files.clone().any(|file| file.ends_with(".js")));
    for file in files.by_ref() {
        let response = console.send(Method::GET, file, &[], "").await;
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        assert_headers(&response, file);
    }
    let page = console.get(VIEWER, "").await;
    let text = String::from_utf8_lossy(page.body()).into_owned();
    let app = text
        .split('"')
        .find(|part| part.starts_with("assets/app-") && part.ends_with(".js"));
    problem(
        &console
            .send(Method::GET, app.expect("a script"), &[], "")
            .await,
        401,
    );
}

#[tokio::test]
async fn headers_of_security_are_on_every_answer() {
    let console = Console::start(Ops::builder("orders")).await;
    for (method, path) in described() {
        if path == "api/v1/events" {
            continue;
        }
        let bearer = bearer(OPERATOR);
        let response = console.send(method, &path, &[bearer.as_pair()], "").await;
        assert_headers(&response, &path);
    }
    let huge = "x".repeat(10_000);
    let response = console.send(Method::POST, "login", &[], &huge).await;
    problem(&response, 413);
    assert_headers(&response, "login");
}

#[tokio::test]
async fn viewer_cannot_change_anything() {
    let console = Console::start(Ops::builder("orders").allow_control(true)).await;
    let breaker = CircuitBreaker::new("security: viewer");
    let changes = described().into_iter().filter(|(method, path)| {
        *method != Method::GET && !matches!(path.as_str(), "login" | "logout")
    });
    let mut checked = 0;
    for (_, path) in changes {
        let path = path.replace("kind/name", "circuit_breaker/security:%20viewer");
        let body = json!({"action": "hold_open", "reason": "none"});
        problem(&console.post(VIEWER, &path, &body).await, 403);
        checked += 1;
    }
    assert!(checked >= 2);
    assert!(!breaker.is_rejecting());
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    assert_eq!(
        (&status["role"], &status["controls"]),
        (&json!("viewer"), &json!(false))
    );
}

#[tokio::test]
async fn controls_are_off_until_they_are_allowed() {
    let console = Console::start(Ops::builder("orders")).await;
    let breaker = CircuitBreaker::new("security: off");
    let path = "api/v1/guards/circuit_breaker/security:%20off/control";
    let body = json!({"action": "hold_open", "reason": "none"});
    let refused = problem(&console.post(OPERATOR, path, &body).await, 403);
    assert!(
        refused["detail"]
            .as_str()
            .expect("text")
            .contains("allow_control")
    );
    assert!(!breaker.is_rejecting());
    let status = json(&console.get(OPERATOR, "api/v1/status").await);
    assert_eq!(
        (&status["role"], &status["controls"]),
        (&json!("operator"), &json!(false))
    );
}

#[tokio::test]
async fn change_needs_json_of_a_bounded_size_from_the_same_origin() {
    let console = Console::start(Ops::builder("orders").allow_control(true)).await;
    let breaker = CircuitBreaker::new("security: post");
    let path = "api/v1/guards/circuit_breaker/security:%20post/control";
    let body = json!({"action": "hold_open", "reason": "test"}).to_string();
    let bearer = bearer(OPERATOR);
    let post = async |headers: &[(&str, &str)], body: &str| {
        let mut all = vec![bearer.as_pair()];
        all.extend_from_slice(headers);
        console.send(Method::POST, path, &all, body).await
    };
    let is_json = ("content-type", "application/json");
    for foreign in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        problem(&post(&[is_json, foreign], &body).await, 403);
    }
    problem(&post(&[("content-type", "text/plain")], &body).await, 415);
    problem(&post(&[], &body).await, 415);
    let large = format!(
        "{{\"action\":\"reset\",\"reason\":\"{}\"}}",
        "x".repeat(4_100)
    );
    problem(&post(&[is_json], &large).await, 413);
    for (body, field) in [
        ("{", "body"),
        ("[]", "body"),
        (r#"{"action":"reset"}"#, "reason"),
        (r#"{"action":"reset","reason":" "}"#, "reason"),
        (r#"{"action":"explode","reason":"x"}"#, "action"),
        (r#"{"action":"shadow","seconds":0,"reason":"x"}"#, "seconds"),
        (
            r#"{"action":"shadow","seconds":86401,"reason":"x"}"#,
            "seconds",
        ),
        (r#"{"action":"reset","reason":"x","force":true}"#, "force"),
    ] {
        assert_eq!(
            problem(&post(&[is_json], body).await, 400)["field"],
            field,
            "{body}"
        );
    }
    assert!(!breaker.is_rejecting());
    let own = format!("http://{}", console.address);
    let response = post(
        &[is_json, ("origin", &own), ("sec-fetch-site", "same-origin")],
        &body,
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
    assert!(breaker.is_rejecting());
}

#[tokio::test]
async fn web_socket_of_a_foreign_page_is_refused_before_the_upgrade() {
    let access = Access::builder()
        .viewer_token(VIEWER)
        .trusted_origin("https://ops.example");
    let access = access.build().expect("valid");
    let console = Console::with_access(Ops::builder("orders"), access).await;
    let open = async |origin: Option<&str>, token: &str| {
        let uri = format!("ws://{}/ops/api/v1/live", console.address);
        let request = WsRequest::get(uri).header("authorization", format!("Bearer {token}"));
        let request = match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        connect(console.address, request).await.map(drop)
    };
    let own = format!("http://{}", console.address);
    assert_eq!(open(Some(&own), VIEWER).await, Ok(()));
    assert_eq!(open(Some("https://ops.example"), VIEWER).await, Ok(()));
    assert_eq!(open(None, VIEWER).await, Ok(()));
    for foreign in ["https://evil.example", "null", "https://ops.example.evil"] {
        assert_eq!(
            open(Some(foreign), VIEWER).await,
            Err(StatusCode::FORBIDDEN)
        );
    }
    assert_eq!(
        open(Some(&own), "wrong").await,
        Err(StatusCode::UNAUTHORIZED)
    );
}

async fn log_in(console: &Console, token: &str) -> Response<bytes::Bytes> {
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

#[tokio::test]
async fn flood_of_wrong_logins_does_not_lock_out_a_right_one() {
    let console = Console::start(Ops::builder("orders")).await;
    let console = std::sync::Arc::new(console);
    let begun = Instant::now();
    let flood: Vec<_> = (0..64)
        .map(|_| {
            let console = console.clone();
            tokio::spawn(async move { log_in(&console, "a wrong token").await.status() })
        })
        .collect();
    assert_eq!(
        log_in(&console, VIEWER).await.status(),
        StatusCode::SEE_OTHER
    );
    let mut slowed = 0;
    for one in flood {
        match one.await.expect("no panic") {
            StatusCode::UNAUTHORIZED => slowed += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    // At least those that came first; each of them had to wait.
    assert!(slowed >= 32, "{slowed}");
    assert!(begun.elapsed().as_millis() >= 500);
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

#[tokio::test]
async fn text_stays_text() {
    let console = Console::start(Ops::builder("<img src=x onerror=alert(1)>")).await;
    let breaker = CircuitBreaker::new("</script><img onerror=alert(2)>");
    let _breaker = breaker;
    for path in [
        "api/v1/status",
        "api/v1/guards",
        "api/v1/journal",
        "health?verbose",
        "metrics",
    ] {
        let response = console.get(VIEWER, path).await;
        let content_type = response.headers()["content-type"].to_str().expect("text");
        assert!(!content_type.contains("html"), "{path} {content_type}");
        assert_headers(&response, path);
    }
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    assert_eq!(status["service"], "<img src=x onerror=alert(1)>");
    // Nothing of the service is in the page itself.
    let page = console.get(VIEWER, "").await;
    assert!(!String::from_utf8_lossy(page.body()).contains("onerror"));
    let echoed = console
        .get(
            VIEWER,
            "api/v1/status/<img onerror=alert(3)>?x"
                .replace([' ', '<', '>'], "%20")
                .as_str(),
        )
        .await;
    problem(&echoed, 404);
}

#[tokio::test]
async fn secrets_are_shown_nowhere() {
    let builder = Access::builder()
        .operator_token(OPERATOR)
        .viewer_token(VIEWER);
    let shown = format!("{builder:?}");
    let access = builder.build().expect("valid");
    let link = access.login_link().expect("random numbers");
    let console =
        Console::with_access(Ops::builder("orders").allow_control(true), access.clone()).await;
    let cookie = log_in(&console, OPERATOR).await.headers()["set-cookie"].clone();
    log_in(&console, "a wrong token").await;
    let session = cookie
        .to_str()
        .expect("text")
        .split(['=', ';'])
        .nth(1)
        .expect("a secret");
    let code = link.split('=').nth(1).expect("a code");
    let journal = json(&console.get(OPERATOR, "api/v1/journal").await).to_string();
    let status = json(&console.get(OPERATOR, "api/v1/status").await).to_string();
    let errors = json(&console.get(OPERATOR, "api/v1/errors").await).to_string();
    let ops = format!("{:?} {:?} {:?}", console.ops, access, console.ops.journal());
    for text in [shown, journal, status, errors, ops] {
        for secret in [OPERATOR, VIEWER, "a wrong token", session, code] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// By HTTP/2 there is no `Host`: every login from a browser was refused as one of another origin.
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

/// A stranger could hold a connection and a task for as long as it liked.
#[tokio::test(start_paused = true)]
async fn body_that_does_not_arrive_is_not_waited_for() {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let ops = Ops::builder("orders").build().expect("valid");
    let body = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = http::Request::post("/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(axum::body::Body::from_stream(body));
    let begun = tokio::time::Instant::now();
    let response = ops
        .console::<()>(access())
        .oneshot(request.expect("a request"))
        .await;
    let response = response.expect("infallible");
    assert!(begun.elapsed() < std::time::Duration::from_secs(11));
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    problem(&Response::from_parts(parts, body), 408);
}
