use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{TimeLimit, layer::Plan, timer::poll_fired};
use crate::call::{BoxError, Elapsed, TimeBound};

pin_project! {
    /// The body of a response with time limits: fails when one runs out. Forwards `size_hint` and `is_end_stream`.
    pub struct TimeoutBody<B> {
        // The service's, or the answer in place of one that did not come in time. Nothing, when it was given up.
        #[pin]
        inner: Either<B, Full<Bytes>>,
        // Apart, since most bodies have no limits.
        timer: Option<Box<BodyTimer>>,
    }
}

/// The limits of a body, and the wait for its next frame.
struct BodyTimer {
    limit: TimeLimit,
    idle: Option<Duration>,
    total: Option<Duration>,
    end: Option<End>,
    /// Made at the first wait, then used again.
    sleep: Option<Pin<Box<Sleep>>>,
    /// What the sleep is for, while somebody waits.
    waiting: Option<TimeBound>,
}

type End = (Instant, TimeBound);

fn earlier(one: Option<End>, other: Option<End>) -> Option<End> {
    match (one, other) {
        (Some(one), Some(other)) if one.0 <= other.0 => Some(one),
        (one, other) => other.or(one),
    }
}

impl<B> TimeoutBody<B> {
    #[inline]
    pub(super) fn new<P>(body: B, plan: &Plan<P>, deadline: Option<Instant>) -> Self {
        TimeoutBody {
            inner: Either::Left(body),
            timer: BodyTimer::new(plan, deadline),
        }
    }

    pub(super) fn message(message: Bytes) -> Self {
        TimeoutBody {
            inner: Either::Right(Full::new(message)),
            timer: None,
        }
    }
}

impl BodyTimer {
    #[inline]
    fn new<P>(plan: &Plan<P>, deadline: Option<Instant>) -> Option<Box<Self>> {
        let (idle, total) = (plan.body_idle, plan.body_total);
        if idle.is_none() && total.is_none() && deadline.is_none() {
            return None;
        }
        let end = total.and_then(|total| Instant::now().checked_add(total));
        let end = end.map(|end| (end, TimeBound::BodyTotal));
        let deadline = deadline.map(|deadline| (deadline, TimeBound::Deadline));
        Some(Box::new(BodyTimer {
            limit: plan.limit.clone(),
            idle,
            total,
            end: earlier(end, deadline),
            sleep: None,
            waiting: None,
        }))
    }

    #[cold]
    fn ran_out(&self, bound: TimeBound) -> Elapsed {
        let after = match bound {
            TimeBound::BodyIdle => self.idle,
            TimeBound::BodyTotal => self.total,
            TimeBound::Limit | TimeBound::Deadline => None,
        };
        self.limit.ran_out(bound, after)
    }

    /// A frame has come, and is not the last. One that is ready late is still too late for the end of all.
    fn progress(&mut self) -> Option<Elapsed> {
        self.waiting = None;
        let (end, bound) = self.end?;
        (end <= Instant::now()).then(|| self.ran_out(bound))
    }

    /// When the wait that begins now is over, and why.
    fn wait(&self) -> Option<End> {
        let idle = self.idle.and_then(|idle| Instant::now().checked_add(idle));
        earlier(idle.map(|end| (end, TimeBound::BodyIdle)), self.end)
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        let bound = match self.waiting {
            Some(bound) => bound,
            None => {
                let Some((at, bound)) = self.wait() else {
                    return Poll::Pending;
                };
                match &mut self.sleep {
                    Some(sleep) => sleep.as_mut().reset(at),
                    None => self.sleep = Some(Box::pin(sleep_until(at))),
                }
                *self.waiting.insert(bound)
            }
        };
        let Some(sleep) = &mut self.sleep else {
            return Poll::Pending;
        };
        ready!(poll_fired(sleep.as_mut(), cx));
        Poll::Ready(self.ran_out(bound))
    }
}

impl<B> Body for TimeoutBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(timer) = this.timer.as_mut() else {
            return this.inner.poll_frame(cx);
        };
        // The frame before the clock, as for the head.
        let late = match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() || this.inner.is_end_stream() => {
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Ok(frame))) => match timer.progress() {
                Some(late) => late,
                None => return Poll::Ready(Some(Ok(frame))),
            },
            Poll::Ready(end) => return Poll::Ready(end),
            Poll::Pending => ready!(timer.poll_over(cx)),
        };
        // Given up before its error is told.
        this.inner.set(Either::Right(Full::default()));
        *this.timer = None;
        Poll::Ready(Some(Err(late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for TimeoutBody<B> {
    fn default() -> Self {
        TimeoutBody {
            inner: Either::Left(B::default()),
            timer: None,
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for TimeoutBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TimeoutBody");
        match &self.inner {
            Either::Left(body) => debug.field("inner", body),
            Either::Right(message) => debug.field("message", message),
        };
        debug.finish_non_exhaustive()
    }
}
