use std::future::poll_fn;

use http::HeaderValue;
use tokio::time::advance;

use super::*;
use crate::call::{Classification, Evidence, Outcome, timeout_trailers};

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const PEER_UNHEALTHY: Classification = Classification::new(Outcome::TimedOut, Evidence::Unhealthy);
const INCONCLUSIVE: Classification = Classification::new(Outcome::TimedOut, Evidence::Inconclusive);

/// A timer with these limits, in seconds.
fn timer(idle: Option<u32>, total: Option<u32>, deadline: Option<u32>) -> Option<Box<BodyTimer>> {
    let time = |seconds: u32| seconds * SECOND;
    let config = TimeoutConfig {
        limit: TimeLimit::new("body", SECOND),
        protocol: (),
        body_idle: idle.map(time),
        body_total: total.map(time),
        timeout_header: None,
        send_limit: false,
    };
    let mut timeout = CallTimeout::from_scope(SECOND);
    timeout.deadline = deadline.map(|seconds| Instant::now() + time(seconds));
    BodyTimer::new(&config, &timeout, || true)
}

fn idle(seconds: u32) -> Box<BodyTimer> {
    timer(Some(seconds), None, None).expect("a timer")
}

fn total(seconds: u32) -> Box<BodyTimer> {
    timer(None, Some(seconds), None).expect("a timer")
}

/// Polls for a frame that is not there: what has elapsed, if anything.
async fn poll(timer: &mut BodyTimer) -> Option<Elapsed> {
    poll_fn(|cx| {
        Poll::Ready(match timer.poll_elapsed(cx) {
            Poll::Ready(elapsed) => Some(elapsed),
            Poll::Pending => None,
        })
    })
    .await
}

/// Waits for a frame as long as this, and then takes it.
async fn frame_after(timer: &mut BodyTimer, wait: Duration) {
    assert!(poll(timer).await.is_none());
    advance(wait).await;
    assert!(timer.on_frame().is_none());
}

