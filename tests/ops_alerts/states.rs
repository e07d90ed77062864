//! States of alerts and of rules.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tower_keep::{
    CircuitBreaker,
    ops::{
        Ops,
        alerts::Rule,
        journal::{Event, EventKind, Severity},
    },
};

use crate::{schema, support::*};

#[tokio::test(start_paused = true)]
async fn alert_is_pending_active_acknowledged_and_resolved() {
    let mut service = Service::start(Ops::builder("orders").rule(backlog()));
    service.load("a", 20.0);
    service.load("b", 5.0);
    seconds(1).await;
    let alerts = service.alerts("").await;
    assert_eq!(states(&alerts), ["backlog pending"]);
    assert_eq!(
        (&alerts[0]["value"], &alerts[0]["labels"]),
        (&json!(20.0), &json!({"id": "a", "team": "mail"}))
    );
    assert_eq!(
        service.act(&alerts[0], "acknowledge").await,
        StatusCode::CONFLICT
    );
    seconds(28).await;
    assert_eq!(states(&service.alerts("").await), ["backlog pending"]);
    seconds(2).await;
    let alerts = service
        .alerts("state=active&severity=warning&rule=backlog&suppressed=false")
        .await;
    assert_eq!(states(&alerts), ["backlog active"]);
    assert_eq!(alerts[0]["summary"], "load of id a is 20, above 10");
    assert_eq!(alerts[0]["annotations"], json!({"runbook": "see a"}));
    let status = service.get("api/v1/status", "Status").await;
    assert_eq!(status["counts"]["alerts_active"], 1);
    let attention = &status["attention"][0];
    assert_eq!(
        attention["text"],
        "Alert backlog: load of id a is 20, above 10"
    );
    assert_eq!(
        attention["link"],
        format!(
            "#alerts?at={}",
            alerts[0]["fingerprint"].as_str().expect("a text")
        )
    );

    assert_eq!(service.act(&alerts[0], "acknowledge").await, StatusCode::OK);
    let alerts = service.alerts("").await;
    assert_eq!(states(&alerts), ["backlog acknowledged"]);
    assert_eq!(
        (
            &alerts[0]["acknowledged"]["by"],
            &alerts[0]["acknowledged"]["reason"]
        ),
        (&json!("mira"), &json!("on it"))
    );
    let status = service.get("api/v1/status", "Status").await;
    assert_eq!(status["attention"], json!([]), "somebody takes care of it");
    // More severe than what was acknowledged.
    service.load("a", 200.0);
    seconds(10).await;
    assert_eq!(
        states(&service.alerts("severity=critical").await),
        ["backlog active"]
    );

    service.load("a", 1.0);
    seconds(60).await;
    assert_eq!(
        states(&service.alerts("").await),
        ["backlog active"],
        "it is kept for a minute"
    );
    seconds(20).await;
    assert_eq!(states(&service.alerts("").await), [""; 0]);
    let alerts = service.alerts("state=resolved").await;
    assert_eq!(states(&alerts), ["backlog resolved"]);
    assert_eq!(alerts[0]["resolution"], "the condition no longer holds");
    let path = format!(
        "api/v1/alerts/{}",
        alerts[0]["fingerprint"].as_str().expect("a text")
    );
    let detail = service.get(&path, "AlertDetail").await;
    let timeline = detail["timeline"].as_array().expect("a list");
    let words: Vec<_> = timeline
        .iter()
        .filter_map(|entry| entry["what"].as_str())
        .collect();
    assert_eq!(
        words[..3],
        ["pending", "active", "acknowledged"],
        "{words:?}"
    );
    assert!(
        words.contains(&"unacknowledged")
            && words.contains(&"severity")
            && words.contains(&"resolved"),
        "{words:?}"
    );
    let lines = service.journal(EventKind::Alert);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        service.journal(EventKind::Control),
        ["backlog: alert acknowledged: on it by mira"]
    );
}

