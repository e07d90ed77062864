use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{call::TimeBound, observe::context::TimeScope};

pin_project! {
    /// Runs out after a time or at a deadline, whichever is first. Made when it is first waited for: work that is
    /// ready at once costs neither a timer nor a clock reading.
    #[derive(Debug)]
    pub(super) struct Timer {
        limit: Duration,
        deadline: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
        bound: TimeBound,
    }
}

impl Timer {
    pub(super) fn new(limit: Duration, deadline: Option<Instant>) -> Self {
        Timer {
            limit,
            deadline,
            sleep: None,
            bound: TimeBound::Limit,
        }
    }

    /// Within what time the work runs.
    #[inline]
    pub(super) fn scope(&self) -> TimeScope {
        match (&self.sleep, self.deadline) {
            (Some(sleep), _) => TimeScope::until(sleep.deadline()),
            (None, None) => TimeScope::within(self.limit),
            (None, Some(deadline)) => TimeScope::within(self.limit).and_until(deadline),
        }
    }

    pub(super) fn poll_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TimeBound> {
        let mut this = self.project();
        if this.sleep.is_none() {
            let end = Instant::now().checked_add(*this.limit);
            let (at, bound) = match (end, *this.deadline) {
                (Some(end), Some(deadline)) if deadline < end => (deadline, TimeBound::Deadline),
                (Some(end), _) => (end, TimeBound::Limit),
                (None, Some(deadline)) => (deadline, TimeBound::Deadline),
                // Later than any clock can say.
                (None, None) => return Poll::Pending,
            };
            *this.bound = bound;
            this.sleep.set(Some(sleep_until(at)));
            // Just now there was time left, so this poll need not read the clock again.
            return match this.sleep.as_pin_mut() {
                Some(sleep) => sleep.poll(cx).map(|()| bound),
                None => Poll::Pending,
            };
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => poll_fired(sleep, cx).map(|()| *this.bound),
            None => Poll::Pending,
        }
    }
}

/// Polls a timer beside work that may have used up the task's budget. The timer then does not even look at its clock,
/// so that work which does this at every poll would never be given up.
pub(in crate::resilience) fn poll_fired(
    mut sleep: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    match sleep.as_mut().poll(cx) {
        Poll::Pending if sleep.deadline() <= Instant::now() => Poll::Ready(()),
        poll => poll,
    }
}
