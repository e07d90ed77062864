//! Health, scrape, journal and error groups; input that is wrong.

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::ops::{
    health::HealthStatus,
    journal::{Event, EventKind, Severity},
};

use super::fixtures::console;
use crate::{schema, support::*};

#[tokio::test]
async fn bad_input_is_a_problem_that_names_the_field() {
    let (console, _breakers) = console().await;
    let long = format!("api/v1/health/{}", "x".repeat(513));
    let many = format!("api/v1/status/{}", "x".repeat(3));
    for (path, status, field) in [
        ("api/v1/errors?limit=5000", 400, Some("limit")),
        ("api/v1/errors?offset=-1", 400, Some("offset")),
        ("api/v1/errors?status=closed", 400, Some("status")),
        ("api/v1/routes?range=2h", 400, Some("range")),
        ("api/v1/journal?kind=x", 400, Some("kind")),
        ("api/v1/journal?after=1&before=2", 400, Some("before")),
        ("api/v1/journal?until=x", 400, Some("until")),
        ("api/v1/metrics/query?name=", 400, Some("name")),
        (
            "api/v1/metrics/query?name=a&by=a,b,c,d,e,f,g,h,i",
            400,
            Some("by"),
        ),
        ("api/v1/metrics/query?name=a&by=b&by=c", 400, Some("by")),
        ("api/v1/live?channels=all", 400, Some("channels")),
        ("api/v1/events?every=0", 400, Some("every")),
        ("api/v1/live", 400, Some("upgrade")),
        ("api/v1/health/%ff", 400, Some("path")),
        (&long, 400, Some("name")),
        (&many, 404, None),
        ("api/v1/health/none", 404, None),
        ("api/v1/errors/none", 404, None),
        ("api/v1/guards/circuit_breaker/none", 404, None),
        ("api/v1/metrics/none", 404, None),
        ("api/v2/status", 404, None),
        ("assets/none.js", 404, None),
    ] {
        let problem = problem(&console.get(VIEWER, path).await, status);
        assert_eq!(
            problem.get("field").and_then(Value::as_str),
            field,
            "{path}"
        );
    }
    let wrong = console.post(OPERATOR, "api/v1/status", &json!({})).await;
    problem(&wrong, 405);
}

#[tokio::test]
async fn health_document_is_in_the_form_that_is_accepted() {
    let (console, _breakers) = console().await;
    let mut health = console.ops.health().watch();
    let is_healthy = health
        .wait_for(|latest| latest.status == HealthStatus::Healthy)
        .await;
    drop(is_healthy.expect("the console holds it"));
    for (accept, query, content_type, part) in [
        ("*/*", "", "application/health+json", "\"pass\""),
        (
            "application/vnd.spring-boot.actuator.v3+json",
            "",
            "application/vnd.spring-boot.actuator.v3+json",
            "\"UP\"",
        ),
        ("text/plain", "", "text/plain; charset=utf-8", "ledger"),
        ("*/*", "?verbose", "text/plain; charset=utf-8", "ledger"),
        (
            "application/json",
            "?verbose=0",
            "application/json",
            "ledger",
        ),
    ] {
        let bearer = bearer(VIEWER);
        let headers = [bearer.as_pair(), ("accept", accept)];
        let path = format!("health{query}");
        let response = console.send(http::Method::GET, &path, &headers, "").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], content_type);
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert!(text.contains(part) && text.contains("ledger"), "{text}");
    }
}

#[tokio::test]
async fn scrape_is_text_or_openmetrics() {
    let (console, _breakers) = console().await;
    let text = console.get(VIEWER, "metrics").await;
    let content_type = text.headers()["content-type"].to_str().expect("text");
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    let body = String::from_utf8_lossy(text.body()).into_owned();
    assert!(body.contains("\ntower_keep_calls_total{"), "{body}");
    let bearer = bearer(VIEWER);
    let headers = [
        bearer.as_pair(),
        ("accept", "application/openmetrics-text;version=1.0.0"),
    ];
    let open = console
        .send(http::Method::GET, "metrics", &headers, "")
        .await;
    assert!(open.body().ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn journal_pages_by_number() {
    let (console, _breakers) = console().await;
    let record = |n: u32| {
        let text = format!("event {n}");
        let event = Event::new(EventKind::Custom, Severity::Info, "orders", text);
        console.ops.journal().record(event)
    };
    // Other events may come between them.
    let numbers = [0, 1, 2, 3, 4].map(record);
    let path = format!("api/v1/journal?kind=custom&limit=2&after={}", numbers[1]);
    let page = json(&console.get(VIEWER, &path).await);
    let texts = page["events"].as_array().expect("a list").iter();
    let texts: Vec<_> = texts.map(|event| event["text"].clone()).collect();
    assert_eq!(texts, ["event 2", "event 3"]);
}

#[tokio::test]
async fn error_group_changes_its_status() {
    let (console, _breakers) = console().await;
    let errors = json(&console.get(VIEWER, "api/v1/errors").await);
    let fingerprint = errors["groups"][0]["fingerprint"]
        .as_str()
        .expect("a group");
    let path = format!("api/v1/errors/{fingerprint}");
    for (status, code) in [
        ("resolved", 200),
        ("ignored", 200),
        ("open", 200),
        ("gone", 400),
    ] {
        let body = json!({"status": status, "reason": "deployed a fix"});
        let response = console.post(OPERATOR, &path, &body).await;
        assert_eq!(response.status(), code, "{:?}", response.body());
        if code == 200 {
            schema::check(&openapi(), "Done", &json(&response));
            let group = json(&console.get(VIEWER, &path).await);
            assert_eq!(group["status"], status);
        }
    }
    let events = console
        .ops
        .journal()
        .after(0, 100, |event| event.kind() == EventKind::Control);
    let changes: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.data()["before"].clone(),
                event.data()["after"].clone(),
            )
        })
        .collect();
    let pair = |a: &str, b: &str| (json!(a), json!(b));
    let expected = [
        pair("open", "resolved"),
        pair("resolved", "ignored"),
        pair("ignored", "open"),
    ];
    assert_eq!(changes, expected);
}