#[tokio::test(start_paused = true)]
async fn rules_say_what_they_saw_last() {
    let rules = [
        backlog(),
        Rule::new("none").when("no_such_metric > 1"),
        Rule::new("wrong").when("p95(load) > 1"),
        Rule::new_errors(),
    ];
    let mut service = Service::start(Ops::builder("orders").rules(rules));
    service.load("a", 20.0);
    service.load("b", 30.0);
    seconds(5).await;
    let rules = service.get("api/v1/rules", "Rules").await;
    let rule = |name: &str| {
        let rules = rules["rules"].as_array().expect("a list");
        rules
            .iter()
            .find(|rule| rule["name"] == name)
            .expect(name)
            .clone()
    };
    let found = rule("backlog");
    assert_eq!(
        (&found["state"], &found["last_value"], &found["series"]),
        (&json!("pending"), &json!(30.0), &json!(2))
    );
    assert_eq!(
        (&found["when"], &found["threshold"]),
        (&json!("load by (id) > 10"), &json!(10.0))
    );
    assert_eq!(rule("none")["last_value"], Value::Null);
    assert!(rule("none")["last_at"].is_number());
    let error = rule("wrong")["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(
        error,
        "agg is p95, must be sum, avg, min, max or count for a gauge"
    );
    assert_eq!(rule("new_errors")["what"], "event of error");
}

#[tokio::test(start_paused = true)]
async fn alerts_come_in_pages() {
    let rule = Rule::new("backlog")
        .when("load by (id) > 10")
        .keep_firing_for(Duration::ZERO);
    let mut service = Service::start(Ops::builder("orders").rule(rule));
    for id in 0..5 {
        service.load(&id.to_string(), 20.0);
    }
    seconds(1).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for pages in 1.. {
        let page = service
            .get(
                &format!("api/v1/alerts?state=all&limit=2{cursor}"),
                "Alerts",
            )
            .await;
        assert_eq!(page["total"], 5);
        seen.extend(
            page["alerts"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|alert| alert["seq"].as_u64()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => {
                assert_eq!(pages, 3);
                break;
            }
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1].map(Some));
    for query in [
        "state=open",
        "severity=high",
        "suppressed=1",
        "limit=0",
        "cursor=x",
        "labels=a",
    ] {
        let (status, problem) = service
            .send(Method::GET, &format!("api/v1/alerts?{query}"), None)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        schema::check(&openapi(), "Problem", &problem);
    }
}

#[tokio::test(start_paused = true)]
async fn open_breaker_is_an_alert_at_once_and_resolves() {
    let service = Service::start(
        Ops::builder("orders")
            .rule(Rule::breaker_open())
            .rule(Rule::breaker_opened()),
    );
    seconds(1).await;
    let breaker = CircuitBreaker::new("alerts-test-payments");
    breaker.force_open();
    // Less than the time to the next evaluation.
    seconds(1).await;
    let alerts = service.alerts("").await;
    let about: Vec<_> = alerts
        .iter()
        .filter(|alert| {
            alert["summary"]
                .as_str()
                .unwrap_or_default()
                .contains("alerts-test-payments")
        })
        .cloned()
        .collect();
    let mut found = states(&about);
    found.sort();
    assert_eq!(found, ["breaker_open active", "breaker_opened active"]);
    assert_eq!(
        about
            .iter()
            .filter(|alert| alert["summary"] == "Circuit breaker alerts-test-payments is open")
            .count(),
        1
    );
    breaker.reset();
    seconds(90).await;
    let resolved = service.alerts("state=resolved").await;
    assert_eq!(resolved.len(), 2, "{resolved:?}");
}

#[tokio::test(start_paused = true)]
async fn event_of_the_application_is_an_alert() {
    let rule = Rule::new("imports").when("event(custom){subject=\"import\", shop=\"eu\"}");
    let service = Service::start(Ops::builder("orders").rule(rule));
    seconds(1).await;
    for (severity, shop) in [
        (Severity::Critical, "us"),
        (Severity::Info, "eu"),
        (Severity::Critical, "eu"),
    ] {
        let event = Event::new(EventKind::Custom, severity, "import", "the file is damaged")
            .with("shop", shop);
        service.ops.journal().record(event);
    }
    seconds(1).await;
    let alerts = service.alerts("").await;
    assert_eq!(
        (states(&alerts), &alerts[0]["severity"]),
        (vec!["imports active".to_owned()], &json!("critical"))
    );
    assert_eq!(alerts[0]["summary"], "import: the file is damaged");
    seconds(15 * 60).await;
    assert_eq!(service.alerts("").await.len(), 0);
}
