//! Every answer is as `openapi.json` says.

use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::{
    BoxError, CircuitBreaker,
    errors::{ErrorRecord, ErrorTracker},
    ops::{
        Ops,
        health::{Check, HealthStatus},
        journal::{Event, EventKind, Severity},
    },
};

use super::{
    schema::{self, validate},
    support::*,
};

fn seconds_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// Records HTTP and gRPC calls, operations and a gauge, and ticks over them.
fn record(ops: &Ops) {
    use metrics::{counter, gauge, histogram};
    let recorder = ops.recorder();
    let end = seconds_since_1970();
    for second in end - 5..=end {
        metrics::with_local_recorder(recorder, || {
            for (outcome, calls) in [("success", 80), ("failure", 20)] {
                let labels = [
                    ("service", "orders"),
                    ("kind", "server"),
                    ("outcome", outcome),
                ];
                counter!("tower_keep_calls_total", &labels).increment(calls);
            }
            let http = [
                ("http_request_method", "GET"),
                ("http_route", "/orders/{id}"),
            ];
            histogram!("http_server_request_duration_seconds", &http).record(0.1);
            let failed = [http[0], http[1], ("error_type", "500")];
            histogram!("http_server_request_duration_seconds", &failed).record(0.1);
            let grpc = [
                ("rpc_system_name", "grpc"),
                ("rpc_method", "shop.Orders/Get"),
            ];
            for _ in 0..8 {
                histogram!("rpc_server_call_duration_seconds", &grpc).record(0.4);
            }
            let pay = [
                ("operation", "pay"),
                ("kind", "payments"),
                ("outcome", "timed_out"),
            ];
            histogram!("operation_duration_seconds", &pay).record(2.0);
            gauge!("http_server_active_requests", "url_scheme" => "http").set(3.0);
        });
        recorder.tick(second);
    }
}

async fn console() -> (Console, Vec<CircuitBreaker>) {
    let errors = ErrorTracker::new();
    let check = || async { HealthStatus::Healthy };
    let builder = Ops::builder("orders")
        .errors(errors.clone())
        .version("1.2.3");
    let builder = builder.check(
        Check::new("ledger <b>", check)
            .critical()
            .group("readiness"),
    );
    let set = |_: &str| -> Result<(), BoxError> { Ok(()) };
    let builder = builder.log_filter((|| "info".to_owned(), set));
    let console = Console::start(builder.allow_control(true)).await;
    let breaker = CircuitBreaker::new("api: payments / eu");
    breaker.force_open();
    let error = ErrorRecord::new("Disk", "disk is <img onerror=alert(1)> full");
    errors.record(error);
    record(&console.ops);
    (console, vec![breaker])
}

fn path_of(described: &str, console_errors: &Value) -> String {
    let fingerprint = console_errors["groups"][0]["fingerprint"].as_str();
    described
        .replace("{kind}", "circuit_breaker")
        .replace(
            "guards/circuit_breaker/{name}",
            "guards/circuit_breaker/api%3A%20payments%20%2F%20eu",
        )
        .replace("health/{name}", "health/ledger%20%3Cb%3E")
        .replace("metrics/{name}", "metrics/tower_keep_calls_total")
        .replace("{fingerprint}", fingerprint.unwrap_or_default())
        .replace(
            "metrics/query",
            "metrics/query?name=operation_duration_seconds&by=kind&agg=p95",
        )
}

#[tokio::test]
async fn answers_are_as_described() {
    let (console, _breakers) = console().await;
    let document = openapi();
    let errors = json(&console.get(VIEWER, "api/v1/errors").await);
    let paths = document["paths"].as_object().expect("paths");
    let mut checked = 0;
    for (path, item) in paths {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() || path == "/health" {
            continue;
        }
        let path = path_of(path.trim_start_matches('/'), &errors);
        let response = console.get(VIEWER, &path).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{path} {:?}",
            response.body()
        );
        assert_eq!(
            response.headers()["content-type"],
            "application/json",
            "{path}"
        );
        if let Err(error) = validate(&document, schema, &json(&response), "$") {
            panic!("{path}: {error}");
        }
        checked += 1;
    }
    assert!(checked >= 16, "{checked}");
}

#[tokio::test]
async fn status_has_calls_of_all_protocols_together() {
    let (console, _breakers) = console().await;
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    let calls = &status["calls"];
    let about = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap_or(f64::NAN);
        assert!(
            (value / expected - 1.0).abs() < 0.05,
            "{value} {expected} {calls}"
        );
    };
    // In the six seconds for which there is a history, and those that this test takes.
    let per_second = calls["per_second"].as_f64().expect("a number");
    assert!((70.0..=100.0).contains(&per_second), "{calls}");
    about(&calls["error_ratio"], 0.2);
    // Two of ten are HTTP calls.
    about(&calls["p50_seconds"], 0.4);
    about(&calls["in_flight"], 3.0);
    assert_eq!(
        (&status["service"], &status["version"]),
        (&json!("orders"), &json!("1.2.3"))
    );
    let attention = status["attention"].as_array().expect("a list");
    let payments = attention
        .iter()
        .find(|each| each["name"] == "api: payments / eu");
    assert_eq!(payments.expect("it is open")["severity"], "critical");
    let overview = json(&console.get(VIEWER, "api/v1/overview").await);
    let lines = overview["latency"]["p50"].as_array().expect("a line");
    assert_eq!(lines.len(), 300);
    let last = lines.iter().rev().find(|each| !each.is_null());
    about(last.expect("a point"), 0.4);
}

