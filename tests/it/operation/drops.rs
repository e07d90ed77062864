//! Runs whose future is dropped in its span, or panics in its drop.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{NoRow, lines, tracked};
use crate::support::logs::logs;

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
