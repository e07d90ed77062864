use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use super::{
    call_timeout::CallTimeout,
    expiry::{Expiry, ExpiryCause},
    sleep::poll_sleep,
};
use crate::context::TimeBudget;

pin_project! {
    /// The timer of a call. Started when the call waits for the first time: work that is ready at once costs neither a timer
    /// nor a clock reading.
    #[derive(Debug, Default)]
    pub(super) struct Timer {
        #[pin]
        started: Option<StartedTimer>,
    }
}

pin_project! {
    #[derive(Debug)]
    struct StartedTimer {
        // Ends at the expiry.
        #[pin]
        sleep: Sleep,
        cause: ExpiryCause,
    }
}

impl Timer {
    /// Returns the budget that the work runs in.
    #[inline]
    pub(super) fn time_budget(&self, timeout: &CallTimeout) -> TimeBudget {
        let limit = match &self.started {
            Some(started) => TimeBudget::until(started.sleep.deadline()),
            // A span instead of a moment, since the clock has not been read.
            None => TimeBudget::for_duration(timeout.limit),
        };
        limit.with_deadline(timeout.deadline)
    }

    /// Returns when the time is over; None if the timer has not been started.
    #[inline]
    pub(super) fn expiry(&self) -> Option<Expiry> {
        let started = self.started.as_ref();
        started.map(StartedTimer::expiry)
    }

    pub(super) fn poll_elapsed(
        self: Pin<&mut Self>,
        timeout: &CallTimeout,
        cx: &mut Context<'_>,
    ) -> Poll<Expiry> {
        let mut started = self.project().started;
        if let Some(started) = started.as_mut().as_pin_mut() {
            let expiry = started.expiry();
            return poll_sleep(started.project().sleep, cx).map(|()| expiry);
        }
        // None is later than any clock can tell, and only the work itself wakes the task.
        let Some(expiry) = Expiry::earliest(timeout) else {
            return Poll::Pending;
        };
        started.set(Some(StartedTimer {
            sleep: sleep_until(expiry.at),
            cause: expiry.cause,
        }));
        match started.as_pin_mut() {
            // The clock was read just now, so this poll need not read it again.
            Some(started) => started.project().sleep.poll(cx).map(|()| expiry),
            None => Poll::Pending,
        }
    }
}

impl StartedTimer {
    fn expiry(&self) -> Expiry {
        Expiry {
            at: self.sleep.deadline(),
            cause: self.cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, time::Duration};

    use tokio::time::{Instant, advance};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Polls once.
    async fn poll_now<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll_fn(|cx| Poll::Ready(poll(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn timer_starts_at_the_first_poll_and_fixes_the_time_budget() {
        let timeout = CallTimeout::in_seconds(2, Some(3), None);
        let (mut timer, end) = (pin!(Timer::default()), Instant::now() + 3 * SECOND);
        let budget = TimeBudget::for_duration(2 * SECOND).with_deadline(timeout.deadline);
        assert_eq!(timer.time_budget(&timeout), budget);
        assert_eq!(timer.expiry(), None);
        advance(SECOND / 2).await;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&timeout, cx)).await;
        assert!(poll.is_pending());
        let at = Instant::now() + 2 * SECOND;
        let expiry = Expiry {
            at,
            cause: ExpiryCause::Limit,
        };
        assert_eq!(timer.expiry(), Some(expiry));
        let budget = TimeBudget::until(at).with_deadline(Some(end));
        assert_eq!(timer.time_budget(&timeout), budget);
        advance(2 * SECOND - Duration::from_nanos(1)).await;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&timeout, cx)).await;
        assert!(poll.is_pending());
        advance(Duration::from_nanos(1)).await;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&timeout, cx)).await;
        assert_eq!(poll, Poll::Ready(expiry));
    }

    #[tokio::test(start_paused = true)]
    async fn timer_fires_at_the_first_poll_after_the_deadline() {
        let (timeout, mut timer) = (
            CallTimeout::in_seconds(2, Some(0), None),
            pin!(Timer::default()),
        );
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&timeout, cx)).await;
        assert!(poll.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn timer_never_fires_without_an_expiry() {
        let (mut timeout, mut timer) = (
            CallTimeout::in_seconds(2, None, None),
            pin!(Timer::default()),
        );
        timeout.limit = Duration::MAX;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&timeout, cx)).await;
        assert!(poll.is_pending());
    }
}
