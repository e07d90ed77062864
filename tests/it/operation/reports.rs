//! Log lines, spans and metrics of runs.

use std::{future::pending, io, time::Duration};

use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{Context, GuardLayer, operation::operation};
use tracing::Level;

use super::{DURATION, IN_FLIGHT, NoRow, Unreadable, lines, only_line, tracked};
use crate::support::{
    alone,
    logs::logs,
    meter::{Replaced, meter},
};

#[tokio::test(start_paused = true)]
async fn slow_thresholds_log_and_count() {
    let (meter, logs) = (meter(), logs());
    let (work, _) = tracked("slow");
    let work = work
        .kind("db")
        .slow(Duration::from_millis(200))
        .critical(Duration::from_secs(2));
    for (millis, slow, level) in [
        (199, "", Level::DEBUG),
        (200, "warning", Level::WARN),
        (2_000, "critical", Level::WARN),
    ] {
        work.clone()
            .run_infallible(sleep(Duration::from_millis(millis)))
            .await;
        let line = only_line(&logs);
        assert_eq!((line.get("slow"), line.level), (slow, level), "{millis}");
        assert_eq!(line.get("duration_ms"), format!("{millis}.0"));
    }
    let slow = "operation_slow_total";
    for level in ["warning", "critical"] {
        let labels = [("operation", "slow"), ("kind", "db"), ("level", level)];
        assert_eq!(meter.sum(slow, &labels), Some(1.0));
    }
    // Never slow unless somebody has said what slow is.
    operation("unhurried")
        .run_infallible(sleep(Duration::from_secs(3_600)))
        .await;
    assert_eq!(only_line(&logs).get("slow"), "");
    assert_eq!(
        meter.sum(&format!("{DURATION}_sum"), &[("operation", "slow")]),
        Some(2.399)
    );
}

#[tokio::test]
async fn input_and_output_are_opt_in_and_truncated() {
    let logs = logs();
    let (work, _) = tracked("shown");
    let secret = async || Ok::<_, NoRow>("a secret".to_owned());
    work.clone().run(secret()).await.unwrap();
    let line = only_line(&logs);
    assert_eq!((line.get("input"), line.get("output")), ("", ""));
    assert!(!format!("{line:?}").contains("secret"));

    let shown = work.clone().input("order 7").run(secret());
    shown
        .output(|result| format!("{} bytes", result.as_ref().map_or(0, String::len)))
        .await
        .unwrap();
    let line = only_line(&logs);
    assert_eq!(
        (line.get("input"), line.get("output")),
        ("order 7", "8 bytes")
    );

    let long = "ü".repeat(2_000);
    let too_long = long.clone();
    work.clone()
        .input(&long)
        .run_infallible(async {})
        .output(move |()| too_long.clone())
        .await;
    let line = only_line(&logs);
    for field in ["input", "output"] {
        let shown = line.get(field);
        assert!(
            shown.len() <= 1_024 && shown.starts_with("üüü"),
            "{}",
            shown.len()
        );
    }

    // A description that panics is no description, and harms nobody.
    let result = work
        .run_infallible(async { 7 })
        .output(|_| panic!("indescribable"))
        .await;
    assert_eq!((result, only_line(&logs).get("outcome")), (7, "success"));
}

#[tokio::test]
async fn failure_is_warning_in_a_call_and_error_outside() {
    let logs = logs();
    let (work, errors) = tracked("loud");
    let fail = || work.clone().run(async { Err::<(), _>(NoRow(7)) });
    let _ = fail().await;
    let line = only_line(&logs);
    assert_eq!(line.level, Level::ERROR);
    assert_eq!(
        (line.get("error"), line.get("error_type")),
        ("no row for order 7", "NoRow")
    );
    assert_eq!(
        line.get("error_group"),
        errors.groups()[0].fingerprint().to_string()
    );
    assert_eq!(line.get("correlation_id"), "");

    // A context alone reports nothing; a guarded call does.
    let call = Context::new_root();
    let _ = call.scope(fail()).await;
    assert_eq!(only_line(&logs).level, Level::ERROR);
    let guarded =
        GuardLayer::any(tower_keep::context::InheritContext).layer(service_fn(|()| fail()));
    let _ = call.scope(guarded.oneshot(())).await;
    let line = only_line(&logs);
    assert_eq!(line.level, Level::WARN);
    assert_eq!(line.get("correlation_id"), call.correlation_id());
    assert_eq!(line.get("request_id"), call.request_id());
}

