use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    TimeLimit, call_timeout::CallTimeout, config::TimeoutConfig, expiry::PEER_CLOCK_TOLERANCE,
    response::reports_timeout, sleep::poll_sleep,
};
use crate::{
    call::{Elapsed, TimeoutKind, classify_timeout_trailers},
    protocol::upload::Upload,
};

/// The time for which frames that are ready are forwarded after the end, so that a body that is there is not cut. A stream
/// that is always ready ends then.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

/// The limits of a body, and the wait for its next frame.
pub(super) struct BodyTimer {
    limit: TimeLimit,
    idle: Option<Duration>,
    total: Option<Duration>,
    end: Option<BodyEnd>,
    /// True if the body ends with a gRPC status in trailers.
    expects_trailers: bool,
    upload: Option<Upload>,
    /// Created at the first wait, then reset.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: Option<FrameWait>,
    /// The time that the reader has waited for frames, if a limit of the body needs it.
    total_wait: Duration,
}

type BodyEnd = (Instant, TimeoutKind);

/// The wait of a reader for a frame.
#[derive(Clone, Copy)]
struct FrameWait {
    /// The start of the wait, if a limit of the body needs it.
    since: Option<Instant>,
    /// The kind of timeout that the sleep is the timer of.
    kind: TimeoutKind,
}

fn earlier_end(one: Option<BodyEnd>, other: Option<BodyEnd>) -> Option<BodyEnd> {
    match (one, other) {
        (Some(one), Some(other)) if one.0 <= other.0 => Some(one),
        (one, other) => other.or(one),
    }
}

/// Returns how late a reader may poll after the timer has woken it. Later, it was away; earlier, the runtime may be
/// overloaded.
fn late_poll_tolerance(idle: Duration) -> Duration {
    (idle / 4).clamp(Duration::from_millis(10), GRACE_PERIOD)
}

impl BodyTimer {
    #[inline]
    pub(super) fn new<P>(
        config: &TimeoutConfig<P>,
        timeout: &CallTimeout,
        expects_trailers: impl FnOnce() -> bool,
    ) -> Option<Box<Self>> {
        let (idle, total) = (config.body_idle, config.body_total);
        // Most bodies: no allocation, and no clock reading for a frame.
        if idle.is_none() && total.is_none() && timeout.deadline.is_none() {
            return None;
        }
        let end = total.and_then(|total| Instant::now().checked_add(total));
        let end = end.map(|end| (end, TimeoutKind::BodyTotal));
        let deadline = timeout.deadline.map(|at| (at, TimeoutKind::Deadline));
        Some(Box::new(BodyTimer {
            limit: config.limit.clone(),
            idle,
            total,
            end: earlier_end(end, deadline),
            expects_trailers: expects_trailers(),
            upload: timeout.upload.clone(),
            sleep: None,
            waiting: None,
            total_wait: Duration::ZERO,
        }))
    }

    pub(super) fn expects_trailers(&self) -> bool {
        self.expects_trailers
    }

    /// Counts a timeout, and returns it. `last_wait` is how long the reader has waited for the frame that did not come.
    #[cold]
    fn record_elapsed(&self, kind: TimeoutKind, now: Instant, last_wait: Duration) -> Elapsed {
        let limit = match kind {
            TimeoutKind::BodyIdle => self.idle,
            TimeoutKind::BodyTotal => self.total,
            TimeoutKind::Limit | TimeoutKind::Deadline => None,
        };
        let elapsed = self.limit.record_elapsed(kind, limit);
        let Some(limit) = limit else {
            return elapsed;
        };
        // Underflows only within the first moments of a clock, where any start is as good.
        let started_at = now.checked_sub(limit).unwrap_or(now);
        let upload = self.upload.as_ref();
        if upload.is_some_and(|upload| upload.blames_caller_for_timeout(started_at, now)) {
            elapsed.blame_caller()
        } else if kind == TimeoutKind::BodyTotal && (self.total_wait + last_wait) * 2 < limit {
            // The reader was away for most of the time.
            elapsed.blame_unknown()
        } else {
            elapsed
        }
    }