#[tokio::test]
async fn routes_and_operations_have_the_service_and_their_failures() {
    let (console, _breakers) = console().await;
    let routes = json(&console.get(VIEWER, "api/v1/routes").await);
    let routes = routes["routes"].as_array().expect("a list");
    let rows: Vec<_> = routes
        .iter()
        .map(|row| {
            [
                &row["service"],
                &row["method"],
                &row["route"],
                &row["error_ratio"],
            ]
        })
        .collect();
    // The busiest first.
    let expected = [
        [
            json!("orders"),
            json!("grpc"),
            json!("shop.Orders/Get"),
            json!(0.0),
        ],
        [
            json!("orders"),
            json!("GET"),
            json!("/orders/{id}"),
            json!(0.5),
        ],
    ];
    assert_eq!(rows, expected.each_ref().map(|row| row.each_ref()));
    let operations = json(&console.get(VIEWER, "api/v1/operations").await);
    let pay = &operations["operations"][0];
    assert_eq!(
        (&pay["service"], &pay["operation"]),
        (&json!("orders"), &json!("pay"))
    );
    assert_eq!(
        (&pay["kind"], &pay["error_ratio"]),
        (&json!("payments"), &json!(1.0))
    );
}

/// Cancelled calls, and the 404 of a client, counted as errors of their routes.
#[tokio::test]
async fn routes_count_failures_as_the_overview_does() {
    let console = Console::start(Ops::builder("orders")).await;
    let recorder = console.ops.recorder();
    metrics::with_local_recorder(recorder, || {
        let server = |status: &'static str, error: &'static str| {
            let labels = [
                ("http_route", "/orders"),
                ("http_response_status_code", status),
                ("error_type", error),
            ];
            metrics::histogram!("http_server_request_duration_seconds", &labels).record(0.1);
        };
        server("200", "");
        server("", "cancelled");
        server("500", "500");
        server("503", "circuit_open");
        let client = |status: &'static str| {
            let labels = [
                ("server_address", "ledger"),
                ("http_response_status_code", status),
                ("error_type", status),
            ];
            metrics::histogram!("http_client_request_duration_seconds", &labels).record(0.1);
        };
        client("404");
        client("502");
    });
    recorder.tick(seconds_since_1970());
    let routes = json(&console.get(VIEWER, "api/v1/routes").await);
    let routes = routes["routes"].as_array().expect("a list");
    let ratios: Vec<_> = routes
        .iter()
        .map(|row| (&row["side"], &row["error_ratio"]))
        .collect();
    let expected = [(json!("server"), json!(0.5)), (json!("client"), json!(0.5))];
    assert_eq!(
        ratios,
        expected.each_ref().map(|(side, ratio)| (side, ratio))
    );
}

/// Calls whose durations have no history were missing silently, or as if there were too many routes.
#[tokio::test]
async fn routes_say_that_calls_are_missing() {
    let builder = Ops::builder("orders").recorder(|recorder| recorder.history_histograms(2));
    let console = Console::start(builder).await;
    let recorder = console.ops.recorder();
    metrics::with_local_recorder(recorder, || {
        for route in ["/a", "/b", "/c"] {
            metrics::histogram!("http_server_request_body_size_bytes", "http_route" => route)
                .record(9.0);
        }
        metrics::histogram!("http_server_request_duration_seconds", "http_route" => "/a")
            .record(0.1);
    });
    let second = seconds_since_1970();
    recorder.tick(second);
    let found = async || {
        let routes = json(&console.get(VIEWER, "api/v1/routes").await);
        let rows = routes["routes"].as_array().map(Vec::len);
        let missing = routes["without_history"].as_u64();
        (rows, missing, routes["truncated"] == true)
    };
    assert_eq!(found().await, (Some(1), Some(0), false), "durations first");
    metrics::with_local_recorder(recorder, || {
        for route in ["/b", "/c"] {
            metrics::histogram!("http_server_request_duration_seconds", "http_route" => route)
                .record(0.1);
        }
    });
    recorder.tick(second + 1);
    assert_eq!(found().await, (Some(2), Some(1), false));
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    assert_eq!(status["dropped"]["histories"], 4);
}

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
    for n in 0..5 {
        let event = Event::new(
            EventKind::Custom,
            Severity::Info,
            "orders",
            format!("event {n}"),
        );
        console.ops.journal().record(event);
    }
    let last = console.ops.journal().last();
    let path = format!("api/v1/journal?kind=custom&limit=2&after={}", last - 3);
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
