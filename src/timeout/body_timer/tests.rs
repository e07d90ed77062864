use std::future::poll_fn;

use http::HeaderValue;
use tokio::time::advance;

use super::*;
use crate::call::{Classification, Evidence, Outcome, timeout_trailers};

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const PEERS: Classification = Classification::new(Outcome::TimedOut, Evidence::Unhealthy);
const NOBODYS: Classification = Classification::new(Outcome::TimedOut, Evidence::Inconclusive);

/// A timer with these limits, in seconds.
fn timer(idle: Option<u32>, total: Option<u32>, deadline: Option<u32>) -> Option<Box<BodyTimer>> {
    let time = |seconds: u32| seconds * SECOND;
    let plan = TimeoutConfig {
        limit: TimeLimit::new("body", SECOND),
        protocol: (),
        body_idle: idle.map(time),
        body_total: total.map(time),
        timeout_header: None,
        send_limit: false,
    };
    let mut asked = CallTimeout::from_scope(SECOND);
    asked.deadline = deadline.map(|seconds| Instant::now() + time(seconds));
    BodyTimer::new(&plan, &asked, || true)
}

fn idle(seconds: u32) -> Box<BodyTimer> {
    timer(Some(seconds), None, None).expect("a timer")
}

fn total(seconds: u32) -> Box<BodyTimer> {
    timer(None, Some(seconds), None).expect("a timer")
}

