use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{context::TimeBudget, timeout::poll_sleep};

pin_project! {
    /// A call of a fallback service that ends at the caller's deadline, if there is one. Its timer is created at the first
    /// wait.
    pub(crate) struct UntilDeadline<F> {
        #[pin]
        future: F,
        deadline: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// The error of a call that did not complete before the deadline.
pub(crate) struct DeadlineElapsed;

impl<F> UntilDeadline<F> {
    pub(crate) fn new(future: F, deadline: Option<Instant>) -> Self {
        UntilDeadline {
            future,
            deadline,
            sleep: None,
        }
    }
}

impl<F: Future> Future for UntilDeadline<F> {
    type Output = Result<F::Output, DeadlineElapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(deadline) = *this.deadline else {
            // Limits around the call end it as a whole.
            return this.future.poll(cx).map(Ok);
        };
        // The result before the clock: one that is ready beats the deadline.
        let polled = {
            // The fallback service learns how much time there is, as work inside of a time limit does.
            let _scope = TimeBudget::NONE.with_deadline(Some(deadline)).enter();
            this.future.poll(cx)
        };
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ok(output));
        }
        // Most services respond before they need a timer.
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(deadline)));
        }
        let sleep = this.sleep.as_pin_mut().expect("the timer was just set");
        ready!(poll_sleep(sleep, cx));
        Poll::Ready(Err(DeadlineElapsed))
    }
}
