//! Expected errors, outputs that are failures, and the level of a line.

use std::io::{self, ErrorKind};

use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer, Outcome, Rejection, context::InheritContext, operation::Operation,
};
use tracing::Level;

use super::{DURATION, NoRow, lines, only_line, tracked};
use crate::support::{logs::logs, meter::meter};

async fn find(kind: ErrorKind) -> Result<u32, io::Error> {
    Err(kind.into())
}

/// Five ordinary misses were five lines at `ERROR` and an error group.
#[tokio::test]
async fn expected_error_is_client_error_and_no_error_record() {
    let (logs, meter) = (logs(), meter());
    let (work, errors) = tracked("expected");
    let is_failure = |error: &io::Error| error.kind() != ErrorKind::NotFound;
    for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
        let found = work.clone().run(find(kind)).failure_if(is_failure).await;
        assert_eq!(found.unwrap_err().kind(), kind);
    }
    let found = work
        .run(async { Ok::<_, io::Error>(7) })
        .failure_if(is_failure);
    assert_eq!(found.await.unwrap(), 7);

    let lines = lines(&logs);
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line.get("outcome"), line.level))
        .collect();
    let expected = [
        ("client_error", Level::DEBUG),
        ("failure", Level::ERROR),
        ("success", Level::DEBUG),
    ];
    assert_eq!(seen, expected);
    assert_eq!(errors.total(), 1);
    for (outcome, _) in expected {
        let labels = [("operation", "expected"), ("outcome", outcome)];
        assert_eq!(meter.count(DURATION, &labels), 1.0, "{outcome}");
    }
}

#[tokio::test]
async fn classify_error_sets_outcome_of_errors_of_any_type() {
    let logs = logs();
    let (work, errors) = tracked("classified");
    let fail = || work.clone().run_display(async { Err::<(), _>("no row") });
    for outcome in [Outcome::Success, Outcome::Overload, Outcome::TimedOut] {
        let failed = fail().classify_error(move |error: &&str| {
            assert_eq!(*error, "no row");
            outcome
        });
        assert_eq!(failed.await, Err("no row"));
        assert_eq!(only_line(&logs).get("outcome"), outcome.as_str());
    }
    assert_eq!(errors.total(), 1, "only what timed out");
}

#[tokio::test]
async fn classify_makes_an_output_a_failure() {
    let logs = logs();
    let (work, errors) = tracked("exit_code");
    for (exit_code, outcome) in [(0, "success"), (3, "failure")] {
        let run = work.clone().run_infallible(async move { exit_code });
        let run = run.output(|exit_code| format!("exit code {exit_code}"));
        let run = run.classify(|exit_code| match exit_code {
            0 => Outcome::Success,
            _ => Outcome::Failure,
        });
        assert_eq!(run.await, exit_code);
        let line = only_line(&logs);
        assert_eq!(line.get("outcome"), outcome);
        assert_eq!(line.get("output"), format!("exit code {exit_code}"));
    }
    assert_eq!(errors.total(), 1);

    let is_even = |result: &Result<u32, NoRow>| match result {
        Ok(rows) if rows % 2 == 0 => Outcome::Success,
        Ok(_) => Outcome::Failure,
        Err(_) => Outcome::ClientError,
    };
    let call = |rows: Result<u32, NoRow>| work.clone().call_classified(|| rows, is_even);
    for (rows, outcome) in [
        (Ok(2), "success"),
        (Ok(3), "failure"),
        (Err(NoRow(7)), "client_error"),
    ] {
        let is_err = rows.is_err();
        assert_eq!(call(rows).is_err(), is_err);
        assert_eq!(only_line(&logs).get("outcome"), outcome);
    }
}

#[tokio::test]
async fn classifier_that_panics_makes_a_failure_and_rejection_stays_rejected() {
    let logs = logs();
    let (work, _) = tracked("hooks");
    let panics = |_: &NoRow| -> bool { panic!("undecided") };
    let run = work.clone().run(async { Err::<(), _>(NoRow(7)) });
    assert_eq!(run.failure_if(panics).await.unwrap_err().0, 7);
    assert_eq!(only_line(&logs).get("outcome"), "failure");

    let rejected = || Err::<(), _>(Rejection::overloaded("shed"));
    let run = work.clone().run(async move { rejected() });
    assert!(run.failure_if(|_: &Rejection| true).await.is_err());
    assert_eq!(only_line(&logs).get("outcome"), "rejected");
    let result = work.call_classified(rejected, |_| Outcome::Failure);
    assert!(result.is_err());
    assert_eq!(only_line(&logs).get("outcome"), "rejected");
}

#[tokio::test]
async fn level_is_that_of_runs_neither_slow_nor_failed() {
    let logs = logs();
    let (work, _) = tracked("levels");
    let run = async |work: Operation| {
        work.run_infallible(async {}).await;
        only_line(&logs).level
    };
    assert_eq!(run(work.clone()).await, Level::DEBUG);
    let all = [
        Level::ERROR,
        Level::WARN,
        Level::INFO,
        Level::DEBUG,
        Level::TRACE,
    ];
    for level in all {
        assert_eq!(run(work.clone().level(level)).await, level);
        let job = work.clone().level(level).kind("job");
        assert_eq!(run(job).await, level, "whatever the kind");
    }
    let _ = work
        .level(Level::TRACE)
        .run(async { Err::<(), _>(NoRow(7)) })
        .await;
    assert_eq!(only_line(&logs).level, Level::ERROR);
}

/// With the usual level of `INFO`, a nightly job left no line at all.
#[tokio::test]
async fn job_is_logged_at_info() {
    let logs = logs();
    let (work, _) = tracked("nightly");
    let job = work.kind("job");
    job.clone().run_infallible(async {}).await;
    assert_eq!(only_line(&logs).level, Level::INFO);
    let _ = job.clone().run(async { Err::<(), _>(NoRow(7)) }).await;
    assert_eq!(only_line(&logs).level, Level::ERROR);

    // In a guarded call a panic is reported by the call.
    let guarded = GuardLayer::any(InheritContext).layer(service_fn(move |()| {
        let panics = job.clone().run_infallible(async { panic!("torn") });
        async move {
            panics.await;
            Ok::<_, NoRow>(())
        }
    }));
    let call = Context::new_root();
    let task = tokio::spawn(async move { call.scope(guarded.oneshot(())).await });
    assert!(task.await.unwrap_err().is_panic());
    let line = only_line(&logs);
    assert_eq!(
        (line.get("outcome"), line.level),
        ("panicked", Level::DEBUG)
    );
}
