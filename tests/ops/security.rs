//! The people who are let in, and the secrets that are not let out.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::http::Request as WsRequest;
use tower_keep::{
    BoxError, CircuitBreaker,
    errors::{ErrorRecord, ErrorTracker, GroupStatus},
    ops::{Access, Ops, alerts::Rule, notify::ChannelBuilder},
};

use super::{logins::log_in, support::*};

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
    has("cross-origin-resource-policy", "same-origin");
    assert!(response.headers().contains_key("cache-control"), "{path}");
}

// Paused, since a wrong token waits for its answer.
#[tokio::test(start_paused = true)]
async fn routes_refuse_a_stranger() {
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
async fn viewer_cannot_change_anything_that_an_operator_can() {
    let errors = ErrorTracker::new();
    let fingerprint = errors.record(ErrorRecord::new("Disk", "disk is full"));
    let filter = Arc::new(Mutex::new("info".to_owned()));
    let (read, write) = (filter.clone(), filter.clone());
    let read = move || read.lock().expect("no panic").clone();
    let set = move |directives: &str| -> Result<(), BoxError> {
        *write.lock().expect("no panic") = directives.to_owned();
        Ok(())
    };
    let always = Rule::new("always").when("dropped_records >= 0");
    let builder = Ops::builder("orders").allow_control(true).rule(always);
    let builder = builder.notify(ChannelBuilder::new("nobody", Nobody));
    let console = Console::start(builder.errors(errors.clone()).log_filter((read, set))).await;
    let breaker = CircuitBreaker::new("security: viewer");
    assert!(console.ops.evaluate_rules() > 1);
    let alerts = json(&console.get(VIEWER, "api/v1/alerts").await);
    let alert = |n: usize| alerts["alerts"][n]["fingerprint"].as_str().expect("a text");
    let silence = json!({"matchers": ["alertname=other"], "seconds": 60, "reason": "x"});
    let silenced = json(&console.post(OPERATOR, "api/v1/silences", &silence).await);
    let silenced = silenced["id"].as_str().expect("a text");
    let changes = [
        (
            "api/v1/alerts/{fingerprint}/acknowledge",
            format!("api/v1/alerts/{}/acknowledge", alert(0)),
            json!({"reason": "x"}),
        ),
        (
            "api/v1/alerts/{fingerprint}/resolve",
            format!("api/v1/alerts/{}/resolve", alert(1)),
            json!({"reason": "x"}),
        ),
        ("api/v1/silences", "api/v1/silences".to_owned(), silence),
        (
            "api/v1/silences/{id}/end",
            format!("api/v1/silences/{silenced}/end"),
            json!({"reason": "x"}),
        ),
        (
            "api/v1/guards/{kind}/{name}/control",
            "api/v1/guards/circuit_breaker/security:%20viewer/control".to_owned(),
            json!({"action": "hold_open", "reason": "x"}),
        ),
        (
            "api/v1/guards/{kind}/{name}/settings",
            "api/v1/guards/circuit_breaker/security:%20viewer/settings".to_owned(),
            json!({"setting": "failure_rate", "value": 0.25, "reason": "x"}),
        ),
        (
            "api/v1/errors/{fingerprint}",
            format!("api/v1/errors/{fingerprint}"),
            json!({"status": "resolved", "reason": "x"}),
        ),
        (
            "api/v1/log-level",
            "api/v1/log-level".to_owned(),
            json!({"filter": "trace", "reason": "x"}),
        ),
        (
            "api/v1/channels/{name}/test",
            "api/v1/channels/nobody/test".to_owned(),
            json!({"reason": "x"}),
        ),
    ];
    // What is not there: only who may change something is told so.
    let retry = "api/v1/channels/{name}/deliveries/{id}/retry";
    let missing = [(retry, "api/v1/channels/nobody/deliveries/77/retry")];
    let document = openapi();
    let all = document["paths"].as_object().expect("paths").iter();
    let posts = all.filter(|(_, item)| item.get("post").is_some());
    let posts: BTreeSet<_> = posts
        .map(|(path, _)| path.trim_start_matches('/'))
        .collect();
    let known = changes.iter().map(|(path, ..)| *path);
    let known = known.chain(missing.map(|(path, _)| path));
    assert_eq!(posts, known.chain(["login", "logout"]).collect());
    let state = || {
        let group = errors.group(fingerprint).expect("a group");
        let filter = filter.lock().expect("no panic").clone();
        let rate = breaker.settings().failure_rate;
        (breaker.is_rejecting(), rate, group.status(), filter)
    };
    let before = (false, Some(0.5), GroupStatus::Open, "info".to_owned());
    for (_, path, body) in &changes {
        problem(&console.post(VIEWER, path, body).await, 403);
        assert_eq!(state(), before, "{path}");
    }
    for (_, path) in missing {
        let body = json!({"reason": "x"});
        problem(&console.post(VIEWER, path, &body).await, 403);
        problem(&console.post(OPERATOR, path, &body).await, 404);
    }
    let now = json(&console.get(VIEWER, "api/v1/alerts?state=active").await);
    assert_eq!(now["total"], alerts["total"]);
    let silences = json(&console.get(VIEWER, "api/v1/silences").await);
    assert_eq!(silences["silences"].as_array().map(Vec::len), Some(1));
    assert_eq!(silences["silences"][0]["state"], "active");
    for (_, path, body) in &changes {
        let done = console.post(OPERATOR, path, body).await;
        assert_eq!(done.status(), StatusCode::OK, "{path} {:?}", done.body());
    }
    assert_eq!(
        state(),
        (true, Some(0.25), GroupStatus::Resolved, "trace".to_owned())
    );
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
    let begun = Instant::now();
    let response = ops
        .console::<()>(access())
        .oneshot(request.expect("a request"))
        .await;
    let response = response.expect("infallible");
    assert!(begun.elapsed() < Duration::from_secs(11));
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    problem(&Response::from_parts(parts, body), 408);
}

#[tokio::test]
async fn live_push_refuses_pages_of_other_origins() {
    let console = Console::start(Ops::builder("orders").max_viewers(1)).await;
    let bearer = bearer(VIEWER);
    for foreign in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let headers = [bearer.as_pair(), foreign];
        let response = console
            .send(Method::HEAD, "api/v1/events", &headers, "")
            .await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{foreign:?}");
    }
}

