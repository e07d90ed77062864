//! Settings of guards that operators change.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::{CircuitBreaker, chaos::Chaos};

use super::guards::{Guards, line};

#[tokio::test(start_paused = true)]
async fn settings_are_listed_changed_and_journaled() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-set");
    let set = async |setting: &str, value: Value| {
        let body = json!({"setting": setting, "value": value, "reason": "a test"});
        guards.post("control-set", "settings", body).await
    };
    assert_eq!(set("failure_rate", json!(0.25)).await.0, StatusCode::OK);
    assert_eq!(breaker.settings().failure_rate, Some(0.25));
    assert_eq!(set("failure_rate", Value::Null).await.0, StatusCode::OK);
    assert_eq!(
        set("consecutive_failures", json!(3)).await.0,
        StatusCode::OK
    );
    let guard = guards.guard("control-set").await;
    let settings = guard["settings"].as_array().expect("a list");
    let rate = json!({
        "name": "failure_rate", "value": null, "min": 0.001, "max": 1.0, "whole": false, "can_be_off": true
    });
    assert_eq!(settings[0], rate);
    let reason = ": a test by mira";
    let expected = [
        line(
            &format!("failure_rate is 0.25, was 0.5{reason}"),
            "0.5",
            "0.25",
        ),
        line(
            &format!("failure_rate is off, was 0.25{reason}"),
            "0.25",
            "off",
        ),
        line(
            &format!("consecutive_failures is 3, was off{reason}"),
            "off",
            "3",
        ),
    ];
    assert_eq!(guards.journal("control-set"), expected);
}

#[tokio::test(start_paused = true)]
async fn settings_refuse_what_a_guard_cannot_have() {
    let guards = Guards::start();
    let breaker = CircuitBreaker::new("control-set-invalid");
    let before = breaker.settings();
    let set = async |name: &str, body: Value| {
        let (status, problem) = guards.post(name, "settings", body).await;
        let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
        (status.as_u16(), detail)
    };
    let body = |setting: &str, value: Value| json!({"setting": setting, "value": value, "reason": "a test"});
    let name = "control-set-invalid";
    let problem = |status, detail: &str| (status, detail.to_owned());
    let too_high = set(name, body("failure_rate", json!(20))).await;
    let text =
        r#"circuit_breaker "control-set-invalid": failure_rate is 20, must be 0.001 to 1, or off"#;
    assert_eq!(too_high, problem(400, text));
    assert_eq!(set(name, body("probes", Value::Null)).await.0, 400);
    let alone = set(name, body("slow_rate", json!(0.5))).await;
    let text = r#"breaker "control-set-invalid": slow_call is not set, must be set, or slow_rate has no effect"#;
    assert_eq!(alone, problem(400, text));
    let unknown = r#"circuit_breaker "control-set-invalid" has no setting shadow"#;
    assert_eq!(
        set(name, body("shadow", json!(1))).await,
        problem(404, unknown)
    );
    assert_eq!(
        set("none", body("probes", json!(1))).await,
        problem(404, r#"there is no circuit_breaker "none""#)
    );
    let missing = json!({"setting": "probes", "reason": "a test"});
    assert_eq!(
        set(name, missing).await,
        problem(400, "value is missing, must be a number or null")
    );
    let unreasoned = json!({"setting": "probes", "value": 1});
    assert_eq!(set(name, unreasoned).await.0, 400);
    assert_eq!(breaker.settings(), before);
    assert!(guards.journal(name).is_empty());
}

#[tokio::test(start_paused = true)]
async fn rates_of_a_chaos_are_set_and_journaled() {
    let guards = Guards::start();
    let chaos = Chaos::new("control-chaos-rates");
    let set = async |setting: &str, value: f64| {
        let body = json!({"setting": setting, "value": value, "reason": "game day"});
        let name = "control-chaos-rates";
        guards.post_to("chaos", name, "settings", body).await.0
    };
    assert_eq!(set("error_rate", 0.5).await, StatusCode::OK);
    assert_eq!(set("latency_seconds", 0.25).await, StatusCode::OK);
    assert_eq!(set("hang_rate", 0.75).await, StatusCode::BAD_REQUEST);
    let settings = chaos.settings();
    let quarter = Duration::from_millis(250);
    assert_eq!((settings.error_rate, settings.latency), (0.5, quarter));
    assert_eq!(guards.journal("control-chaos-rates").len(), 2);
}
