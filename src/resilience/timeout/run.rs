use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{TimeLimit, timer::Timer};
use crate::{
    call::{Elapsed, TimeBound},
    observe::context::known_deadline,
};

pin_project! {
    /// A future with a time limit; made by [`TimeLimit::run`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Limited<F> {
        limit: TimeLimit,
        time: Option<Duration>,
        #[pin]
        future: Option<F>,
        #[pin]
        timer: Timer,
    }
}

impl<F> Limited<F> {
    pub(super) fn new(limit: TimeLimit, future: F) -> Self {
        Limited {
            limit,
            time: None,
            future: Some(future),
            timer: Timer::new(Duration::ZERO, None),
        }
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let time = match *this.time {
            Some(time) => time,
            None => {
                let (time, deadline) = (this.limit.get(), known_deadline());
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    this.future.set(None);
                    return Poll::Ready(Err(this.limit.ran_out(TimeBound::Deadline, None)));
                }
                this.timer.set(Timer::new(time, deadline));
                *this.time.insert(time)
            }
        };
        let scope = this.timer.scope();
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("polled after completion");
        // The answer before the clock: one that is there is not thrown away.
        if let Poll::Ready(output) = scope.enter(|| future.poll(cx)) {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        let bound = ready!(this.timer.poll_over(cx));
        this.future.set(None);
        let after = (bound == TimeBound::Limit).then_some(time);
        Poll::Ready(Err(this.limit.ran_out(bound, after)))
    }
}
