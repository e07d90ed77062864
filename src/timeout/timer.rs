use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{TimeLimit, asked::Asked};
use crate::{
    call::{Elapsed, TimeBound},
    context::TimeScope,
};

/// A limit around the call gives it up itself, and knows better how to judge it. So the call waits for that a little
/// longer, and ends by itself only where it goes on in another task.
const AROUND_FIRST: Duration = Duration::from_millis(2);
/// A transport that obeys the very limit that it is sent runs a clock of its own.
pub(super) const NEARLY: Duration = Duration::from_millis(10);

/// What ran out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    Limit,
    Deadline,
    Around,
}

/// When the time of a call is over, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) at: Instant,
    ran: Ran,
}

impl Over {
    /// The earliest end, counted from now; none if that is later than any clock can say.
    fn of(asked: &Asked) -> Option<Self> {
        let limit = Instant::now().checked_add(asked.limit);
        let around = asked.around.and_then(|at| at.checked_add(AROUND_FIRST));
        let ends = [
            (limit, Ran::Limit),
            (asked.deadline, Ran::Deadline),
            (around, Ran::Around),
        ];
        let ends = ends.into_iter();
        let ends = ends.filter_map(|(at, ran)| at.map(|at| Over { at, ran }));
        // Of several at once, the first.
        ends.min_by_key(|over| over.at)
    }

    /// Returns whether it has come, or very nearly so.
    pub(super) fn is_near(&self) -> bool {
        self.at <= Instant::now() + NEARLY
    }

    /// Counts it, and says what it means.
    #[cold]
    pub(super) fn elapsed(&self, limit: &TimeLimit, asked: &Asked) -> Elapsed {
        match self.ran {
            Ran::Limit => {
                let elapsed = limit.ran_out(TimeBound::Limit, Some(asked.limit));
                let began = self.at - asked.limit;
                let upload = asked.upload.as_ref();
                let blames =
                    upload.is_some_and(|it| it.blames_caller_for_timeout(began, Instant::now()));
                if blames {
                    elapsed.blaming_caller()
                } else {
                    elapsed
                }
            }
            Ran::Deadline | Ran::Around => limit.ran_out(TimeBound::Deadline, None),
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
        over: Option<Over>,
    }
}

impl Timer {
    /// Within what time the work runs.
    #[inline]
    pub(super) fn scope(&self, asked: &Asked) -> TimeScope {
        let limit = match &self.over {
            Some(over) => TimeScope::until(over.at),
            None => TimeScope::within(asked.limit),
        };
        limit.and_deadline(asked.deadline)
    }

    /// Returns when it runs out, once somebody has waited.
    #[inline]
    pub(super) fn over(&self) -> Option<Over> {
        self.over
    }

