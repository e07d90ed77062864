//! Waiting for a slot: order, limits, deadlines, and those that leave.

use std::{io, pin::Pin, task::Poll, time::Duration};

use tokio::time::{Instant, advance};
use tower_keep::{
    Context, Outcome, Rejection,
    bulkhead::{AcquireFuture, Bulkhead, BulkheadBuilder, BulkheadPermit, QueueOrder},
    context::in_context,
    testing::CountingWaker,
    timeout::TimeLimit,
};

use super::{SECOND, ends};

/// A queue of ten, without a limit of the wait.
fn queuing(limit: u32) -> BulkheadBuilder {
    let builder = Bulkhead::builder("bulkhead").limit(limit);
    builder.queue_limit(10).wait_limit(None)
}

fn built(builder: BulkheadBuilder) -> Bulkhead {
    builder.build().expect("valid settings")
}

/// A task that waits for a slot.
struct Waiting {
    wakes: CountingWaker,
    future: Pin<Box<AcquireFuture>>,
}

impl Waiting {
    fn new(bulkhead: &Bulkhead) -> Self {
        let mut waiting = Waiting {
            wakes: CountingWaker::new(),
            future: Box::pin(bulkhead.acquire()),
        };
        assert!(waiting.poll().is_pending());
        waiting
    }

    fn poll(&mut self) -> Poll<Result<BulkheadPermit, Rejection>> {
        self.wakes.poll(self.future.as_mut())
    }

