use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{TimeLimit, call_timeout::CallTimeout, timer::Timer};
use crate::{
    call::{CallClock, Elapsed, drop_on_timeout},
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of work with a time limit; made by [`TimeLimit::run`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct TimeLimitFuture<F> {
        limit: TimeLimit,
        // None before the first poll, from which the time counts.
        timeout: Option<CallTimeout>,
        #[pin]
        future: Option<F>,
        #[pin]
        timer: Timer,
    }
}

impl<F> TimeLimitFuture<F> {
    pub(super) fn new(limit: TimeLimit, future: F) -> Self {
        TimeLimitFuture {
            limit,
            timeout: None,
            future: Some(future),
            timer: Timer::default(),
        }
    }
}

impl<F: Future> Future for TimeLimitFuture<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let timeout = match this.timeout {
            Some(timeout) => timeout,
            None => {
                // Here, and not in `new`: the future may have been made long ago, and elsewhere.
                let timeout = CallTimeout::from_scope(this.limit.get());
                if timeout.is_elapsed(&CallClock::default()) {
                    this.future.set(None);
                    // Never polled, so no peer has seen the work.
                    return Poll::Ready(Err(this.limit.reject_run()));
                }
                this.timeout.insert(timeout)
            }
        };
        let budget = this.timer.time_budget(timeout);
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect(POLLED_AFTER_COMPLETION);
        // The output before the clock: one that is ready beats the limit.
        let polled = {
            let _scope = budget.enter();
            future.poll(cx)
        };
        if let Poll::Ready(output) = polled {
            // Dropped now: the caller may hold this future for longer than it needs it.
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        let expiry = ready!(this.timer.poll_elapsed(timeout, cx));
        let elapsed = expiry.record_elapsed(this.limit, timeout);
        // Calls that are dropped with the work learn from the thread that it was this limit.
        let elapsed = drop_on_timeout(elapsed, || {
            let _scope = budget.enter();
            this.future.set(None);
        });
        Poll::Ready(Err(elapsed))
    }
}
