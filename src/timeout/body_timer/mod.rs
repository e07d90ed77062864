use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    TimeLimit,
    answer::says_late,
    asked::Asked,
    layer::Plan,
    timer::{NEARLY, poll_fired},
};
use crate::{
    call::{Elapsed, TimeBound, judged_late},
    protocol::upload::Upload,
};

/// For so long, frames that are ready are still handed on after the end: who waits for nothing is not cut off in the
/// middle of an answer that is there. A stream that never rests ends then.
const GRACE: Duration = Duration::from_secs(1);

/// The limits of a body, and the wait for its next frame.
pub(super) struct BodyTimer {
    limit: TimeLimit,
    idle: Option<Duration>,
    total: Option<Duration>,
    end: Option<End>,
    /// Whether a gRPC status is still to come, in trailers.
    in_trailers: bool,
    upload: Option<Upload>,
    /// Made at the first wait, then used again.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: Option<Waiting>,
    /// How long the reader has waited for frames, where somebody will ask.
    waited: Duration,
}

type End = (Instant, TimeBound);

/// A reader waits for a frame.
#[derive(Clone, Copy)]
struct Waiting {
    /// When that began, where somebody will ask.
    since: Option<Instant>,
    /// What the sleep is for.
    bound: TimeBound,
}

fn earlier(one: Option<End>, other: Option<End>) -> Option<End> {
    match (one, other) {
        (Some(one), Some(other)) if one.0 <= other.0 => Some(one),
        (one, other) => other.or(one),
    }
}

/// Returns how late a reader may come after the timer has woken it, before it is clear that it was away. An overloaded
/// runtime polls late as well, so not at once.
fn tolerance(idle: Duration) -> Duration {
    (idle / 4).clamp(Duration::from_millis(10), GRACE)
}

impl BodyTimer {
    #[inline]
    pub(super) fn new<P>(
        plan: &Plan<P>,
        asked: &Asked,
        in_trailers: impl FnOnce() -> bool,
    ) -> Option<Box<Self>> {
        let (idle, total) = (plan.body_idle, plan.body_total);
        if idle.is_none() && total.is_none() && asked.deadline.is_none() {
            return None;
        }
        let end = total.and_then(|total| Instant::now().checked_add(total));
        let end = end.map(|end| (end, TimeBound::BodyTotal));
        let deadline = asked.deadline.map(|at| (at, TimeBound::Deadline));
        Some(Box::new(BodyTimer {
            limit: plan.limit.clone(),
            idle,
            total,
            end: earlier(end, deadline),
            in_trailers: in_trailers(),
            upload: asked.upload.clone(),
            sleep: None,
            waiting: None,
            waited: Duration::ZERO,
        }))
    }

    pub(super) fn in_trailers(&self) -> bool {
        self.in_trailers
    }

    /// Counts what ran out. `waited` is how long the last wait for the peer took.
    #[cold]
    fn ran_out(&self, bound: TimeBound, now: Instant, waited: Duration) -> Elapsed {
        let after = match bound {
            TimeBound::BodyIdle => self.idle,
            TimeBound::BodyTotal => self.total,
            TimeBound::Limit | TimeBound::Deadline => None,
        };
        let elapsed = self.limit.ran_out(bound, after);
        let Some(after) = after else {
            return elapsed;
        };
        let began = now.checked_sub(after).unwrap_or(now);
        let upload = self.upload.as_ref();
        if upload.is_some_and(|upload| upload.blames_caller_for_timeout(began, now)) {
            elapsed.blaming_caller()
        } else if bound == TimeBound::BodyTotal && (self.waited + waited) * 2 < after {
            // Most of the time went by while nobody asked for a frame.
            elapsed.blaming_nobody()
        } else {
            elapsed
        }
    }

    /// A frame has come, and is not the last.
    pub(super) fn progress(&mut self) -> Option<Elapsed> {
        let waiting = self.waiting.take();
        let (end, bound) = self.end?;
        let now = Instant::now();
        let since = waiting.and_then(|waiting| waiting.since);
        self.waited += since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let over = now.saturating_duration_since(end) > GRACE;
        over.then(|| self.ran_out(bound, now, Duration::ZERO))
    }

    /// A gRPC body ends badly in the very moment in which its time is up: the peer goes by the deadline that it was
    /// sent. A limit further in has its own word.
    pub(super) fn late_by_peer(&self, trailers: Option<&HeaderMap>) -> Option<Elapsed> {
        let late = |trailers| says_late(trailers) && judged_late(trailers).is_none();
        if !self.in_trailers || !trailers.is_none_or(late) {
            return None;
        }
        let (end, bound) = self.end?;
        let now = Instant::now();
        (end <= now + NEARLY).then(|| self.ran_out(bound, now, self.waited_since(now)))
    }

    fn waited_since(&self, now: Instant) -> Duration {
        let since = self.waiting.and_then(|waiting| waiting.since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The reader begins to wait, or begins anew.
    fn begin(&mut self) -> Option<(Waiting, &mut Pin<Box<Sleep>>)> {
        let counts = self.idle.is_some() || self.total.is_some();
        let since = counts.then(Instant::now);
        let idle = self.idle.zip(since);
        let idle = idle.and_then(|(idle, since)| since.checked_add(idle));
        let (at, bound) = earlier(idle.map(|end| (end, TimeBound::BodyIdle)), self.end)?;
        let waiting = *self.waiting.insert(Waiting { since, bound });
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        Some((waiting, sleep))
    }

    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        let (waiting, late) = match (self.waiting, &mut self.sleep) {
            (Some(waiting), Some(sleep)) => {
                ready!(poll_fired(sleep.as_mut(), cx));
                (waiting, sleep.deadline().elapsed())
            }
            _ => match self.begin() {
                Some((waiting, sleep)) => {
                    ready!(poll_fired(sleep.as_mut(), cx));
                    (waiting, Duration::ZERO)
                }
                None => return Poll::Pending,
            },
        };
        match (waiting.bound, self.idle) {
            // Nobody was waiting when the time was over, so it begins again.
            (TimeBound::BodyIdle, Some(idle)) if late > tolerance(idle) => {
                let Some((waiting, sleep)) = self.begin() else {
                    return Poll::Pending;
                };
                ready!(poll_fired(sleep.as_mut(), cx));
                Poll::Ready(self.over(waiting.bound, Duration::ZERO))
            }
            (bound, _) => Poll::Ready(self.over(bound, late)),
        }
    }

    /// The wait is over. A reader that comes late after that did not wait for the peer.
    #[cold]
    fn over(&self, bound: TimeBound, late: Duration) -> Elapsed {
        let now = Instant::now();
        let waited = match late > GRACE {
            true => Duration::ZERO,
            false => self.waited_since(now),
        };
        self.ran_out(bound, now, waited)
    }
}

#[cfg(test)]
mod tests;
