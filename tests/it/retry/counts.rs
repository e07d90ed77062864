//! Counts of retries, in the metrics and in the registry.

use std::io::Error;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::time::Instant;
use tower_keep::{
    registry::Stat,
    retry::{Attempt, Backoff, Budget, Retry, RetryAfter, RetryDecision},
};

use super::run::{AttemptCounter, builder, constant_backoff, millis};
use crate::support::listing::listing;

#[tokio::test(start_paused = true)]
async fn not_retried_is_counted_by_reason() {
    let recorder = recorder();
    let _listening = metrics::set_default_local_recorder(&recorder);
    let not_retried = |reason: &str| {
        let label = format!(r#"tower_keep_not_retried_total{{retry="peer",reason="{reason}"}}"#);
        count(&recorder, &label)
    };
    let down = |_: Attempt| async { Err::<(), _>(Error::other("down")) };

    let _ = constant_backoff(3).run(down).await;
    assert_eq!(not_retried("max_attempts"), 1);

    let empty = Budget::window().ratio(0.0).per_second(0.0).build().unwrap();
    let _ = builder(3).budget(empty).build().unwrap().run(down).await;
    assert_eq!(not_retried("budget"), 1);

    let late = Instant::now() + millis(10);
    let _ = constant_backoff(3).run(down).deadline(late).await;
    assert_eq!(not_retried("deadline"), 1);

    let _ = constant_backoff(3)
        .run(down)
        .when(|_: &Error| RetryAfter::Never)
        .await;
    assert_eq!(not_retried("retry_after"), 1);

    let _ = constant_backoff(3)
        .run(down)
        .when(|_: &Error| RetryDecision::NotRepeatable)
        .await;
    assert_eq!(not_retried("not_repeatable"), 1);

    // One that no attempt would have helped is not among them.
    let _ = constant_backoff(3).run(down).when(|_: &Error| false).await;
    let reasons = [
        "max_attempts",
        "budget",
        "deadline",
        "retry_after",
        "not_repeatable",
    ];
    assert!(reasons.iter().all(|reason| not_retried(reason) == 1));
}

#[tokio::test(start_paused = true)]
async fn retries_and_recoveries_are_counted() {
    let recorder = recorder();
    let _listening = metrics::set_default_local_recorder(&recorder);
    let tries = AttemptCounter::default();
    let answer = constant_backoff(5)
        .run(|attempt| tries.fail(attempt, 2))
        .await;
    assert_eq!(answer.unwrap(), 3);
    let counted = |name: &str| count(&recorder, &format!(r#"{name}{{retry="peer"}}"#));
    assert_eq!(counted("tower_keep_retries_total"), 2);
    assert_eq!(counted("tower_keep_retries_recovered_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn registry_lists_retry_stats() {
    let listing = listing();
    let listed = || {
        let all = listing.snapshots();
        all.into_iter().find(|guard| guard.name() == "listed retry")
    };
    let down = |_: Attempt| async { Err::<(), _>(Error::other("down")) };
    let budget = Budget::bucket().build().unwrap();
    let builder = Retry::builder("listed retry").backoff(Backoff::constant(millis(1)));
    let retry = builder.budget(budget).build().unwrap();
    let tries = AttemptCounter::default();
    retry.run(|attempt| tries.fail(attempt, 1)).await.unwrap();
    let _ = retry.run(down).await;
    let shown = listed().expect("alive");
    assert_eq!((shown.kind(), shown.state()), ("retry", "on"));
    let expected = [
        ("retries", 3),
        ("unsent_retries", 0),
        ("recovered", 1),
        ("not_retried_max_attempts", 1),
        ("not_retried_budget", 0),
        ("not_retried_deadline", 0),
        ("not_retried_retry_after", 0),
        ("not_retried_not_repeatable", 0),
        ("not_retried_not_ready", 0),
        ("budget_available", 98),
        ("budget_capacity", 100),
    ];
    let stats: Vec<_> = shown.stats().iter().collect();
    let expected: Vec<_> = expected.map(|(name, n)| (name, Stat::Count(n))).into();
    assert!(
        stats
            .iter()
            .copied()
            .eq(expected.iter().map(|(name, stat)| (*name, stat))),
        "{stats:?}"
    );
    drop(retry);
    assert!(listed().is_none());
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

fn count(recorder: &PrometheusRecorder, series: &str) -> u64 {
    let text = recorder.handle().render();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or_default()
}
