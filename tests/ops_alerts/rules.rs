//! Conditions of rules, and the scrape.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_keep::ops::{
    Ops,
    alerts::{NoData, Rule},
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn rules_about_calls_have_a_value_per_route() {
    let rules = [
        Rule::new("all").when("error_ratio > 15%"),
        Rule::new("route").when("error_ratio{route=\"POST /pay\"} >= 50%"),
        Rule::new("slow").when("p50(call_latency) by (route) > 1s"),
        Rule::new("quiet")
            .when("call_rate{side=\"client\"} < 1")
            .no_data(NoData::Ok),
    ];
    let mut service = Service::start(Ops::builder("orders").rules(rules));
    metrics::with_local_recorder(service.ops.recorder(), || {
        for (outcome, calls) in [("success", 8), ("failure", 2)] {
            let labels = [
                ("service", "orders"),
                ("kind", "server"),
                ("outcome", outcome),
            ];
            metrics::counter!("tower_keep_calls_total", &labels).increment(calls);
        }
        for (method, route, error, seconds) in [
            ("POST", "/pay", "500", 0.1),
            ("POST", "/pay", "", 0.1),
            ("GET", "/orders/{id}", "", 2.0),
        ] {
            let labels = [
                ("http_request_method", method),
                ("http_route", route),
                ("error_type", error),
            ];
            metrics::histogram!("http_server_request_duration_seconds", &labels).record(seconds);
        }
    });
    service.load("a", 0.0);
    seconds(5).await;
    let mut alerts = service.alerts("").await;
    alerts.sort_by_key(|alert| alert["rule"].to_string());
    let found: Vec<_> = alerts
        .iter()
        .map(|alert| alert["summary"].as_str().unwrap_or_default())
        .collect();
    let expected = [
        "error ratio is 20 %, above 15 %",
        "error ratio of route POST /pay is 50 %, at least 50 %",
        "p50 latency of route GET /orders/{id} is 2",
    ];
    assert_eq!(found[..2], expected[..2]);
    assert!(found[2].starts_with(expected[2]), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn scrape_has_a_series_for_each_alert_that_is_not_resolved() {
    let mut service = Service::start(Ops::builder("orders").rule(backlog()));
    service.load("a \"quoted\"", 20.0);
    seconds(1).await;
    let (_, text) = service.send(Method::GET, "metrics", None).await;
    let text = text.as_str().expect("a text");
    let line = r#"tower_keep_alerts{alertname="backlog",alertstate="pending",acknowledged="false",severity="warning",id="a \"quoted\"",team="mail"} 1"#;
    assert!(text.contains(line), "{text}");
    seconds(40).await;
    let request =
        Request::get("/metrics").header("accept", "application/openmetrics-text; version=1.0.0");
    let response = service
        .router
        .clone()
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let body = response
        .expect("infallible")
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains(&line.replace("pending", "firing")), "{text}");
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
}

#[test]
fn wrong_rules_are_named_with_field_and_range() {
    let error = |rule: Rule| {
        let built = Ops::builder("orders").rule(rule).build();
        built.expect_err("invalid").to_string()
    };
    let named = |when: &str| Rule::new("r").when(when);
    let week = Duration::from_secs(7 * 86_400 + 1);
    for (rule, expected) in [
        (
            Rule::new("").when("load > 1"),
            r#"rule "": name is "", must be 1 to 128 bytes without control characters"#,
        ),
        (
            Rule::new("r"),
            r#"rule "r": when is "", must be a condition, like error_ratio{route="POST /pay"} > 5%"#,
        ),
        (
            named("load"),
            r#"rule "r": when is "load", must be a comparison with >, >=, <, <=, == or !=, like > 5%"#,
        ),
        (
            named("load > 1").for_(week),
            r#"rule "r": for is 604801s, must be 0ns to 604800s"#,
        ),
        (
            named("load > 1").every(Duration::ZERO),
            r#"rule "r": every is 0ns, must be 1s to 3600s"#,
        ),
        (
            named("load > 1").max_alerts(0),
            r#"rule "r": max_alerts is 0, must be 1 to 1000"#,
        ),
        (
            named("load > 1").critical_at(0.5),
            r#"rule "r": critical_at is 0.5, must be a number that is > 1 itself"#,
        ),
        (
            named("load > 1").label("a-b", "x"),
            r#"rule "r": labels is "a-b", must be of names like team: letters, digits and _, at most 128 bytes"#,
        ),
        (
            named("event(error)").for_(Duration::from_secs(1)),
            r#"rule "r": for is 1s, must be zero for events, which have no duration"#,
        ),
        (
            named("event(alert)"),
            r#"rule "r": when is event(alert), must be an event of another kind"#,
        ),
    ] {
        assert_eq!(error(rule), expected);
    }
    let twice = Ops::builder("orders").rules([named("load > 1"), named("load > 2")]);
    let twice = twice.build().expect_err("the same name").to_string();
    assert_eq!(
        twice,
        r#"alerts: rules is "r" twice, must be the name of one rule only"#
    );
}