/// `the index cannot be read` was all that there was.
#[tokio::test]
async fn failure_log_has_root_cause() {
    let logs = logs();
    let (work, _) = tracked("deep");
    let error = Unreadable(io::Error::other("the disk is gone"));
    let _ = work.run(async { Err::<(), _>(error) }).await;
    let line = only_line(&logs);
    assert_eq!(line.get("error"), "the index cannot be read");
    assert_eq!(line.get("root_cause"), "the disk is gone");
}

#[tokio::test]
async fn span_covers_the_work() {
    let logs = logs();
    let (work, _) = tracked("spanned");
    let say = async {
        tracing::info!(target: "work", "before");
        tokio::task::yield_now().await;
        tracing::info!(target: "work", "after");
        Err::<(), _>(NoRow(7))
    };
    let _ = work.kind("db").run(say).await;
    let spans = logs.spans();
    let span = &spans[0];
    assert_eq!((span.name, span.level), ("operation", Level::DEBUG));
    assert_eq!((span.get("otel.name"), span.get("kind")), ("spanned", "db"));
    assert_eq!(
        (span.get("outcome"), span.get("otel.status_code")),
        ("failure", "ERROR")
    );
    assert!(span.closed);
    assert!(
        logs.events("work")
            .iter()
            .all(|event| event.span == Some(0))
    );
    assert_eq!(lines(&logs)[0].span, Some(0));
}

#[tokio::test]
async fn nested_operations_are_child_spans() {
    let (meter, logs) = (meter(), logs());
    let (outer, errors) = tracked("outer");
    let inner = operation("inner").errors(errors.clone());
    let result = outer
        .run(async { inner.run(async { Err::<(), _>(NoRow(7)) }).await })
        .await;
    assert_eq!(result.unwrap_err().0, 7);
    for name in ["outer", "inner"] {
        assert_eq!(
            meter.count(DURATION, &[("operation", name), ("outcome", "failure")]),
            1.0
        );
    }
    let parents: Vec<_> = logs.spans().iter().map(|span| span.parent).collect();
    assert_eq!(parents, [None, Some(0)]);
    let routes: Vec<_> = errors
        .groups()
        .iter()
        .map(|group| group.route().map(str::to_owned))
        .collect();
    assert_eq!(routes.len(), 2, "a group for each: {routes:?}");
}

#[tokio::test]
async fn failure_counts_without_error_tracker() {
    let (meter, logs) = (meter(), logs());
    let _ = operation("untracked")
        .errors(None)
        .run(async { Err::<(), _>(NoRow(7)) })
        .await;
    assert_eq!(
        meter.count(
            DURATION,
            &[("operation", "untracked"), ("outcome", "failure")]
        ),
        1.0
    );
    let line = only_line(&logs);
    assert_eq!(
        (line.get("error_group"), line.get("error_type")),
        ("", "NoRow")
    );
}

#[tokio::test]
async fn late_recorder_gets_its_own_handles() {
    let (work, _) = tracked("late");
    work.clone().run_infallible(async {}).await;
    let first = meter();
    work.clone().run_infallible(async {}).await;
    let held = work.clone().run_infallible(pending::<()>());
    let second = meter();
    drop(held);
    work.run_infallible(async {}).await;
    let of = [("operation", "late"), ("outcome", "success")];
    assert_eq!(
        (first.count(DURATION, &of), second.count(DURATION, &of)),
        (1.0, 1.0)
    );
    assert_eq!(second.sum(IN_FLIGHT, &[("operation", "late")]), Some(0.0));
}

/// Runs were counted in with one recorder, and then the recorder was asked for once more, to be remembered: one that
/// was installed in between was left with a run less than none.
#[tokio::test]
async fn late_recorder_during_start_skips_in_flight() {
    let next = meter();
    let first: &Replaced = Box::leak(Box::new(Replaced(next.recorder())));
    let _first = metrics::set_default_local_recorder(first);
    let (work, _) = tracked("replaced");
    work.run_infallible(async {}).await;
    let of = [("operation", "replaced")];
    assert_eq!(next.sum(IN_FLIGHT, &of), None);
    assert_eq!(next.count(DURATION, &of), 1.0);
}

/// In a process of its own, since they use up the names that there is room for.
#[test]
fn names_beyond_max_share_overflow_series() {
    alone(
        "operation::reports::names_beyond_max_share_overflow_series",
        || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(async {
                let meter = meter();
                for n in 0..1_500 {
                    let work = operation(format!("made-up-{n}"));
                    let work = work.errors(None).slow(Duration::from_nanos(1));
                    work.run_infallible(async { tokio::task::yield_now().await })
                        .await;
                }
                let slow = meter.series("operation_slow_total");
                assert!(slow.len() <= 1_000, "{}", slow.len());
            });
        },
    );
}
