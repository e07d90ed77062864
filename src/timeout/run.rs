use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{TimeLimit, call_timeout::CallTimeout, timer::Timer};
use crate::call::{CallClock, Elapsed, drop_on_timeout};

pin_project! {
    /// A future with a time limit; made by [`TimeLimit::run`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct TimeLimitFuture<F> {
        limit: TimeLimit,
        asked: Option<CallTimeout>,
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
            asked: None,
            future: Some(future),
            timer: Timer::default(),
        }
    }
}

impl<F: Future> Future for TimeLimitFuture<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let asked = match this.asked {
            Some(asked) => asked,
            None => {
                let asked = CallTimeout::from_scope(this.limit.get());
                if asked.is_elapsed(&CallClock::default()) {
                    this.future.set(None);
                    return Poll::Ready(Err(this.limit.reject_run()));
                }
                this.asked.insert(asked)
            }
        };
        let scope = this.timer.time_budget(asked);
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("polled after completion");
        // The answer before the clock: one that is there is not thrown away.
        let polled = {
            let _scope = scope.enter();
            future.poll(cx)
        };
        if let Poll::Ready(output) = polled {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        let over = ready!(this.timer.poll_elapsed(asked, cx));
        let why = over.record_elapsed(this.limit, asked);
        let why = drop_on_timeout(why, || {
            let _scope = scope.enter();
            this.future.set(None);
        });
        Poll::Ready(Err(why))
    }
}
