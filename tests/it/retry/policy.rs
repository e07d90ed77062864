//! Policies of one's own: another attempt by request, result and attempt.

use std::{sync::Mutex, time::Duration};

use tower::{Layer, ServiceExt};
use tower_keep::{
    BoxError,
    retry::{AttemptResult, Backoff, Budget, Retry, RetryDecision, RetryLayer, RetryPolicy},
    testing::{Reply, Script, ScriptedBody},
};

use crate::support::meter::meter;

/// Not `Clone`: copies are the policy's business.
#[derive(Debug, PartialEq)]
struct Order {
    key: Option<u32>,
}

type Answer = http::Response<ScriptedBody>;
type DecideFn = fn(&AttemptResult<'_, Order, Answer>) -> RetryDecision;

struct Keyed(DecideFn);

impl RetryPolicy<Order, Answer> for Keyed {
    fn clone_request(&self, order: &Order) -> Option<Order> {
        match order.key {
            Some(13) => std::panic::resume_unwind(Box::new("unlucky")),
            key => key.map(|key| Order { key: Some(key) }),
        }
    }
    fn decide(&self, tried: &AttemptResult<'_, Order, Answer>) -> RetryDecision {
        (self.0)(tried)
    }
}

fn retry() -> Retry {
    let backoff = Backoff::constant(Duration::from_secs(1));
    let retry = Retry::builder("policy").max_attempts(4).backoff(backoff);
    retry.build().expect("settings")
}

async fn call(decide: DecideFn, script: &Script, key: Option<u32>) -> Result<u16, BoxError> {
    let service = RetryLayer::with_policy(retry(), Keyed(decide)).layer(script.clone());
    let answer = service.oneshot(Order { key }).await?;
    Ok(answer.status().as_u16())
}

fn until_ok(tried: &AttemptResult<'_, Order, Answer>) -> RetryDecision {
    match tried.result {
        Ok(answer) => RetryDecision::from(answer.status() != 200),
        Err(_) => tried.default_decision,
    }
}

#[tokio::test(start_paused = true)]
async fn policy_may_retry_a_success() {
    let script: Script = Script::new([Reply::status(202), Reply::error("reset"), Reply::ok()]);
    assert_eq!(
        call(until_ok, &script, Some(1)).await.expect("an answer"),
        200
    );
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn policy_without_clone_sends_once() {
    let meter = meter();
    let script: Script = Script::always(|| Reply::status(202));
    assert_eq!(call(until_ok, &script, None).await.expect("an answer"), 202);
    assert_eq!(script.calls(), 1);
    let labels = [("retry", "policy"), ("reason", "not_repeatable")];
    assert_eq!(
        meter.sum("tower_keep_not_retried_total", &labels),
        Some(1.0)
    );
}

#[tokio::test(start_paused = true)]
async fn policy_sees_request_result_and_attempt() {
    type Seen = (Option<Option<u32>>, u32, RetryDecision);
    static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
    fn look(tried: &AttemptResult<'_, Order, Answer>) -> RetryDecision {
        let request = tried.request.map(|order| order.key);
        let seen = (request, tried.attempt.number(), tried.default_decision);
        SEEN.lock().expect("whole").push(seen);
        tried.default_decision
    }
    let script: Script = Script::always(|| Reply::error("reset"));
    assert!(call(look, &script, Some(7)).await.is_err());
    let seen = SEEN.lock().expect("whole");
    let kept = Some(Some(7));
    let retry = RetryDecision::Retry;
    let all = [
        (kept, 1, retry),
        (kept, 2, retry),
        (kept, 3, retry),
        (None, 4, retry),
    ];
    assert_eq!(seen[..], all);
}

#[tokio::test(start_paused = true)]
async fn policy_may_stop_a_retry() {
    let script: Script = Script::always(|| Reply::error("reset"));
    assert!(
        call(|_| RetryDecision::Stop, &script, Some(1))
            .await
            .is_err()
    );
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn policy_is_bounded_by_attempts_and_budget() {
    let always: DecideFn = |_| RetryDecision::Retry;
    let script: Script = Script::always(Reply::ok);
    assert_eq!(
        call(always, &script, Some(1))
            .await
            .expect("the last answer"),
        200
    );
    assert_eq!(script.calls(), 4);

    let budget = Budget::window().ratio(0.0).per_second(0.0).build();
    let retry = Retry::builder("spent").budget(budget.expect("settings"));
    let retry = retry.build().expect("settings");
    let script: Script = Script::always(Reply::ok);
    let service = RetryLayer::with_policy(retry, Keyed(always)).layer(script.clone());
    assert!(service.oneshot(Order { key: Some(1) }).await.is_ok());
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn policy_panic_stops_retrying() {
    let script: Script = Script::always(|| Reply::status(202));
    let panics: DecideFn = |_| std::panic::resume_unwind(Box::new("on purpose"));
    assert_eq!(
        call(panics, &script, Some(1)).await.expect("an answer"),
        202
    );
    assert_eq!(script.calls(), 1);
    assert_eq!(
        call(until_ok, &script, Some(13)).await.expect("an answer"),
        202
    );
    assert_eq!(script.calls(), 2);
}