#[tokio::test]
async fn secrets_in_errors_are_redacted() {
    let errors = ErrorTracker::new();
    let secrets = ["hunter2", "s3cr3t-token", "abc.def"];
    let text = "cannot reach postgres://app:hunter2@db?sslkey=1&token=s3cr3t-token, \
                sent Authorization: Bearer abc.def";
    errors.record(ErrorRecord::new("Db", text));
    let console = Console::start(Ops::builder("orders").errors(errors.clone())).await;
    errors.record(ErrorRecord::new("Other", text));
    let failing = std::io::Error::other(text);
    let breaker = CircuitBreaker::builder("security: secrets").consecutive_failures(Some(1));
    let breaker = breaker.build().expect("valid");
    let failed = breaker.call(async { Err::<(), _>(failing) }).await;
    assert!(failed.is_err() && breaker.is_rejecting());
    // The events come from another task.
    let mut events = console.ops.journal().subscribe();
    let is_mine = |subject: &str| matches!(subject, "security: secrets" | "Other");
    let seen = |event: &tower_keep::ops::journal::Event| is_mine(event.subject());
    while console.ops.journal().after(0, 1_000, seen).len() < 2 {
        events.next().await;
    }
    for path in [
        "errors",
        "guards",
        "journal",
        "guards/circuit_breaker/security:%20secrets",
    ] {
        let shown = json(&console.get(VIEWER, &format!("api/v1/{path}")).await).to_string();
        assert!(shown.contains("REDACTED"), "{path} {shown}");
        for secret in secrets {
            assert!(!shown.contains(secret), "{path} {secret} {shown}");
        }
    }
}
