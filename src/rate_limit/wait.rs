use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Reservation, shared::RateLimitShared};
use crate::{
    call::Rejection, context::deadline, timeout::poll_sleep, util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call that waits for a rate limit; made by [`RateLimit::wait`](super::RateLimit::wait). Reserves when it is first
    /// polled. Dropped before it is ready, it puts the reservation back.
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitWait {
        limit: Arc<RateLimitShared>,
        calls: u32,
        max_wait: Duration,
        #[pin]
        state: WaitState,
    }

    impl PinnedDrop for RateLimitWait {
        fn drop(this: Pin<&mut Self>) {
            if let WaitStateProj::Waiting { reservation, .. } = this.project().state.project() {
                reservation.take().into_iter().for_each(Reservation::cancel);
            }
        }
    }
}

pin_project! {
    #[project = WaitStateProj]
    enum WaitState {
        Unpolled,
        Waiting { #[pin] sleep: Sleep, reservation: Option<Reservation> },
        Done,
    }
}

impl RateLimitWait {
    pub(super) fn new(limit: Arc<RateLimitShared>, calls: u32, max_wait: Duration) -> Self {
        RateLimitWait {
            limit,
            calls,
            max_wait,
            state: WaitState::Unpolled,
        }
    }
}

impl Future for RateLimitWait {
    type Output = Result<(), Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let WaitStateProj::Unpolled = this.state.as_mut().project() {
            let now = Instant::now();
            let reserved = this
                .limit
                .reserve_in_time(now, *this.calls, *this.max_wait, deadline());
            let grant = match reserved {
                Ok(Some(grant)) if grant.wait > 0 => grant,
                result => {
                    this.state.set(WaitState::Done);
                    return Poll::Ready(result.map(drop));
                }
            };
            let reservation = Reservation::new(this.limit.clone(), Some(grant), *this.calls, now);
            this.state.set(WaitState::Waiting {
                sleep: sleep_until(reservation.ready_at()),
                reservation: Some(reservation),
            });
        }
        match this.state.as_mut().project() {
            WaitStateProj::Waiting { sleep, reservation } => {
                ready!(poll_sleep(sleep, cx));
                // It is used now.
                *reservation = None;
                this.state.set(WaitState::Done);
                Poll::Ready(Ok(()))
            }
            WaitStateProj::Unpolled | WaitStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
        }
    }
}

impl fmt::Debug for RateLimitWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitWait")
            .field("rate_limit", self.limit.name())
            .field("calls", &self.calls)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}
