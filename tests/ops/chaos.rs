//! Chaos that operators switch on and off, under a paused clock.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;
use tower_keep::{CircuitBreaker, chaos::Chaos};

use super::guards::{Guards, line, seconds};

#[tokio::test(start_paused = true)]
async fn chaos_is_switched_on_for_a_time_and_ends_by_itself() {
    let guards = Guards::start();
    let chaos = Chaos::new("control-chaos");
    let guard = guards.guard_of("chaos", "control-chaos").await;
    let controls = json!(["reset", "hold_on", "hold_off", "release"]);
    assert_eq!(
        (&guard["state"], &guard["controls"]),
        (&json!("off"), &controls)
    );
    let on = json!({"action": "hold_on", "seconds": 60, "reason": "game day"});
    assert_eq!(
        guards.act_on_chaos("control-chaos", on).await,
        StatusCode::OK
    );
    let guard = guards.guard_of("chaos", "control-chaos").await;
    assert_eq!(
        (&guard["state"], &guard["held"]),
        (&json!("on"), &json!("hold_on"))
    );
    assert!(chaos.is_on());
    seconds(59).await;
    assert!(chaos.is_on());
    seconds(2).await;
    assert!(!chaos.is_on());
    let expected = [
        line("hold_on for 60 s: game day by mira", "off", "on"),
        line("hold_on has ended: its time is over", "", "off"),
    ];
    assert_eq!(guards.journal("control-chaos"), expected);
}

#[tokio::test(start_paused = true)]
async fn chaos_of_the_application_is_switched_off_for_a_time_and_given_back() {
    let guards = Guards::start();
    let chaos = Chaos::new("control-chaos-off");
    chaos.enable_for(Duration::from_secs(90));
    let off = json!({"action": "hold_off", "seconds": 60, "reason": "an incident"});
    assert_eq!(
        guards.act_on_chaos("control-chaos-off", off.clone()).await,
        StatusCode::OK
    );
    assert!(!chaos.is_on());
    seconds(61).await;
    assert!(chaos.is_on());
    assert_eq!(
        guards.act_on_chaos("control-chaos-off", off).await,
        StatusCode::OK
    );
    seconds(61).await;
    assert!(!chaos.is_on(), "its own time is over");
    // A breaker is not switched on.
    let breaker = CircuitBreaker::new("control-chaos-breaker");
    let on = json!({"action": "hold_on", "seconds": 60, "reason": "x"});
    let (status, problem) = guards
        .post("control-chaos-breaker", "control", on.clone())
        .await;
    assert_eq!(
        (status, breaker.is_rejecting()),
        (StatusCode::NOT_FOUND, false)
    );
    let text = r#"circuit_breaker "control-chaos-breaker" has no action hold_on"#;
    assert_eq!(problem["detail"], text);
    // Nor one that is not there.
    let (_, problem) = guards.post("payments", "control", on).await;
    let text = r#"there is no circuit_breaker "payments""#;
    assert_eq!(problem["detail"], text);
}

/// Nobody must forget it.
#[tokio::test(start_paused = true)]
async fn chaos_that_is_on_needs_attention() {
    let guards = Guards::start();
    let chaos = Chaos::new("control-chaos-seen");
    let texts = async || {
        let request = Request::get("/api/v1/status").body(Body::empty());
        let (_, status) = guards.send(request.expect("a request")).await;
        status["attention"].to_string()
    };
    let text = "Chaos control-chaos-seen is on: it injects faults on purpose";
    assert!(!texts().await.contains(text));
    chaos.enable();
    assert!(texts().await.contains(text));
}
