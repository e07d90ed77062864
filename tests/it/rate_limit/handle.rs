//! A limit without a service.

use futures_util::{future::join_all, poll};
use std::time::Duration;

use tokio::time::{Instant, advance};
use tower_keep::{Context, RejectionKind, registry::Stat, timeout::TimeLimit};

use super::{SECOND, builder, limit};
use crate::support::{listing::listing, meter::meter};

#[tokio::test(start_paused = true)]
async fn check_admits_the_burst_and_then_one_call_for_each_interval() {
    let limit = limit(3);
    for _ in 0..3 {
        limit.check().expect("the burst");
    }
    let rejection = limit.check().expect_err("used up");
    assert_eq!(rejection.kind(), RejectionKind::RateLimited);
    assert_eq!(rejection.guard(), "peer");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    advance(SECOND * 3 / 4).await;
    let rejection = limit.clone().check().expect_err("the same limit");
    assert_eq!(rejection.retry_after(), Some(SECOND / 4));
    advance(SECOND / 4).await;
    limit.check().expect("one has come back");
    limit.check().expect_err("one only");
    advance(SECOND * 100).await;
    assert_eq!(limit.available(), 3);
}

#[tokio::test(start_paused = true)]
async fn check_of_a_time_that_was_read_before_reads_no_clock() {
    let limit = limit(2);
    let now = Instant::now();
    limit.check_at(2, now).expect("the burst");
    limit.check_at(1, now).expect_err("used up");
    limit.check_at(1, now + SECOND).expect("one has come back");
    limit.check_at(1, now).expect_err("earlier");
}

#[tokio::test(start_paused = true)]
async fn weight_above_the_burst_is_rejected_without_a_retry_after() {
    let limit = limit(3);
    let rejection = limit.check_n(4).expect_err("never");
    assert_eq!(rejection.retry_after(), None);
    assert_eq!(
        rejection.reason(),
        Some("its weight is more than the burst")
    );
    limit.check_n(3).expect("nothing was taken");
}

#[tokio::test(start_paused = true)]
async fn reservations_come_in_order_and_end_with_the_longest_wait() {
    let limit = limit(1);
    let waits: Vec<_> = (0..4)
        .map(|_| limit.reserve(1, 2 * SECOND).map(|one| one.wait()).ok())
        .collect();
    assert_eq!(
        waits,
        [Some(Duration::ZERO), Some(SECOND), Some(2 * SECOND), None]
    );
}

#[tokio::test(start_paused = true)]
async fn reservation_that_is_cancelled_is_for_the_next_one() {
    let limit = limit(1);
    limit.check().expect("the burst");
    let reserve = || limit.reserve(1, 9 * SECOND).expect("in time");
    let (first, second) = (reserve(), reserve());
    assert_eq!(second.ready_at(), Instant::now() + 2 * SECOND);
    second.cancel();
    assert_eq!(reserve().wait(), 2 * SECOND);
    // The other one waits behind it, and would go together with the next.
    first.cancel();
    assert_eq!(reserve().wait(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn waits_are_served_in_order_one_for_each_interval() {
    let (limit, start) = (limit(2), Instant::now());
    let waits = (0..6).map(|_| async {
        let result = limit.wait(3 * SECOND).await;
        (result.is_ok(), start.elapsed().as_secs())
    });
    let waited = join_all(waits).await;
    let expected = [
        (true, 0),
        (true, 0),
        (true, 1),
        (true, 2),
        (true, 3),
        (false, 0),
    ];
    assert_eq!(waited, expected);
}

#[tokio::test(start_paused = true)]
async fn wait_that_is_dropped_gives_its_place_back() {
    let limit = limit(1);
    limit.check().expect("the burst");
    {
        let mut wait = std::pin::pin!(limit.wait(SECOND));
        assert!(poll!(wait.as_mut()).is_pending());
        limit.wait(SECOND).await.expect_err("its place is taken");
    }
    let start = Instant::now();
    limit.wait(SECOND).await.expect("the place is free");
    assert_eq!(start.elapsed(), SECOND);
    // One that is over is used, and dropping it gives nothing back.
    limit.check().expect_err("used");
}

#[tokio::test(start_paused = true)]
async fn wait_that_cannot_fit_into_the_deadline_is_rejected_at_once() {
    let limit = limit(1);
    limit.check().expect("the burst");
    let start = Instant::now();
    let in_half = TimeLimit::from(SECOND / 2);
    let rejection = in_half.run(limit.wait(9 * SECOND)).await;
    let rejection = rejection.expect("no timeout").expect_err("too late");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    assert_eq!(
        rejection.reason(),
        Some("the wait would end after the deadline")
    );
    let context = Context::new_root().with_deadline(start + SECOND / 2);
    let rejected = context.scope(limit.wait(9 * SECOND)).await;
    rejected.expect_err("too late");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let context = Context::new_root().with_deadline(start + SECOND);
    context
        .scope(limit.wait(9 * SECOND))
        .await
        .expect("just in time");
}

#[tokio::test(start_paused = true)]
async fn shadow_and_disabled_limits_reject_nothing_and_let_nothing_wait() {
    let limit = builder(1).shadow(true).build().expect("valid");
    for _ in 0..3 {
        limit.check().expect("a shadow");
        let reserved = limit.reserve(1, 9 * SECOND).expect("a shadow");
        assert_eq!(reserved.wait(), Duration::ZERO);
    }
    limit.set_shadow(false);
    assert!(!limit.settings().shadow);
    limit.check().expect_err("used up");
    limit.disable();
    limit.check_n(100).expect("disabled");
    limit.reset();
    limit.check().expect("full");
    limit.check().expect_err("used up");
}

#[tokio::test(start_paused = true)]
async fn limit_is_counted_in_metrics_and_in_the_registry() {
    let (meter, listing) = (meter(), listing());
    let limit = tower_keep::RateLimit::builder("counted")
        .rate(1, SECOND)
        .build();
    let limit = limit.expect("valid");
    for _ in 0..3 {
        let _ = limit.check();
    }
    limit.wait(SECOND).await.expect("in time");
    let sum = |name| meter.sum(name, &[("rate_limit", "counted")]);
    assert_eq!(sum("tower_keep_rate_limit_rejections_total"), Some(2.0));
    assert_eq!(sum("tower_keep_rate_limit_waits_total"), Some(1.0));
    assert_eq!(sum("tower_keep_rate_limit_emptied_total"), Some(0.0));
    let all = listing.snapshots();
    let own = all.iter().find(|guard| guard.name() == "counted");
    let own = own.expect("registered");
    assert_eq!((own.kind(), own.state()), ("rate_limit", "limiting"));
    for (name, count) in [
        ("burst", 1),
        ("available", 0),
        ("admitted", 2),
        ("rejected", 2),
        ("waited", 1),
        ("emptied", 0),
    ] {
        assert_eq!(own.stat(name), Some(&Stat::Count(count)), "{name}");
    }
    assert_eq!(own.stat("rate_per_second"), Some(&Stat::Number(1.0)));
}
