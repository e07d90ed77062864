//! Every answer is as `openapi.json` says.

use http::StatusCode;
use serde_json::Value;
use tower_keep::ops::{Ops, workflow};

#[cfg(feature = "ops-logs")]
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::fixtures::console;
use crate::{schema::validate, support::*};

/// Runs a workflow that has all there is, and fails, and returns its ID.
async fn failed_workflow(ops: &Ops) -> String {
    let mut id = None;
    let import = ops.workflow("import <b>").attribute("file", "x.csv");
    let import = import.expected_steps(3).run_display(|flow| {
        id = flow.id();
        async move {
            let check = async { workflow("check").run_infallible(|_| async {}).await };
            flow.step("check").run_infallible(check).await;
            let mut load = flow.step("load").text("line 3");
            let progress = load.progress();
            let load = load.run_display(async {
                progress.set_count(3, 10);
                Err::<(), _>("no disk")
            });
            load.await
        }
    });
    import.await.expect_err("failed");
    id.expect("recorded").to_string()
}

fn path_of(described: &str, console_errors: &Value, alert: &str) -> String {
    let fingerprint = console_errors["groups"][0]["fingerprint"].as_str();
    described
        .replace("alerts/{fingerprint}", &format!("alerts/{alert}"))
        .replace("{kind}", "circuit_breaker")
        .replace(
            "guards/circuit_breaker/{name}",
            "guards/circuit_breaker/api%3A%20payments%20%2F%20eu",
        )
        .replace("channels/{name}", "channels/nobody")
        .replace("health/{name}", "health/ledger%20%3Cb%3E")
        .replace("metrics/{name}", "metrics/tower_keep_calls_total")
        .replace("{fingerprint}", fingerprint.unwrap_or_default())
        .replace(
            "metrics/query",
            "metrics/query?name=operation_duration_seconds&by=kind&agg=p95",
        )
}

/// Records a span, and returns the IDs of its trace and of itself.
#[cfg(feature = "ops-logs")]
async fn kept_span(console: &Console) -> (String, String) {
    crate::callsites::ask_all_subscribers();
    let subscriber = registry().with(console.ops.layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("job", rows = 7).in_scope(|| tracing::info!("done"));
    });
    let traces = json(&console.get(VIEWER, "api/v1/traces").await);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let trace = text(&traces["traces"][0]["trace_id"]);
    let spans = json(&console.get(VIEWER, &format!("api/v1/traces/{trace}")).await);
    let span = text(&spans["spans"]["id"][0]);
    (trace, span)
}

/// Returns the fingerprint of the first alert, once there is one.
async fn first_alert(console: &Console) -> String {
    loop {
        let alerts = json(&console.get(VIEWER, "api/v1/alerts").await);
        if let Some(fingerprint) = alerts["alerts"][0]["fingerprint"].as_str() {
            return fingerprint.to_owned();
        }
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let (console, _breakers) = console().await;
    let document = openapi();
    let errors = json(&console.get(VIEWER, "api/v1/errors").await);
    let alert = first_alert(&console).await;
    let workflow = failed_workflow(&console.ops).await;
    #[cfg(feature = "ops-logs")]
    let (trace, span) = kept_span(&console).await;
    let paths = document["paths"].as_object().expect("paths");
    let mut checked = 0;
    for (path, item) in paths {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() || path == "/health" {
            continue;
        }
        let path = path.replace("workflows/{id}", &format!("workflows/{workflow}"));
        #[cfg(not(feature = "ops-logs"))]
        if path.starts_with("/api/v1/traces") || path.starts_with("/api/v1/logs") {
            continue;
        }
        #[cfg(feature = "ops-logs")]
        let path = path
            .replace("{trace_id}", &trace)
            .replace("{span_id}", &span);
        let path = path_of(path.trim_start_matches('/'), &errors, &alert);
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
