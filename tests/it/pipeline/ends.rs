//! Calls that end without a result: dropped, panicked, past the total limit.

use std::{
    future::pending,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::time::{Instant, timeout};
use tower_keep::Outcome;

use super::{DbError, SECOND, WAIT, only_line, whole};
use crate::support::{logs::logs, meter::meter};

/// Counts how many are alive.
struct Alive(Arc<AtomicU32>);

impl Alive {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Alive(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_call_is_cancelled_and_no_evidence() {
    let (logs, meter) = (logs(), meter());
    let (pipeline, errors) = whole("dropped_call");
    let pipeline = pipeline.build().unwrap();
    let alive = Arc::default();
    let hangs = pipeline.run_mut(async || {
        let _alive = Alive::new(&alive);
        pending::<Result<(), DbError>>().await
    });
    timeout(WAIT, hangs).await.expect_err("hangs");
    assert_eq!(alive.load(Ordering::Relaxed), 0);
    assert_eq!(only_line(&logs).get("outcome"), Outcome::Cancelled.as_str());
    assert_eq!(pipeline.breaker().unwrap().counts().calls, 0);
    assert_eq!(errors.total(), 0);
    let labels = [("operation", "dropped_call")];
    assert_eq!(meter.sum("operations_in_flight", &labels), Some(0.0));
}

#[test]
fn call_that_is_never_polled_does_nothing() {
    let (logs, pipeline) = (logs(), whole("never_polled").0.build().unwrap());
    let mut runs = 0;
    drop(pipeline.run_mut(async || {
        runs += 1;
        Ok::<_, DbError>(())
    }));
    assert_eq!(runs, 0);
    assert!(logs.events("tower_keep::operation").is_empty());
}

#[tokio::test(start_paused = true)]
async fn timed_out_attempt_is_dropped_before_the_next() {
    let pipeline = whole("one_at_a_time").0.build().unwrap();
    let (alive, mut runs) = (Arc::default(), 0);
    let row = pipeline.run_mut(async || {
        let _alive = Alive::new(&alive);
        assert_eq!(alive.load(Ordering::Relaxed), 1);
        runs += 1;
        if runs < 3 {
            pending::<()>().await;
        }
        Ok::<_, DbError>(runs)
    });
    assert_eq!(row.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn total_limit_ends_attempts_and_waits() {
    let (logs, pipeline) = (logs(), whole("total_of_many").0.build().unwrap());
    pipeline.total_limit().unwrap().set(SECOND + 2 * WAIT);
    let begun = Instant::now();
    let error = pipeline.run(pending::<Result<(), DbError>>).await;
    let error = error.unwrap_err();
    assert_eq!(begun.elapsed(), SECOND + 2 * WAIT);
    assert_eq!(error.elapsed().unwrap().name(), "total_of_many.total");
    assert_eq!(only_line(&logs).get("outcome"), "timed_out");
    // The second attempt had but a tenth of the total: that says nothing about the peer.
    let counts = pipeline.breaker().unwrap().counts();
    assert_eq!((counts.calls, counts.failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn panic_is_counted_and_resumed_and_not_retried() {
    let (logs, (pipeline, _errors)) = (logs(), whole("panics"));
    let pipeline = pipeline.build().unwrap();
    let runs = AtomicU32::new(0);
    let work = async || -> Result<(), DbError> {
        runs.fetch_add(1, Ordering::Relaxed);
        panic!("of the work")
    };
    let mut run = Box::pin(pipeline.run_mut(work));
    let panicked = std::future::poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| run.as_mut().poll(cx));
        std::task::Poll::Ready(std::panic::catch_unwind(poll))
    });
    let payload = panicked.await.expect_err("panics");
    assert_eq!(payload.downcast_ref(), Some(&"of the work"));
    drop(run);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    let line = only_line(&logs);
    assert_eq!(
        (line.get("outcome"), line.get("error")),
        ("panicked", "of the work")
    );
    assert_eq!(pipeline.breaker().unwrap().counts().failures, 1);
}
