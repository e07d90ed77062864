use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{TimeLimit, call_timeout::CallTimeout};
use crate::{
    call::{Elapsed, TimeoutKind},
    context::TimeBudget,
};

/// A limit around the call gives it up itself, and knows better how to judge it. So the call waits for that a little
/// longer, and ends by itself only where it goes on in another task.
const OUTER_LIMIT_GRACE: Duration = Duration::from_millis(2);
/// A transport that obeys the very limit that it is sent runs a clock of its own.
pub(super) const PEER_CLOCK_TOLERANCE: Duration = Duration::from_millis(10);

/// What ran out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpiryCause {
    Limit,
    Deadline,
    OuterLimit,
}

/// When the time of a call is over, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    pub(super) at: Instant,
    cause: ExpiryCause,
}

impl Expiry {
    /// The earliest end, counted from now; none if that is later than any clock can say.
    fn earliest(asked: &CallTimeout) -> Option<Self> {
        let limit = Instant::now().checked_add(asked.limit);
        let around = asked
            .outer_limit
            .and_then(|at| at.checked_add(OUTER_LIMIT_GRACE));
        let ends = [
            (limit, ExpiryCause::Limit),
            (asked.deadline, ExpiryCause::Deadline),
            (around, ExpiryCause::OuterLimit),
        ];
        let ends = ends.into_iter();
        let ends = ends.filter_map(|(at, ran)| at.map(|at| Expiry { at, cause: ran }));
        // Of several at once, the first.
        ends.min_by_key(|over| over.at)
    }

    /// Returns whether it has come, or very nearly so.
    pub(super) fn is_near(&self) -> bool {
        self.at <= Instant::now() + PEER_CLOCK_TOLERANCE
    }

    /// Counts it, and says what it means.
    #[cold]
    pub(super) fn record_elapsed(&self, limit: &TimeLimit, asked: &CallTimeout) -> Elapsed {
        match self.cause {
            ExpiryCause::Limit => {
                let elapsed = limit.record_elapsed(TimeoutKind::Limit, Some(asked.limit));
                let began = self.at - asked.limit;
                let upload = asked.upload.as_ref();
                let blames =
                    upload.is_some_and(|it| it.blames_caller_for_timeout(began, Instant::now()));
                if blames {
                    elapsed.blame_caller()
                } else {
                    elapsed
                }
            }
            ExpiryCause::Deadline | ExpiryCause::OuterLimit => {
                limit.record_elapsed(TimeoutKind::Deadline, None)
            }
        }
    }
}

pin_project! {
    /// Runs out after a time or at a deadline, whichever is first. Made when it is first waited for: work that is
    /// ready at once costs neither a timer nor a clock reading.
    #[derive(Debug, Default)]
    pub(super) struct Timer {
        #[pin]
        sleep: Option<Sleep>,
        over: Option<Expiry>,
    }
}

impl Timer {
    /// Within what time the work runs.
    #[inline]
    pub(super) fn time_budget(&self, asked: &CallTimeout) -> TimeBudget {
        let limit = match &self.over {
            Some(over) => TimeBudget::until(over.at),
            None => TimeBudget::for_duration(asked.limit),
        };
        limit.with_deadline(asked.deadline)
    }

    /// Returns when it runs out, once somebody has waited.
    #[inline]
    pub(super) fn expiry(&self) -> Option<Expiry> {
        self.over
    }

    pub(super) fn poll_elapsed(
        self: Pin<&mut Self>,
        asked: &CallTimeout,
        cx: &mut Context<'_>,
    ) -> Poll<Expiry> {
        let mut this = self.project();
        if let Some(over) = *this.over {
            return match this.sleep.as_pin_mut() {
                Some(sleep) => poll_sleep(sleep, cx).map(|()| over),
                None => Poll::Pending,
            };
        }
        let Some(over) = Expiry::earliest(asked) else {
            return Poll::Pending;
        };
        *this.over = Some(over);
        this.sleep.set(Some(sleep_until(over.at)));
        // Just now there was time left, so this poll need not read the clock again.
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| over),
            None => Poll::Pending,
        }
    }
}

