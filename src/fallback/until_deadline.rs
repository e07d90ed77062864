use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{context::TimeBudget, timeout::poll_sleep};

pin_project! {
    /// Another service's call, which ends with the caller's deadline if there is one. Its timer is made when it is first
    /// waited for.
    pub(super) struct UntilDeadline<F> {
        #[pin]
        call: F,
        until: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// The deadline has come.
pub(super) struct DeadlineElapsed;

impl<F> UntilDeadline<F> {
    pub(super) fn new(call: F, until: Option<Instant>) -> Self {
        let sleep = None;
        UntilDeadline { call, until, sleep }
    }
}

impl<F: Future> Future for UntilDeadline<F> {
    type Output = Result<F::Output, DeadlineElapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(until) = *this.until else {
            return this.call.poll(cx).map(Ok);
        };
        let scope = TimeBudget::NONE.with_deadline(Some(until));
        // The answer before the clock: one that is there is not thrown away.
        let polled = {
            let _scope = scope.enter();
            this.call.poll(cx)
        };
        if let Poll::Ready(answer) = polled {
            return Poll::Ready(Ok(answer));
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(until)));
        }
        let sleep = this.sleep.as_pin_mut().expect("made just now");
        ready!(poll_sleep(sleep, cx));
        Poll::Ready(Err(DeadlineElapsed))
    }
}
