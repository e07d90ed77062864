//! Code that is no service: timed, judged, logged, and grouped when it fails.

use std::{
    error::Error,
    fmt,
    future::pending,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, ErrorTracker, GuardLayer, Rejection,
    errors::ErrorRecord,
    operation::{Operation, operation},
};
use tracing::Level;

use crate::support::{
    alone,
    guards::witness,
    logs::{Event, Logs, logs},
    meter::{Replaced, meter},
    within,
};

const DURATION: &str = "operation_duration_seconds";
const IN_FLIGHT: &str = "operations_in_flight";

#[derive(Debug)]
struct NoRow(u32);

impl fmt::Display for NoRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no row for order {}", self.0)
    }
}
impl Error for NoRow {}

#[derive(Debug)]
struct Unreadable(io::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the index cannot be read")
    }
}
impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// With an error tracker of its own.
fn tracked(name: &'static str) -> (Operation, ErrorTracker) {
    let errors = ErrorTracker::default();
    (operation(name).errors(errors.clone()), errors)
}

fn lines(logs: &Logs) -> Vec<Event> {
    logs.events("tower_keep::operation")
}

fn only_line(logs: &Logs) -> Event {
    let [line] = &lines(logs)[..] else {
        panic!("one line expected: {:#?}", lines(logs))
    };
    let line = line.clone();
    logs.clear();
    line
}

// ---- how runs end

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
        .run(async { Err::<(), _>(Rejection::overloaded("shed")) })
        .await;
    assert_eq!(only_line(&logs).get("outcome"), "rejected");
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

// ---- what is told

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

// ---- as a guard

#[tokio::test]
async fn operation_guards_any_service() {
    let meter = meter();
    let (witness, mut ends) = witness();
    let (work, errors) = tracked("guarding");
    let service = ServiceBuilder::new()
        .layer(GuardLayer::any((witness, work.kind("tool"))))
        .service(service_fn(async |order: u32| match order {
            0 => Err(NoRow(order)),
            order => Ok(order),
        }));
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 7);
    assert!(service.oneshot(0).await.unwrap_err().is::<NoRow>());
    let of = |outcome| {
        [
            ("operation", "guarding"),
            ("kind", "tool"),
            ("outcome", outcome),
        ]
    };
    assert_eq!(meter.count(DURATION, &of("success")), 1.0);
    assert_eq!(meter.count(DURATION, &of("failure")), 1.0);
    assert_eq!(errors.groups()[0].kind(), "NoRow");
    assert_eq!(ends.so_far().len(), 2);
}

// ---- what is dropped

/// Says something when it is dropped, and panics then if it is told to.
struct Last(bool);

impl Drop for Last {
    fn drop(&mut self) {
        tracing::info!(target: "tower_keep::operation", "dropped");
        assert!(!self.0, "the last straw");
    }
}

#[tokio::test]
async fn drop_of_run_is_in_span_and_may_panic() {
    let logs = logs();
    let (work, _) = tracked("dropped");
    for (panics, outcome) in [(false, "cancelled"), (true, "panicked")] {
        let mut run = Box::pin(work.clone().run(async move {
            let _last = Last(panics);
            pending::<Result<(), NoRow>>().await
        }));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(run.as_mut().poll(&mut cx).is_pending());
        let thrown = catch_unwind(AssertUnwindSafe(|| drop(run)));
        assert_eq!(thrown.is_err(), panics);
        let [said, line] = &lines(&logs)[..] else {
            panic!("two lines expected: {:#?}", lines(&logs))
        };
        let span = &logs.spans()[said.span.expect("a span")];
        assert_eq!(span.get("otel.name"), "dropped");
        assert_eq!(line.get("outcome"), outcome);
        logs.clear();
    }
}

#[tokio::test]
async fn panic_in_drop_after_end_is_panicked() {
    let logs = logs();
    let (work, _) = tracked("dropped_last");

    /// Ready at once, and panics when it is dropped.
    struct Sour(#[expect(dead_code, reason = "dropped")] Last);
    impl Future for Sour {
        type Output = Result<(), NoRow>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    let mut run = Box::pin(work.run(Sour(Last(true))));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let thrown = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut cx).is_ready()));
    assert!(thrown.is_err());
    drop(run);
    assert_eq!(lines(&logs)[1].get("outcome"), "panicked");
}

/// In a process of its own, since they use up the names that there is room for.
#[test]
fn names_beyond_max_share_overflow_series() {
    alone("operation::names_beyond_max_share_overflow_series", || {
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
    });
}