    fn permit(&mut self) -> BulkheadPermit {
        match self.poll() {
            Poll::Ready(Ok(permit)) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn reason(&mut self) -> String {
        match self.poll() {
            Poll::Ready(Err(rejection)) => rejection.reason().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn is_woken(&self) -> bool {
        self.wakes.count() > 0
    }
}

fn waiting<const N: usize>(bulkhead: &Bulkhead) -> [Waiting; N] {
    std::array::from_fn(|_| Waiting::new(bulkhead))
}

fn resize(bulkhead: &Bulkhead, limit: u32) {
    let mut settings = bulkhead.settings();
    settings.limit = limit;
    bulkhead.apply(&settings).expect("valid settings");
}

#[tokio::test(start_paused = true)]
async fn slots_go_to_those_that_wait_in_their_order() {
    for (order, turns) in [(QueueOrder::Fifo, [0, 1, 2]), (QueueOrder::Lifo, [2, 1, 0])] {
        let bulkhead = built(queuing(1).queue_order(order));
        let mut permit = bulkhead.try_acquire().expect("free");
        let mut waiting = waiting::<3>(&bulkhead);
        assert_eq!(bulkhead.stats().queued, 3);
        for turn in turns {
            assert!(waiting.iter().all(|one| one.wakes.count() <= 1));
            drop(permit);
            assert!(bulkhead.try_acquire().is_err(), "not past those that wait");
            permit = waiting[turn].permit();
            assert!(waiting[turn].is_woken());
        }
        assert_eq!(waiting.map(|one| one.wakes.count()), [1, 1, 1]);
        drop(permit);
        assert_eq!(bulkhead.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_task_is_woken_for_its_slot_only_and_the_last_that_polled() {
    let bulkhead = built(queuing(2));
    let permits = [(); 2].map(|()| bulkhead.try_acquire().expect("free"));
    let [mut first, mut second] = waiting(&bulkhead);
    for _ in 0..10 {
        assert!(first.poll().is_pending() && second.poll().is_pending());
    }
    assert_eq!((first.wakes.count(), second.wakes.count()), (0, 0));
    let before = std::mem::take(&mut first.wakes);
    assert!(first.poll().is_pending());
    let [one, _other] = permits;
    drop(one);
    assert_eq!((before.count(), first.wakes.count()), (0, 1));
    assert_eq!(second.wakes.count(), 0);
    let _permit = first.permit();
}

#[tokio::test(start_paused = true)]
async fn queue_that_is_full_rejects_the_new_call_or_the_oldest() {
    let fifo = built(queuing(1).queue_limit(2));
    let _permit = fifo.try_acquire().expect("free");
    let _waiting = waiting::<2>(&fifo);
    let rejection = fifo.acquire().await.expect_err("full");
    assert_eq!(rejection.reason(), Some("queue_full"));
    let lifo = built(queuing(1).queue_limit(2).queue_order(QueueOrder::Lifo));
    let permit = lifo.try_acquire().expect("free");
    let [mut oldest, second] = waiting(&lifo);
    let mut newest = Waiting::new(&lifo);
    assert!(oldest.is_woken() && !second.is_woken());
    assert_eq!(oldest.reason(), "displaced");
    drop(permit);
    let _permit = newest.permit();
    assert_eq!((fifo.stats().rejected, lifo.stats().rejected), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_its_limit() {
    let bulkhead = built(queuing(1).wait_limit(SECOND));
    let _permit = bulkhead.try_acquire().expect("free");
    let start = Instant::now();
    let rejection = bulkhead.acquire().await.expect_err("full");
    assert_eq!(rejection.reason(), Some("wait_limit"));
    assert_eq!(start.elapsed(), SECOND);
    let stats = bulkhead.stats();
    assert_eq!((stats.queued, stats.rejected, stats.waited), (0, 1, 1));
    assert_eq!(
        (stats.mean_wait, stats.max_wait),
        (Some(SECOND), Some(SECOND))
    );
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_the_deadline_and_at_a_time_limit_around_it() {
    let bulkhead = built(queuing(1).wait_limit(10 * SECOND));
    let _permit = bulkhead.try_acquire().expect("free");
    let start = Instant::now();
    let context = Context::new_root().with_deadline(start + SECOND);
    let acquire = context.run(|| in_context(bulkhead.acquire()));
    let rejection = acquire.await.expect_err("full");
    assert_eq!(rejection.reason(), Some("deadline"));
    assert_eq!(start.elapsed(), SECOND);
    // The bulkhead says that it is full, before the limit reports a timeout.
    let limit = TimeLimit::new("limit", 2 * SECOND);
    let rejection = limit.run(bulkhead.acquire()).await.expect("no timeout");
    assert_eq!(rejection.expect_err("full").reason(), Some("deadline"));
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(limit.timeout_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn call_without_time_left_is_rejected_at_once() {
    let bulkhead = built(queuing(1));
    let permit = bulkhead.try_acquire().expect("free");
    let context = Context::new_root().with_deadline(Instant::now());
    let acquire = || context.run(|| in_context(bulkhead.acquire()));
    let rejection = acquire().await.expect_err("full");
    assert_eq!(rejection.reason(), Some("deadline"));
    assert_eq!(bulkhead.stats().waited, 0);
    drop(permit);
    assert!(acquire().await.is_ok(), "a slot is free");
}

#[tokio::test(start_paused = true)]
async fn wait_that_cannot_fit_is_rejected_at_once() {
    let bulkhead = built(queuing(1).wait_limit(SECOND));
    let permit = bulkhead.try_acquire().expect("free");
    advance(SECOND).await;
    permit.complete(Outcome::Success);
    let _permit = bulkhead.try_acquire().expect("free");
    // One call after the other, of a second each: the third would wait for three.
    let _waiting = waiting::<2>(&bulkhead);
    let rejection = bulkhead.acquire().await.expect_err("hopeless");
    assert_eq!(rejection.reason(), Some("wait_limit"));
    assert_eq!(rejection.retry_after(), Some(3 * SECOND));
    assert_eq!(bulkhead.stats().queued, 2);
}

#[tokio::test(start_paused = true)]
async fn slot_that_is_granted_at_the_end_of_the_wait_beats_it() {
    let bulkhead = built(queuing(1).wait_limit(SECOND));
    let permit = bulkhead.try_acquire().expect("free");
    let [mut waiting] = waiting(&bulkhead);
    advance(SECOND - Duration::from_millis(1)).await;
    drop(permit);
    advance(SECOND).await;
    let _permit = waiting.permit();
}

#[tokio::test(start_paused = true)]
async fn call_whose_wait_is_over_gets_no_slot() {
    let bulkhead = built(queuing(1).wait_limit(SECOND));
    let permit = bulkhead.try_acquire().expect("free");
    let [mut late] = waiting(&bulkhead);
    advance(SECOND / 2).await;
    let [mut soon] = waiting(&bulkhead);
    advance(SECOND / 2).await;
    // Both are told at the same moment, whether or not the first was polled since.
    drop(permit);
    let _permit = soon.permit();
    assert_eq!(late.reason(), "wait_limit");
}

#[tokio::test(start_paused = true)]
async fn task_that_leaves_passes_its_turn_and_its_slot_on() {
    let bulkhead = built(queuing(1));
    let permit = bulkhead.try_acquire().expect("free");
    let [first, second, mut third] = waiting(&bulkhead);
    drop(second);
    assert_eq!(bulkhead.stats().queued, 2);
    drop(permit);
    assert!(first.is_woken() && !third.is_woken());
    drop(first);
    assert!(third.is_woken(), "granted to one that was gone");
    let permit = third.permit();
    drop(permit);
    assert_eq!(ends(&bulkhead.stats()), [0, 0, 2, 0, 0]);
    assert!(bulkhead.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn last_that_leaves_opens_the_bulkhead_for_those_that_come() {
    let bulkhead = built(queuing(1));
    let permit = bulkhead.try_acquire().expect("free");
    drop(waiting::<3>(&bulkhead));
    drop(permit);
    assert!(bulkhead.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn larger_limit_wakes_as_many_as_there_are_new_slots() {
    let bulkhead = built(queuing(1));
    let permit = bulkhead.try_acquire().expect("free");
    let mut waiting = waiting::<4>(&bulkhead);
    resize(&bulkhead, 3);
    let woken: Vec<_> = waiting.iter().map(Waiting::is_woken).collect();
    assert_eq!(woken, [true, true, false, false]);
    let permits = [0, 1].map(|turn| waiting[turn].permit());
    // A smaller one wakes nobody until enough have ended.
    resize(&bulkhead, 1);
    drop(permit);
    let [one, other] = permits;
    drop(one);
    assert!(!waiting[2].is_woken());
    drop(other);
    assert!(waiting[2].is_woken() && !waiting[3].is_woken());
}

#[tokio::test(start_paused = true)]
async fn settings_of_the_queue_hold_for_those_that_come() {
    let bulkhead = built(queuing(1));
    let _permit = bulkhead.try_acquire().expect("free");
    let mut waiting = waiting::<2>(&bulkhead);
    let mut settings = bulkhead.settings();
    settings.queue_limit = 0;
    bulkhead.apply(&settings).expect("valid settings");
    let rejection = bulkhead.acquire().await.expect_err("no queue any more");
    assert_eq!(rejection.reason(), None);
    assert!(
        waiting.iter_mut().all(|one| one.poll().is_pending()),
        "they wait on"
    );
    settings.queue_limit = 3;
    settings.wait_limit = Some(SECOND);
    bulkhead.apply(&settings).expect("valid settings");
    assert_eq!(bulkhead.stats().queue_limit, 3);
    let rejection = bulkhead.acquire().await.expect_err("waited");
    assert_eq!(rejection.reason(), Some("wait_limit"));
}

#[tokio::test(start_paused = true)]
async fn call_waits_for_its_slot() {
    let bulkhead = built(queuing(1));
    let call = async || {
        let work = async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, io::Error>(Instant::now())
        };
        bulkhead.call(work).await.expect("a slot")
    };
    let start = Instant::now();
    let (first, second, third) = tokio::join!(call(), call(), call());
    let after = [first, second, third].map(|end| end - start);
    assert_eq!(after, [SECOND, 2 * SECOND, 3 * SECOND]);
    let stats = bulkhead.stats();
    assert_eq!(ends(&stats), [3, 0, 0, 0, 0]);
    assert_eq!(stats.mean_run, Some(SECOND), "without the waits");
    assert_eq!((stats.waited, stats.max_wait), (2, Some(2 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn acquire_without_a_queue_rejects_at_once() {
    let bulkhead = super::bulkhead(1);
    let _permit = bulkhead.acquire().await.expect("free");
    let rejection = bulkhead.acquire().await.expect_err("full");
    assert_eq!(rejection.to_string(), r#"rejected by "bulkhead": full"#);
}

#[tokio::test(start_paused = true)]
async fn queue_shows_its_depth_and_its_waits_in_the_metrics() {
    let meter = crate::support::meter::meter();
    let bulkhead = built(Bulkhead::builder("queued metrics").limit(1).queue_limit(5));
    let own = [("bulkhead", "queued metrics")];
    let permit = bulkhead.try_acquire().expect("free");
    let [mut first, second] = waiting(&bulkhead);
    let queued = || meter.sum("tower_keep_bulkhead_queued", &own);
    assert_eq!(queued(), Some(2.0));
    drop(permit);
    let _permit = first.permit();
    drop(second);
    assert_eq!(queued(), Some(0.0));
    assert_eq!(meter.count("tower_keep_bulkhead_wait_seconds", &own), 2.0);
    assert_eq!(meter.sum("tower_keep_bulkhead_in_flight", &own), Some(1.0));
}