/// Polls a timer beside work that may have used up the task's budget. The timer then does not even look at its clock,
/// so that work which does this at every poll would never be given up.
pub(crate) fn poll_sleep(mut sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    match sleep.as_mut().poll(cx) {
        Poll::Pending if sleep.deadline() <= Instant::now() => Poll::Ready(()),
        poll => poll,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use bytes::Bytes;
    use http_body::Frame;
    use tokio::{task::consume_budget, time::advance};

    use super::*;
    use crate::{call::Evidence, protocol::upload::Upload, timeout::TimeLimit};

    const SECOND: Duration = Duration::from_secs(1);

    fn asked(limit: u32, deadline: Option<u32>, around: Option<u32>) -> CallTimeout {
        let at = |seconds| Instant::now() + seconds * SECOND;
        CallTimeout {
            limit: limit * SECOND,
            deadline: deadline.map(at),
            outer_limit: around.map(at),
            upload: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn earliest_end_counts_and_is_named() {
        let table = [
            (asked(2, None, None), ExpiryCause::Limit),
            (asked(2, Some(2), Some(2)), ExpiryCause::Limit),
            (asked(2, Some(1), None), ExpiryCause::Deadline),
            // What is around ends at the deadline as well.
            (asked(2, Some(1), Some(1)), ExpiryCause::Deadline),
            (asked(2, Some(3), Some(1)), ExpiryCause::OuterLimit),
        ];
        for (asked, ran) in table {
            assert_eq!(
                Expiry::earliest(&asked).map(|over| over.cause),
                Some(ran),
                "{asked:?}"
            );
        }
        let mut endless = asked(0, None, None);
        endless.limit = Duration::MAX;
        assert_eq!(Expiry::earliest(&endless), None);
    }

    #[tokio::test(start_paused = true)]
    async fn limit_blames_the_peer_unless_the_upload_stalls() {
        let limit = TimeLimit::new("blame", SECOND);
        let mut slow = asked(1, None, None);
        for (upload, callers) in [(None, false), (Some(false), false), (Some(true), true)] {
            slow.upload = upload.map(Upload::stalled);
            let why = Expiry::earliest(&slow)
                .expect("an end")
                .record_elapsed(&limit, &slow);
            assert_eq!(why.is_caller_fault(), callers);
            assert_eq!(why.evidence() == Evidence::Unhealthy, !callers);
        }
        let hurried = asked(2, Some(1), None);
        let why = Expiry::earliest(&hurried)
            .expect("an end")
            .record_elapsed(&limit, &hurried);
        assert_eq!(why.evidence(), Evidence::Inconclusive);
    }

    #[tokio::test(start_paused = true)]
    async fn limit_blames_the_caller_if_the_upload_took_more_than_half_of_it() {
        type Data = Result<Frame<Bytes>, ()>;
        let limit = TimeLimit::new("blame", SECOND);
        for (percent, callers) in [(60, true), (40, false)] {
            let (mut slow, upload) = (asked(1, None, None), Upload::default());
            let (over, waited) = (
                Expiry::earliest(&slow).expect("an end"),
                SECOND * percent / 100,
            );
            let mut reporter = upload.reporter(&Default::default(), None).expect("first");
            reporter.on_poll(&Poll::<Option<Data>>::Pending, || false);
            advance(waited).await;
            let data = Frame::data(Bytes::from_static(b"more"));
            reporter.on_poll(&Poll::Ready(Some(Data::Ok(data))), || false);
            advance(SECOND - waited).await;
            slow.upload = Some(upload);
            let why = over.record_elapsed(&limit, &slow);
            assert_eq!(why.is_caller_fault(), callers, "{percent} %");
        }
    }

    /// Polls once.
    async fn poll_now<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll_fn(|cx| Poll::Ready(poll(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn timer_starts_when_it_is_waited_for_first_and_its_scope_is_fixed_then() {
        let asked = asked(2, Some(3), None);
        let (mut timer, end) = (pin!(Timer::default()), Instant::now() + 3 * SECOND);
        let scope = TimeBudget::for_duration(2 * SECOND).with_deadline(asked.deadline);
        assert_eq!(timer.time_budget(&asked), scope);
        assert_eq!(timer.expiry(), None);
        advance(SECOND / 2).await;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&asked, cx)).await;
        assert!(poll.is_pending());
        let at = Instant::now() + 2 * SECOND;
        let over = Expiry {
            at,
            cause: ExpiryCause::Limit,
        };
        assert_eq!(timer.expiry(), Some(over));
        let scope = TimeBudget::until(at).with_deadline(Some(end));
        assert_eq!(timer.time_budget(&asked), scope);
        advance(2 * SECOND - Duration::from_nanos(1)).await;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&asked, cx)).await;
        assert!(poll.is_pending());
        advance(Duration::from_nanos(1)).await;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&asked, cx)).await;
        assert_eq!(poll, Poll::Ready(over));
    }

    #[tokio::test(start_paused = true)]
    async fn timer_that_is_over_already_fires_when_it_is_polled_first() {
        let (asked, mut timer) = (asked(2, Some(0), None), pin!(Timer::default()));
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&asked, cx)).await;
        assert!(poll.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn timer_without_an_end_never_fires() {
        let (mut asked, mut timer) = (asked(2, None, None), pin!(Timer::default()));
        asked.limit = Duration::MAX;
        let poll = poll_now(|cx| timer.as_mut().poll_elapsed(&asked, cx)).await;
        assert!(poll.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn timer_fires_though_the_budget_of_its_task_is_used_up() {
        let mut sleep = pin!(sleep_until(Instant::now() + SECOND));
        let poll = poll_now(|cx| poll_sleep(sleep.as_mut(), cx)).await;
        assert!(poll.is_pending());
        advance(SECOND).await;
        let poll = poll_now(|cx| {
            while pin!(consume_budget()).poll(cx).is_ready() {}
            assert!(sleep.as_mut().poll(cx).is_pending(), "it does not look");
            poll_sleep(sleep.as_mut(), cx)
        });
        assert!(poll.await.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn end_is_near_ten_milliseconds_before_it() {
        let over = Expiry::earliest(&asked(1, None, None)).expect("an end");
        tokio::time::advance(SECOND - PEER_CLOCK_TOLERANCE - Duration::from_nanos(1)).await;
        assert!(!over.is_near());
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert!(over.is_near());
    }
}