    /// Ends the wait for a frame, which is not the last. Returns a timeout if frames have come for too long after the end.
    pub(super) fn on_frame(&mut self) -> Option<Elapsed> {
        let wait = self.waiting.take();
        // Without an end, a frame costs no clock reading.
        let (end, kind) = self.end?;
        let now = Instant::now();
        let since = wait.and_then(|wait| wait.since);
        self.total_wait +=
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let is_over = now.saturating_duration_since(end) > GRACE_PERIOD;
        is_over.then(|| self.record_elapsed(kind, now, Duration::ZERO))
    }

    /// Returns the timeout of a gRPC body that fails just when its time is up: the peer obeys the deadline that it was sent.
    /// Trailers of a limit further in are classified already and stay.
    pub(super) fn elapsed_at_peer(&self, trailers: Option<&HeaderMap>) -> Option<Elapsed> {
        let is_timeout =
            |trailers| reports_timeout(trailers) && classify_timeout_trailers(trailers).is_none();
        if !self.expects_trailers || !trailers.is_none_or(is_timeout) {
            return None;
        }
        let (end, kind) = self.end?;
        let now = Instant::now();
        (end <= now + PEER_CLOCK_TOLERANCE)
            .then(|| self.record_elapsed(kind, now, self.current_wait(now)))
    }

    fn current_wait(&self, now: Instant) -> Duration {
        let since = self.waiting.and_then(|wait| wait.since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Starts the wait for a frame, or starts it again.
    fn start_wait(&mut self) -> Option<(FrameWait, &mut Pin<Box<Sleep>>)> {
        // A deadline alone is a moment already, so the start of the wait is not needed.
        let is_measured = self.idle.is_some() || self.total.is_some();
        let since = is_measured.then(Instant::now);
        let idle = self.idle.zip(since);
        let idle = idle.and_then(|(idle, since)| since.checked_add(idle));
        let (at, kind) = earlier_end(idle.map(|end| (end, TimeoutKind::BodyIdle)), self.end)?;
        let wait = *self.waiting.insert(FrameWait { since, kind });
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                // A reset is cheaper than a new timer, which has to be boxed and registered.
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        Some((wait, sleep))
    }

    pub(super) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        let (wait, late_by) = match (self.waiting, &mut self.sleep) {
            (Some(wait), Some(sleep)) => {
                // The reader polls when it likes, so it may find the time over for long.
                ready!(poll_sleep(sleep.as_mut(), cx));
                (wait, sleep.deadline().elapsed())
            }
            _ => match self.start_wait() {
                Some((wait, sleep)) => {
                    ready!(poll_sleep(sleep.as_mut(), cx));
                    (wait, Duration::ZERO)
                }
                None => return Poll::Pending,
            },
        };
        match (wait.kind, self.idle) {
            // The reader was away when the limit elapsed, so it gets the time again.
            (TimeoutKind::BodyIdle, Some(idle)) if late_by > late_poll_tolerance(idle) => {
                let Some((wait, sleep)) = self.start_wait() else {
                    return Poll::Pending;
                };
                // Registers the waker; is over at once if the end of the body has passed as well.
                ready!(poll_sleep(sleep.as_mut(), cx));
                Poll::Ready(self.on_elapsed(wait.kind, Duration::ZERO))
            }
            (kind, _) => Poll::Ready(self.on_elapsed(kind, late_by)),
        }
    }

    /// Counts a wait whose time is up. A reader that polls much later did not wait for the peer.
    #[cold]
    fn on_elapsed(&self, kind: TimeoutKind, late_by: Duration) -> Elapsed {
        let now = Instant::now();
        let last_wait = match late_by > GRACE_PERIOD {
            true => Duration::ZERO,
            false => self.current_wait(now),
        };
        self.record_elapsed(kind, now, last_wait)
    }
}

#[cfg(test)]
mod tests;