    pub(super) fn poll_over(
        self: Pin<&mut Self>,
        asked: &Asked,
        cx: &mut Context<'_>,
    ) -> Poll<Over> {
        let mut this = self.project();
        if let Some(over) = *this.over {
            return match this.sleep.as_pin_mut() {
                Some(sleep) => poll_fired(sleep, cx).map(|()| over),
                None => Poll::Pending,
            };
        }
        let Some(over) = Over::of(asked) else {
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
pub(crate) fn poll_fired(mut sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
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

    fn asked(limit: u32, deadline: Option<u32>, around: Option<u32>) -> Asked {
        let at = |seconds| Instant::now() + seconds * SECOND;
        Asked {
            limit: limit * SECOND,
            deadline: deadline.map(at),
            around: around.map(at),
            upload: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn earliest_end_counts_and_is_named() {
        let table = [
            (asked(2, None, None), Ran::Limit),
            (asked(2, Some(2), Some(2)), Ran::Limit),
            (asked(2, Some(1), None), Ran::Deadline),
            // What is around ends at the deadline as well.
            (asked(2, Some(1), Some(1)), Ran::Deadline),
            (asked(2, Some(3), Some(1)), Ran::Around),
        ];
        for (asked, ran) in table {
            assert_eq!(
                Over::of(&asked).map(|over| over.ran),
                Some(ran),
                "{asked:?}"
            );
        }
        let mut endless = asked(0, None, None);
        endless.limit = Duration::MAX;
        assert_eq!(Over::of(&endless), None);
    }

    #[tokio::test(start_paused = true)]
    async fn limit_blames_the_peer_unless_the_upload_stalls() {
        let limit = TimeLimit::new("blame", SECOND);
        let mut slow = asked(1, None, None);
        for (upload, callers) in [(None, false), (Some(false), false), (Some(true), true)] {
            slow.upload = upload.map(Upload::stalled);
            let why = Over::of(&slow).expect("an end").elapsed(&limit, &slow);
            assert_eq!(why.is_callers(), callers);
            assert_eq!(why.evidence() == Evidence::Unhealthy, !callers);
        }
        let hurried = asked(2, Some(1), None);
        let why = Over::of(&hurried)
            .expect("an end")
            .elapsed(&limit, &hurried);
        assert_eq!(why.evidence(), Evidence::Inconclusive);
    }

    #[tokio::test(start_paused = true)]
    async fn limit_blames_the_caller_if_the_upload_took_more_than_half_of_it() {
        type Data = Result<Frame<Bytes>, ()>;
        let limit = TimeLimit::new("blame", SECOND);
        for (percent, callers) in [(60, true), (40, false)] {
            let (mut slow, upload) = (asked(1, None, None), Upload::default());
            let (over, waited) = (Over::of(&slow).expect("an end"), SECOND * percent / 100);
            let mut reporter = upload.reporter(&Default::default(), None).expect("first");
            reporter.saw(&Poll::<Option<Data>>::Pending, || false);
            advance(waited).await;
            let data = Frame::data(Bytes::from_static(b"more"));
            reporter.saw(&Poll::Ready(Some(Data::Ok(data))), || false);
            advance(SECOND - waited).await;
            slow.upload = Some(upload);
            let why = over.elapsed(&limit, &slow);
            assert_eq!(why.is_callers(), callers, "{percent} %");
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
        let scope = TimeScope::within(2 * SECOND).and_deadline(asked.deadline);
        assert_eq!(timer.scope(&asked), scope);
        assert_eq!(timer.over(), None);
        advance(SECOND / 2).await;
        let poll = poll_now(|cx| timer.as_mut().poll_over(&asked, cx)).await;
        assert!(poll.is_pending());
        let at = Instant::now() + 2 * SECOND;
        let over = Over {
            at,
            ran: Ran::Limit,
        };
        assert_eq!(timer.over(), Some(over));
        let scope = TimeScope::until(at).and_deadline(Some(end));
        assert_eq!(timer.scope(&asked), scope);
        advance(2 * SECOND - Duration::from_nanos(1)).await;
        let poll = poll_now(|cx| timer.as_mut().poll_over(&asked, cx)).await;
        assert!(poll.is_pending());
        advance(Duration::from_nanos(1)).await;
        let poll = poll_now(|cx| timer.as_mut().poll_over(&asked, cx)).await;
        assert_eq!(poll, Poll::Ready(over));
    }

    #[tokio::test(start_paused = true)]
    async fn timer_that_is_over_already_fires_when_it_is_polled_first() {
        let (asked, mut timer) = (asked(2, Some(0), None), pin!(Timer::default()));
        let poll = poll_now(|cx| timer.as_mut().poll_over(&asked, cx)).await;
        assert!(poll.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn timer_without_an_end_never_fires() {
        let (mut asked, mut timer) = (asked(2, None, None), pin!(Timer::default()));
        asked.limit = Duration::MAX;
        let poll = poll_now(|cx| timer.as_mut().poll_over(&asked, cx)).await;
        assert!(poll.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn timer_fires_though_the_budget_of_its_task_is_used_up() {
        let mut sleep = pin!(sleep_until(Instant::now() + SECOND));
        let poll = poll_now(|cx| poll_fired(sleep.as_mut(), cx)).await;
        assert!(poll.is_pending());
        advance(SECOND).await;
        let poll = poll_now(|cx| {
            while pin!(consume_budget()).poll(cx).is_ready() {}
            assert!(sleep.as_mut().poll(cx).is_pending(), "it does not look");
            poll_fired(sleep.as_mut(), cx)
        });
        assert!(poll.await.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn end_is_near_ten_milliseconds_before_it() {
        let over = Over::of(&asked(1, None, None)).expect("an end");
        tokio::time::advance(SECOND - NEARLY - Duration::from_nanos(1)).await;
        assert!(!over.is_near());
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert!(over.is_near());
    }
}