#[tokio::test(start_paused = true)]
async fn body_timer_reports_the_earliest_end_by_its_kind() {
    use TimeoutKind::{BodyIdle, BodyTotal, Deadline};
    assert!(timer(None, None, None).is_none());
    for (limits, seconds, kind) in [
        ((Some(1), None, None), 1, BodyIdle),
        ((Some(1), Some(2), Some(2)), 1, BodyIdle),
        ((None, Some(1), Some(2)), 1, BodyTotal),
        ((Some(2), Some(1), None), 1, BodyTotal),
        ((Some(3), Some(2), Some(1)), 1, Deadline),
        ((None, None, Some(1)), 1, Deadline),
        // Of several at the same time, the most specific.
        ((Some(1), Some(1), Some(1)), 1, BodyIdle),
        ((None, Some(1), Some(1)), 1, BodyTotal),
    ] {
        let (idle, total, deadline) = limits;
        let mut timer = timer(idle, total, deadline).expect("a timer");
        assert!(poll(&mut timer).await.is_none());
        advance(seconds * SECOND - NANO).await;
        assert!(poll(&mut timer).await.is_none(), "{limits:?}");
        advance(NANO).await;
        let elapsed = poll(&mut timer).await.expect("the end");
        assert_eq!(elapsed.kind(), kind, "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frame_restarts_the_idle_time_but_not_the_total() {
    let mut idle = idle(1);
    for _ in 0..3 {
        frame_after(&mut idle, SECOND - NANO).await;
    }
    let mut total = total(2);
    frame_after(&mut total, SECOND).await;
    assert!(poll(&mut total).await.is_none());
    advance(SECOND).await;
    assert!(poll(&mut total).await.is_some());
}

#[test]
fn late_poll_tolerance_is_a_quarter_of_the_idle_time_within_kinds() {
    let millis = Duration::from_millis;
    for (idle, late) in [(4, 10), (100, 25), (1_000, 250), (60_000, 1_000)] {
        assert_eq!(late_poll_tolerance(millis(idle)), millis(late));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_time_restarts_for_a_reader_that_was_away_when_it_ran_out() {
    let tolerated = SECOND + SECOND / 4;
    let mut near = idle(1);
    assert!(poll(&mut near).await.is_none());
    advance(tolerated).await;
    let elapsed = poll(&mut near).await.expect("the end");
    assert_eq!(elapsed.classification(), PEER_UNHEALTHY);

    let mut away = idle(1);
    assert!(poll(&mut away).await.is_none());
    advance(tolerated + NANO).await;
    assert!(poll(&mut away).await.is_none());
    advance(SECOND).await;
    assert!(poll(&mut away).await.is_some());

    let mut deadline = timer(Some(2), None, Some(1)).expect("a timer");
    assert!(poll(&mut deadline).await.is_none());
    advance(10 * SECOND).await;
    assert!(poll(&mut deadline).await.is_some(), "the deadline is fixed");
}

/// Reads a body of four seconds: waits for a frame so long, goes away for a while, and waits for the end.
async fn classification_after(waits: Duration, away: Duration) -> Classification {
    let mut timer = total(4);
    frame_after(&mut timer, waits).await;
    advance(away).await;
    assert!(poll(&mut timer).await.is_none());
    advance(4 * SECOND - waits - away).await;
    poll(&mut timer).await.expect("the end").classification()
}

#[tokio::test(start_paused = true)]
async fn total_time_blames_the_peer_if_half_of_it_was_waited() {
    assert_eq!(
        classification_after(SECOND, 2 * SECOND).await,
        PEER_UNHEALTHY
    );
    let longer = 2 * SECOND + NANO;
    assert_eq!(classification_after(SECOND, longer).await, INCONCLUSIVE);
    assert_eq!(
        classification_after(3 * SECOND, SECOND - NANO).await,
        PEER_UNHEALTHY
    );
    assert_eq!(
        classification_after(NANO, 4 * SECOND - 2 * NANO).await,
        INCONCLUSIVE
    );
}

#[tokio::test(start_paused = true)]
async fn body_timeout_blames_the_caller_if_the_upload_stalls() {
    for (stalled, expected) in [
        (true, Classification::CALLER_FAULT),
        (false, PEER_UNHEALTHY),
    ] {
        let mut timer = idle(1);
        timer.upload = Some(Upload::stalled(stalled));
        assert!(poll(&mut timer).await.is_none());
        advance(SECOND).await;
        let elapsed = poll(&mut timer).await.expect("the end");
        assert_eq!(elapsed.classification(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn reader_that_polls_after_the_grace_period_did_not_wait_for_the_peer() {
    for (late, expected) in [
        (GRACE_PERIOD, PEER_UNHEALTHY),
        (GRACE_PERIOD + NANO, INCONCLUSIVE),
    ] {
        let mut timer = total(4);
        assert!(poll(&mut timer).await.is_none());
        advance(4 * SECOND + late).await;
        let elapsed = poll(&mut timer).await.expect("the end");
        assert_eq!(elapsed.classification(), expected, "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ready_frames_are_forwarded_for_the_grace_period_only() {
    let mut unlimited = idle(1);
    advance(10 * SECOND).await;
    assert!(unlimited.on_frame().is_none());
    let mut timer = total(4);
    advance(4 * SECOND + GRACE_PERIOD).await;
    assert!(timer.on_frame().is_none());
    advance(NANO).await;
    let elapsed = timer.on_frame().expect("the end");
    assert_eq!(elapsed.kind(), TimeoutKind::BodyTotal);
    assert_eq!(elapsed.classification(), INCONCLUSIVE, "no reader waited");
}

fn trailers(code: u16) -> HeaderMap {
    let name = http::HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from(code))])
}

#[tokio::test(start_paused = true)]
async fn grpc_body_that_fails_as_its_time_is_up_is_a_timeout() {
    let mut timer = total(1);
    assert!(poll(&mut timer).await.is_none());
    advance(SECOND - PEER_CLOCK_TOLERANCE - NANO).await;
    assert!(timer.elapsed_at_peer(None).is_none(), "too early");
    advance(NANO).await;
    let error = timer.elapsed_at_peer(None).expect("an error then is late");
    assert_eq!(
        (error.kind(), error.classification()),
        (TimeoutKind::BodyTotal, PEER_UNHEALTHY)
    );
    for (code, late) in [(0, false), (1, true), (4, true), (13, false)] {
        let trailers = trailers(code);
        assert_eq!(
            timer.elapsed_at_peer(Some(&trailers)).is_some(),
            late,
            "{code}"
        );
    }
    let local = timeout_trailers(&error);
    assert!(
        timer.elapsed_at_peer(Some(&local)).is_none(),
        "of a limit further in"
    );
    assert!(idle(1).elapsed_at_peer(None).is_none(), "no end is known");

    assert!(timer.expects_trailers());
    timer.expects_trailers = false;
    assert!(!timer.expects_trailers());
    assert!(timer.elapsed_at_peer(None).is_none(), "not gRPC");
}

/// The caller chose the deadline.
#[tokio::test(start_paused = true)]
async fn body_deadline_is_inconclusive() {
    let mut timer = timer(None, None, Some(1)).expect("a timer");
    assert!(poll(&mut timer).await.is_none());
    advance(SECOND).await;
    let elapsed = poll(&mut timer).await.expect("the end");
    assert_eq!(
        (elapsed.classification(), elapsed.limit()),
        (INCONCLUSIVE, None)
    );
}
