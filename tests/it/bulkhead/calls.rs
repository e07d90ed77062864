//! Without tower: permits and futures.

use std::{
    future::pending,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
};

use tokio::time::advance;
use tower_keep::{
    BoxError, CallError, Outcome, RejectionKind, bulkhead::Bulkhead, call::ClassifyOutput,
    call::Evidence, testing::CountingWaker, timeout::TimeLimit,
};

use super::{SECOND, bulkhead, ends};

#[test]
fn permits_are_as_many_as_the_limit_and_clones_share_them() {
    let one = bulkhead(2);
    let other = one.clone();
    let first = one.try_acquire().expect("free");
    let _second = other.try_acquire().expect("free");
    for full in [&one, &other] {
        let rejection = full.try_acquire().expect_err("full");
        assert_eq!(rejection.kind(), RejectionKind::Full);
        assert_eq!(rejection.guard(), "bulkhead");
        assert!(full.is_full());
    }
    drop(first);
    assert!(!other.is_full());
    assert!(one.try_acquire().is_ok());
}

#[test]
fn permit_counts_by_its_evidence() {
    let bulkhead = bulkhead(1);
    let complete = |result: ClassifyOutput| {
        bulkhead.try_acquire().expect("free").complete(result);
        ends(&bulkhead.stats())
    };
    assert_eq!(complete(Outcome::Success.into()), [1, 0, 0, 0, 0]);
    assert_eq!(complete(Outcome::Failure.into()), [1, 1, 0, 0, 0]);
    assert_eq!(complete(Outcome::Cancelled.into()), [1, 1, 1, 0, 0]);
    let excused = ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Healthy);
    assert_eq!(complete(excused), [2, 1, 1, 0, 0]);
    drop(bulkhead.try_acquire());
    assert_eq!(ends(&bulkhead.stats()), [2, 1, 2, 0, 0]);
}

#[test]
fn permit_that_a_panic_drops_has_failed() {
    let bulkhead = bulkhead(1);
    let work = AssertUnwindSafe(|| {
        let _permit = bulkhead.try_acquire().expect("free");
        resume_unwind(Box::new("thrown"));
    });
    assert!(catch_unwind(work).is_err());
    assert_eq!(ends(&bulkhead.stats()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn call_holds_a_slot_from_its_first_poll_to_its_end() {
    let (bulkhead, wakes) = (bulkhead(1), CountingWaker::new());
    let call = bulkhead.call(async {
        tokio::time::sleep(SECOND).await;
        Ok::<_, io::Error>(7)
    });
    let mut call = Box::pin(call);
    assert_eq!(bulkhead.in_flight(), 0, "not polled yet");
    assert!(wakes.poll(call.as_mut()).is_pending());
    assert_eq!(bulkhead.in_flight(), 1);
    let second = bulkhead.call(async { Ok::<_, io::Error>(8) });
    let error = second.await.expect_err("full");
    assert_eq!(error.rejection().expect("full").kind(), RejectionKind::Full);
    assert_eq!(call.await.expect("free"), 7);
    let stats = bulkhead.stats();
    assert_eq!(ends(&stats), [1, 0, 0, 1, 0]);
    assert_eq!(stats.mean_run, Some(SECOND));
}

#[tokio::test]
async fn call_is_classified_by_its_error() {
    let bulkhead = bulkhead(1);
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let failed = bulkhead.call(async { Err::<(), _>(broken()) }).await;
    assert!(matches!(failed, Err(CallError::Failed(_))));
    assert_eq!(ends(&bulkhead.stats()), [0, 1, 0, 0, 0]);
    let text = bulkhead.call_display(async { Err::<(), _>("no") }).await;
    assert_eq!(text.expect_err("failed").to_string(), "no");
    assert_eq!(ends(&bulkhead.stats()), [0, 2, 0, 0, 0]);
    // One that another bulkhead rejects says nothing about the peer.
    let inner = Bulkhead::builder("inner").limit(1).build().expect("valid");
    let _taken = inner.try_acquire().expect("free");
    let rejected = bulkhead
        .call_display(async {
            let call = inner.call(async { Ok::<_, io::Error>(()) });
            call.await.map_err(BoxError::from)
        })
        .await;
    assert!(rejected.is_err());
    assert_eq!(ends(&bulkhead.stats()), [0, 2, 1, 0, 0]);
}

#[tokio::test]
async fn call_that_panics_has_failed_and_gives_its_slot_back() {
    let (bulkhead, wakes) = (bulkhead(1), CountingWaker::new());
    let panics = async { resume_unwind(Box::new("thrown")) };
    let call = bulkhead.call::<_, (), io::Error>(panics);
    let mut call = Box::pin(call);
    let poll = AssertUnwindSafe(|| wakes.poll(call.as_mut()).is_ready());
    assert!(catch_unwind(poll).is_err());
    assert_eq!(ends(&bulkhead.stats()), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_is_inconclusive_and_one_at_a_time_limit_has_failed() {
    let (bulkhead, wakes) = (bulkhead(1), CountingWaker::new());
    {
        let mut call = pin!(bulkhead.call(pending::<Result<(), io::Error>>()));
        assert!(wakes.poll(call.as_mut()).is_pending());
    }
    assert_eq!(ends(&bulkhead.stats()), [0, 0, 1, 0, 0]);
    let limit = TimeLimit::new("limit", SECOND);
    let call = limit.run(bulkhead.call(pending::<Result<(), io::Error>>()));
    call.await.expect_err("timed out");
    assert_eq!(ends(&bulkhead.stats()), [0, 1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn rejection_says_when_a_slot_may_be_free_once_that_is_known() {
    let bulkhead = bulkhead(4);
    let take = || -> Vec<_> {
        (0..4)
            .map(|_| bulkhead.try_acquire().expect("free"))
            .collect()
    };
    let permits = take();
    let retry_after = || bulkhead.try_acquire().expect_err("full").retry_after();
    assert_eq!(retry_after(), None, "no call has ended");
    advance(2 * SECOND).await;
    for permit in permits {
        assert_eq!(permit.elapsed(), 2 * SECOND);
        permit.complete(Outcome::Success);
    }
    let _permits = take();
    assert_eq!(retry_after(), Some(SECOND / 2));
    let stats = bulkhead.stats();
    assert_eq!(stats.mean_run, Some(2 * SECOND));
    assert_eq!(stats.recent_run, Some(2 * SECOND));
}

#[test]
fn bulkhead_debug_shows_its_slots() {
    let bulkhead = bulkhead(2);
    let permit = bulkhead.try_acquire().expect("free");
    let text = format!("{bulkhead:?}");
    assert!(text.contains("in_flight: 1, limit: 2"), "{text}");
    assert!(format!("{permit:?}").contains("bulkhead"));
}
