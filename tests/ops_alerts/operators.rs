//! Silences, and changes by operators.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tower_keep::ops::{Ops, Role, alerts::Rule, journal::EventKind};

use crate::{schema, support::*};

#[tokio::test(start_paused = true)]
async fn silence_suppresses_and_ends() {
    let mut service = Service::start(Ops::builder("orders").rule(backlog().for_(Duration::ZERO)));
    let body = json!({"matchers": ["alertname=backlog", "id=a*"], "seconds": 3600, "reason": "the mail server moves"});
    let (status, made) = service.post("api/v1/silences", body).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    schema::check(&openapi(), "SilenceDone", &made);
    service.load("a", 20.0);
    service.load("b", 20.0);
    seconds(1).await;
    let alerts = service.alerts("suppressed=true").await;
    assert_eq!((alerts.len(), &alerts[0]["labels"]["id"]), (1, &json!("a")));
    assert_eq!(alerts[0]["silenced_by"], json!([made["id"]]));
    seconds(15).await;
    // Only the other one was told.
    let told: Vec<_> = service
        .alerts("")
        .await
        .iter()
        .map(|alert| alert["notified_at"].is_number())
        .collect();
    assert_eq!(told, [true, false]);
    let silences = service.get("api/v1/silences", "Silences").await;
    let silence = &silences["silences"][0];
    assert_eq!(
        (&silence["state"], &silence["by"]),
        (&json!("active"), &json!("mira"))
    );
    let path = format!(
        "api/v1/silences/{}/end",
        made["id"].as_str().expect("a text")
    );
    assert_eq!(
        service
            .post(&path, json!({"reason": "it has moved"}))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        service.post(&path, json!({"reason": "again"})).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(service.alerts("suppressed=true").await.len(), 0);
    seconds(61).await;
    assert!(
        service
            .alerts("")
            .await
            .iter()
            .all(|alert| alert["notified_at"].is_number())
    );
    let lines = service.journal(EventKind::Control);
    let expected = [
        "alerts: silenced alertname=backlog, id=a*: the mail server moves by mira",
        "alerts: silence of alertname=backlog, id=a* has ended: it has moved by mira",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn changes_need_an_operator_a_reason_and_permission() {
    let opened = || Ops::builder("orders").rule(Rule::new("many").when("load > 10"));
    let silence = json!({"matchers": ["a=b"], "seconds": 60, "reason": "x"});
    let reason = json!({"reason": "x"});
    let paths = [
        "alerts/0011223344556677/acknowledge",
        "alerts/0011223344556677/resolve",
        "silences/1/end",
    ];
    for (builder, role) in [
        (opened().allow_control(true), Role::Viewer),
        (opened(), Role::Operator),
    ] {
        let service = Service::with(builder, role);
        for path in paths {
            let (status, _) = service
                .post(&format!("api/v1/{path}"), reason.clone())
                .await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        }
        assert_eq!(
            service.post("api/v1/silences", silence.clone()).await.0,
            StatusCode::FORBIDDEN
        );
    }
    let service = Service::start(opened());
    for path in paths {
        let path = format!("api/v1/{path}");
        assert_eq!(
            service.post(&path, reason.clone()).await.0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            service.post(&path, json!({})).await.0,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            service.post(&path, json!({"reason": " "})).await.0,
            StatusCode::BAD_REQUEST
        );
    }
    for (name, value) in [
        ("matchers", json!([])),
        ("matchers", json!(["a"])),
        ("matchers", json!(vec!["a=b"; 11])),
        ("seconds", json!(0)),
        ("seconds", json!(30 * 86_400 + 1)),
        ("starts_at", json!(1e15 as u64)),
        ("reason", json!("")),
    ] {
        let mut body = silence.clone();
        body[name] = value;
        let (status, problem) = service.post("api/v1/silences", body).await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::BAD_REQUEST, &json!(name)),
            "{problem}"
        );
    }
}
