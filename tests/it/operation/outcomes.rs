//! The outcome of a run, its error and its panic.

use std::{
    future::pending,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};
use tower_keep::{BoxError, Context, Rejection, errors::ErrorRecord};
use tracing::Level;

use super::{DURATION, IN_FLIGHT, NoRow, Unreadable, lines, only_line, tracked};
use crate::support::{logs::logs, meter::meter, within};

#[tokio::test]
async fn run_call_and_time_return_the_result() {
    let (logs, meter) = (logs(), meter());
    let (work, errors) = tracked("each_way");
    let work = work.kind("db");
    assert_eq!(
        work.clone().run(async { Ok::<_, NoRow>(7) }).await.unwrap(),
        7
    );
    assert_eq!(
        work.clone()
            .run(async { Err::<(), _>(NoRow(7)) })
            .await
            .unwrap_err()
            .0,
        7
    );
    assert_eq!(
        work.clone().run_display(async { Ok::<_, String>(7) }).await,
        Ok(7)
    );
    assert_eq!(
        work.clone().run_display(async { Err::<(), _>("no") }).await,
        Err("no")
    );
    assert_eq!(work.clone().run_infallible(async { 7 }).await, 7);
    assert_eq!(work.clone().call(|| Ok::<_, NoRow>(7)).unwrap(), 7);
    assert_eq!(work.call(|| Err::<(), _>(NoRow(8))).unwrap_err().0, 8);

    let of = |outcome| {
        [
            ("operation", "each_way"),
            ("kind", "db"),
            ("outcome", outcome),
        ]
    };
    assert_eq!(meter.count(DURATION, &of("success")), 4.0);
    assert_eq!(meter.count(DURATION, &of("failure")), 3.0);
    assert_eq!(
        meter.sum(IN_FLIGHT, &[("operation", "each_way")]),
        Some(0.0)
    );
    assert_eq!(errors.total(), 3);
    let outcomes: Vec<_> = lines(&logs)
        .iter()
        .map(|line| line.get("outcome").to_owned())
        .collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == "success")
            .count(),
        4
    );
    assert_eq!(outcomes.len(), 7);
}

#[tokio::test]
async fn errors_are_grouped_by_kind_with_sources() {
    let (work, errors) = tracked("sources");
    for order in [17, 4711] {
        let _ = work
            .clone()
            .run(async move { Err::<(), _>(NoRow(order)) })
            .await;
    }
    let io = || io::Error::new(io::ErrorKind::PermissionDenied, "no entry");
    let _ = work
        .clone()
        .run(async move { Err::<(), _>(Unreadable(io())) })
        .await;
    let _ = work
        .clone()
        .run_display(async { Err::<(), BoxError>(Box::new(NoRow(1))) })
        .await;
    let _ = work
        .run_display(async { Err::<(), _>("plain text".to_owned()) })
        .await;

    let groups = errors.groups();
    let find = |kind: &str| {
        let found = groups.iter().find(|group| group.kind() == kind);
        found.unwrap_or_else(|| panic!("{kind} in {groups:#?}"))
    };
    let rows = find("NoRow");
    assert_eq!(
        (rows.count(), rows.message()),
        (3, "no row for order <num>")
    );
    assert_eq!(rows.route(), Some("sources"));
    let index = find("Unreadable").latest().record();
    assert_eq!(index.causes().collect::<Vec<_>>(), ["no entry"]);
    assert_eq!(find("String").message(), "plain text");
    assert_eq!(groups.len(), 3);
}

#[tokio::test]
async fn errors_in_a_call_share_its_ids() {
    let (work, errors) = tracked("ids");
    let call = Context::new_root();
    let _ = call.scope(work.run(async { Err::<(), _>(NoRow(7)) })).await;
    let group = &errors.groups()[0];
    let record = group.latest().record();
    assert_eq!(record.correlation_id(), Some(call.correlation_id()));
    assert_eq!(record.request_id(), Some(call.request_id()));
    assert_eq!(record.trace_id(), Some(&*call.trace_id().to_string()));
}

#[tokio::test]
async fn unpolled_run_has_not_begun() {
    let logs = logs();
    let (work, _) = tracked("never polled");
    drop(work.run_infallible(async { 7 }));
    assert!(lines(&logs).is_empty());
}

#[tokio::test]
async fn dropped_run_is_cancelled() {
    let (meter, logs) = (meter(), logs());
    let (work, errors) = tracked("dropped");
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let task = tokio::spawn(work.clone().run_infallible(async move {
        arrives.notify_one();
        pending::<()>().await
    }));
    within(arrived.notified()).await;
    assert_eq!(meter.sum(IN_FLIGHT, &[("operation", "dropped")]), Some(1.0));
    task.abort();
    assert!(within(task).await.unwrap_err().is_cancelled());
    assert_eq!(meter.sum(IN_FLIGHT, &[("operation", "dropped")]), Some(0.0));
    let labels = [("operation", "dropped"), ("outcome", "cancelled")];
    assert_eq!(meter.count(DURATION, &labels), 1.0);
    assert_eq!(only_line(&logs).get("outcome"), "cancelled");
    assert_eq!(errors.total(), 0);
}

#[tokio::test]
async fn panic_is_recorded_and_unwinds() {
    let (meter, logs) = (meter(), logs());
    let (work, errors) = tracked("panics");
    let task = tokio::spawn(
        work.clone()
            .run_infallible(async { panic!("page {} is torn", 7) }),
    );
    let panic = within(task).await.unwrap_err().into_panic();
    assert_eq!(ErrorRecord::from_panic(&*panic).message(), "page 7 is torn");
    let call = catch_unwind(AssertUnwindSafe(|| {
        work.call(|| -> Result<(), NoRow> { panic!("page 8 is torn") })
    }));
    assert!(call.is_err());

    let group = &errors.groups()[0];
    assert_eq!((group.kind(), group.count()), ("panic", 2));
    assert_eq!(group.message(), "page <num> is torn");
    assert_eq!(
        meter.count(
            DURATION,
            &[("operation", "panics"), ("outcome", "panicked")]
        ),
        2.0
    );
    assert_eq!(meter.sum(IN_FLIGHT, &[("operation", "panics")]), Some(0.0));
    assert_eq!(lines(&logs)[0].level, Level::ERROR);
    assert!(Context::current().is_none());
}

#[tokio::test(start_paused = true)]
async fn timeout_and_rejection_have_their_outcome() {
    let (logs, (work, errors)) = (logs(), tracked("told_apart"));
    let late = timeout(Duration::from_secs(1), pending::<()>());
    let _ = work.clone().run(late).await;
    assert_eq!(only_line(&logs).get("outcome"), "timed_out");
    let _ = work
        .clone()
        .run(async { Err::<(), _>(Rejection::overloaded("shed").with_key("tenant 7")) })
        .await;
    let line = only_line(&logs);
    assert_eq!(line.get("outcome"), "rejected");
    assert_eq!(line.get("error_type"), "overloaded");
    assert_eq!(
        line.get("error"),
        r#"rejected by "shed" for tenant 7: overloaded"#
    );
    let _ = work
        .clone()
        .run(async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) })
        .await;
    assert_eq!(only_line(&logs).get("outcome"), "timed_out");
    let _ = work
        .run_display(async { Err::<(), BoxError>(Rejection::overloaded("shed").into()) })
        .await;
    assert_eq!(only_line(&logs).get("outcome"), "rejected");
    assert_eq!(errors.total(), 2, "a rejection is no error");
}
