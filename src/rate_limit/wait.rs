use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Reservation,
    target::LimitTarget,
    wait_limit::{must_wait, reserve_in_time},
};
use crate::{
    call::Rejection, context::deadline, timeout::poll_sleep, util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call that waits for a rate limit; made by [`RateLimit::wait`](super::RateLimit::wait). Reserves when it is first
    /// polled. Dropped before it is ready, it puts the reservation back.
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitWait {
        target: LimitTarget,
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
    pub(super) fn new(target: LimitTarget, calls: u32, max_wait: Duration) -> Self {
        RateLimitWait {
            target,
            calls,
            max_wait,
            state: WaitState::Unpolled,
        }
    }

    /// Creates the future of a call that has reserved already.
    #[cold]
    pub(super) fn for_reservation(reservation: Reservation) -> Self {
        RateLimitWait {
            target: reservation.target().clone(),
            calls: 1,
            max_wait: reservation.wait(),
            state: WaitState::Waiting {
                sleep: sleep_until(reservation.ready_at()),
                reservation: Some(reservation),
            },
        }
    }
}

impl Future for RateLimitWait {
    type Output = Result<(), Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let WaitStateProj::Unpolled = this.state.as_mut().project() {
            let now = Instant::now();
            let (target, calls) = (&*this.target, *this.calls);
            let reserve = |max_wait| target.reserve(now, calls, max_wait);
            let metrics = &target.control().metrics;
            let reserved = match reserve_in_time(now, *this.max_wait, deadline(), reserve) {
                Ok(Some(reserved)) if must_wait(&reserved, metrics) => reserved,
                result => {
                    this.state.set(WaitState::Done);
                    return Poll::Ready(result.map(drop));
                }
            };
            let reservation = Reservation::new(target.clone(), Some(reserved), calls, now);
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
            .field("rate_limit", self.target.name())
            .field("calls", &self.calls)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}
