use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    TimeLimit,
    call_timeout::CallTimeout,
    layer::TimeoutConfig,
    response::reports_timeout,
    timer::{PEER_CLOCK_TOLERANCE, poll_sleep},
};
use crate::{
    call::{Elapsed, TimeoutKind, classify_timeout_trailers},
    protocol::upload::Upload,
};

/// For so long, frames that are ready are still handed on after the end: who waits for nothing is not cut off in the
/// middle of an answer that is there. A stream that never rests ends then.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

/// The limits of a body, and the wait for its next frame.
pub(super) struct BodyTimer {
    limit: TimeLimit,
    idle: Option<Duration>,
    total: Option<Duration>,
    end: Option<BodyEnd>,
    /// Whether a gRPC status is still to come, in trailers.
    expects_trailers: bool,
    upload: Option<Upload>,
    /// Made at the first wait, then used again.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: Option<FrameWait>,
    /// How long the reader has waited for frames, where somebody will ask.
    total_wait: Duration,
}

type BodyEnd = (Instant, TimeoutKind);

/// A reader waits for a frame.
#[derive(Clone, Copy)]
struct FrameWait {
    /// When that began, where somebody will ask.
    since: Option<Instant>,
    /// What the sleep is for.
    kind: TimeoutKind,
}

fn earlier_end(one: Option<BodyEnd>, other: Option<BodyEnd>) -> Option<BodyEnd> {
    match (one, other) {
        (Some(one), Some(other)) if one.0 <= other.0 => Some(one),
        (one, other) => other.or(one),
    }
}

/// Returns how late a reader may come after the timer has woken it, before it is clear that it was away. An overloaded
/// runtime polls late as well, so not at once.
fn late_poll_tolerance(idle: Duration) -> Duration {
    (idle / 4).clamp(Duration::from_millis(10), GRACE_PERIOD)
}

impl BodyTimer {
    #[inline]
    pub(super) fn new<P>(
        plan: &TimeoutConfig<P>,
        asked: &CallTimeout,
        in_trailers: impl FnOnce() -> bool,
    ) -> Option<Box<Self>> {
        let (idle, total) = (plan.body_idle, plan.body_total);
        if idle.is_none() && total.is_none() && asked.deadline.is_none() {
            return None;
        }
        let end = total.and_then(|total| Instant::now().checked_add(total));
        let end = end.map(|end| (end, TimeoutKind::BodyTotal));
        let deadline = asked.deadline.map(|at| (at, TimeoutKind::Deadline));
        Some(Box::new(BodyTimer {
            limit: plan.limit.clone(),
            idle,
            total,
            end: earlier_end(end, deadline),
            expects_trailers: in_trailers(),
            upload: asked.upload.clone(),
            sleep: None,
            waiting: None,
            total_wait: Duration::ZERO,
        }))
    }

    pub(super) fn expects_trailers(&self) -> bool {
        self.expects_trailers
    }

    /// Counts what ran out. `waited` is how long the last wait for the peer took.
    #[cold]
    fn record_elapsed(&self, bound: TimeoutKind, now: Instant, waited: Duration) -> Elapsed {
        let after = match bound {
            TimeoutKind::BodyIdle => self.idle,
            TimeoutKind::BodyTotal => self.total,
            TimeoutKind::Limit | TimeoutKind::Deadline => None,
        };
        let elapsed = self.limit.record_elapsed(bound, after);
        let Some(after) = after else {
            return elapsed;
        };
        let began = now.checked_sub(after).unwrap_or(now);
        let upload = self.upload.as_ref();
        if upload.is_some_and(|upload| upload.blames_caller_for_timeout(began, now)) {
            elapsed.blame_caller()
        } else if bound == TimeoutKind::BodyTotal && (self.total_wait + waited) * 2 < after {
            // Most of the time went by while nobody asked for a frame.
            elapsed.blame_unknown()
        } else {
            elapsed
        }
    }

    /// A frame has come, and is not the last.
    pub(super) fn on_frame(&mut self) -> Option<Elapsed> {
        let waiting = self.waiting.take();
        let (end, bound) = self.end?;
        let now = Instant::now();
        let since = waiting.and_then(|waiting| waiting.since);
        self.total_wait +=
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let over = now.saturating_duration_since(end) > GRACE_PERIOD;
        over.then(|| self.record_elapsed(bound, now, Duration::ZERO))
    }

    /// A gRPC body ends badly in the very moment in which its time is up: the peer goes by the deadline that it was
    /// sent. A limit further in has its own word.
    pub(super) fn elapsed_at_peer(&self, trailers: Option<&HeaderMap>) -> Option<Elapsed> {
        let late =
            |trailers| reports_timeout(trailers) && classify_timeout_trailers(trailers).is_none();
        if !self.expects_trailers || !trailers.is_none_or(late) {
            return None;
        }
        let (end, bound) = self.end?;
        let now = Instant::now();
        (end <= now + PEER_CLOCK_TOLERANCE)
            .then(|| self.record_elapsed(bound, now, self.current_wait(now)))
    }

    fn current_wait(&self, now: Instant) -> Duration {
        let since = self.waiting.and_then(|waiting| waiting.since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The reader begins to wait, or begins anew.
    fn start_wait(&mut self) -> Option<(FrameWait, &mut Pin<Box<Sleep>>)> {
        let counts = self.idle.is_some() || self.total.is_some();
        let since = counts.then(Instant::now);
        let idle = self.idle.zip(since);
        let idle = idle.and_then(|(idle, since)| since.checked_add(idle));
        let (at, bound) = earlier_end(idle.map(|end| (end, TimeoutKind::BodyIdle)), self.end)?;
        let waiting = *self.waiting.insert(FrameWait { since, kind: bound });
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        Some((waiting, sleep))
    }

    pub(super) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        let (waiting, late) = match (self.waiting, &mut self.sleep) {
            (Some(waiting), Some(sleep)) => {
                ready!(poll_sleep(sleep.as_mut(), cx));
                (waiting, sleep.deadline().elapsed())
            }
            _ => match self.start_wait() {
                Some((waiting, sleep)) => {
                    ready!(poll_sleep(sleep.as_mut(), cx));
                    (waiting, Duration::ZERO)
                }
                None => return Poll::Pending,
            },
        };
        match (waiting.kind, self.idle) {
            // Nobody was waiting when the time was over, so it begins again.
            (TimeoutKind::BodyIdle, Some(idle)) if late > late_poll_tolerance(idle) => {
                let Some((waiting, sleep)) = self.start_wait() else {
                    return Poll::Pending;
                };
                ready!(poll_sleep(sleep.as_mut(), cx));
                Poll::Ready(self.on_elapsed(waiting.kind, Duration::ZERO))
            }
            (bound, _) => Poll::Ready(self.on_elapsed(bound, late)),
        }
    }

    /// The wait is over. A reader that comes late after that did not wait for the peer.
    #[cold]
    fn on_elapsed(&self, bound: TimeoutKind, late: Duration) -> Elapsed {
        let now = Instant::now();
        let waited = match late > GRACE_PERIOD {
            true => Duration::ZERO,
            false => self.current_wait(now),
        };
        self.record_elapsed(bound, now, waited)
    }
}

#[cfg(test)]
mod tests;
