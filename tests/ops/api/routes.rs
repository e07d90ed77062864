//! Figures of routes, operations and of all calls.

use serde_json::{Value, json};
use tower_keep::ops::Ops;

use super::fixtures::{console, console_without_driver, seconds_since_1970};
use crate::support::*;

#[tokio::test]
async fn status_has_calls_of_all_protocols_together() {
    let (console, _breakers) = console_without_driver().await;
    let status = json(&console.get(VIEWER, "api/v1/status").await);
    let calls = &status["calls"];
    let about = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap_or(f64::NAN);
        assert!(
            (value / expected - 1.0).abs() < 0.05,
            "{value} {expected} {calls}"
        );
    };
    // In the six seconds for which there is a history.
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