/// Polls for a frame that is not there: what has run out, if anything.
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
async fn earliest_end_counts_and_names_what_ran_out() {
    use TimeoutKind::{BodyIdle, BodyTotal, Deadline};
    assert!(timer(None, None, None).is_none());
    for (limits, seconds, bound) in [
        ((Some(1), None, None), 1, BodyIdle),
        ((Some(1), Some(2), Some(2)), 1, BodyIdle),
        ((None, Some(1), Some(2)), 1, BodyTotal),
        ((Some(2), Some(1), None), 1, BodyTotal),
        ((Some(3), Some(2), Some(1)), 1, Deadline),
        ((None, None, Some(1)), 1, Deadline),
        // Of several at once, the most telling.
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
        assert_eq!(elapsed.kind(), bound, "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frame_begins_the_idle_time_anew_and_not_the_total() {
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
fn reader_may_be_late_by_a_quarter_of_the_idle_time_within_bounds() {
    let millis = Duration::from_millis;
    for (idle, late) in [(4, 10), (100, 25), (1_000, 250), (60_000, 1_000)] {
        assert_eq!(late_poll_tolerance(millis(idle)), millis(late));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_time_begins_anew_for_a_reader_that_was_away_when_it_was_over() {
    let tolerated = SECOND + SECOND / 4;
    let mut near = idle(1);
    assert!(poll(&mut near).await.is_none());
    advance(tolerated).await;
    let elapsed = poll(&mut near).await.expect("the end");
    assert_eq!(elapsed.classification(), PEERS);

    let mut away = idle(1);
    assert!(poll(&mut away).await.is_none());
    advance(tolerated + NANO).await;
    assert!(poll(&mut away).await.is_none());
    advance(SECOND).await;
    assert!(poll(&mut away).await.is_some());

    let mut deadline = timer(Some(2), None, Some(1)).expect("a timer");
    assert!(poll(&mut deadline).await.is_none());
    advance(10 * SECOND).await;
    assert!(poll(&mut deadline).await.is_some(), "it is not put off");
}

/// Reads a body of four seconds: waits for a frame so long, goes away for a while, and waits for the end.
async fn judged_after(waits: Duration, away: Duration) -> Classification {
    let mut timer = total(4);
    frame_after(&mut timer, waits).await;
    advance(away).await;
    assert!(poll(&mut timer).await.is_none());
    advance(4 * SECOND - waits - away).await;
    poll(&mut timer).await.expect("the end").classification()
}

#[tokio::test(start_paused = true)]
async fn total_time_speaks_against_the_peer_if_half_of_it_was_waited() {
    assert_eq!(judged_after(SECOND, 2 * SECOND).await, PEERS);
    let longer = 2 * SECOND + NANO;
    assert_eq!(judged_after(SECOND, longer).await, NOBODYS);
    assert_eq!(judged_after(3 * SECOND, SECOND - NANO).await, PEERS);
    assert_eq!(judged_after(NANO, 4 * SECOND - 2 * NANO).await, NOBODYS);
}

#[tokio::test(start_paused = true)]
async fn upload_that_stalls_is_the_callers_doing() {
    for (stalled, judged) in [(true, Classification::CALLER_FAULT), (false, PEERS)] {
        let mut timer = idle(1);
        timer.upload = Some(Upload::stalled(stalled));
        assert!(poll(&mut timer).await.is_none());
        advance(SECOND).await;
        let elapsed = poll(&mut timer).await.expect("the end");
        assert_eq!(elapsed.classification(), judged);
    }
}

#[tokio::test(start_paused = true)]
async fn reader_that_comes_back_after_the_grace_did_not_wait_for_the_peer() {
    for (late, judged) in [(GRACE_PERIOD, PEERS), (GRACE_PERIOD + NANO, NOBODYS)] {
        let mut timer = total(4);
        assert!(poll(&mut timer).await.is_none());
        advance(4 * SECOND + late).await;
        let elapsed = poll(&mut timer).await.expect("the end");
        assert_eq!(elapsed.classification(), judged, "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_ready_are_handed_on_for_the_grace_and_no_longer() {
    let mut endless = idle(1);
    advance(10 * SECOND).await;
    assert!(endless.on_frame().is_none());
    let mut timer = total(4);
    advance(4 * SECOND + GRACE_PERIOD).await;
    assert!(timer.on_frame().is_none());
    advance(NANO).await;
    let elapsed = timer.on_frame().expect("the end");
    assert_eq!(elapsed.kind(), TimeoutKind::BodyTotal);
    assert_eq!(elapsed.classification(), NOBODYS, "no reader waited");
}

fn trailers(code: u16) -> HeaderMap {
    let name = http::HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from(code))])
}

#[tokio::test(start_paused = true)]
async fn grpc_body_that_ends_badly_as_its_time_is_up_is_late() {
    let mut timer = total(1);
    assert!(poll(&mut timer).await.is_none());
    advance(SECOND - PEER_CLOCK_TOLERANCE - NANO).await;
    assert!(timer.elapsed_at_peer(None).is_none(), "too early");
    advance(NANO).await;
    let error = timer.elapsed_at_peer(None).expect("an error then is late");
    assert_eq!(
        (error.kind(), error.classification()),
        (TimeoutKind::BodyTotal, PEERS)
    );
    for (code, late) in [(0, false), (1, true), (4, true), (13, false)] {
        let trailers = trailers(code);
        assert_eq!(
            timer.elapsed_at_peer(Some(&trailers)).is_some(),
            late,
            "{code}"
        );
    }
    let ours = timeout_trailers(&error);
    assert!(
        timer.elapsed_at_peer(Some(&ours)).is_none(),
        "a limit's own"
    );
    assert!(idle(1).elapsed_at_peer(None).is_none(), "no end is known");

    assert!(timer.expects_trailers());
    timer.expects_trailers = false;
    assert!(!timer.expects_trailers());
    assert!(timer.elapsed_at_peer(None).is_none(), "no gRPC");
}

/// The deadline was the callers' to choose.
#[tokio::test(start_paused = true)]
async fn deadline_speaks_against_nobody() {
    let mut timer = timer(None, None, Some(1)).expect("a timer");
    assert!(poll(&mut timer).await.is_none());
    advance(SECOND).await;
    let elapsed = poll(&mut timer).await.expect("the end");
    assert_eq!((elapsed.classification(), elapsed.limit()), (NOBODYS, None));
}
