use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{TimeLimit, asked::Asked, timer::Timer};
use crate::call::{Elapsed, Moment, giving_up};

pin_project! {
    /// A future with a time limit; made by [`TimeLimit::run`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Limited<F> {
        limit: TimeLimit,
        asked: Option<Asked>,
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
            asked: None,
            future: Some(future),
            timer: Timer::default(),
        }
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let asked = match this.asked {
            Some(asked) => asked,
            None => {
                let asked = Asked::here(this.limit.get());
                if asked.is_over(&Moment::default()) {
                    this.future.set(None);
                    return Poll::Ready(Err(this.limit.refused_to_begin()));
                }
                this.asked.insert(asked)
            }
        };
        let scope = this.timer.scope(asked);
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
        let over = ready!(this.timer.poll_over(asked, cx));
        let why = over.elapsed(this.limit, asked);
        let why = giving_up(why, || scope.enter(|| this.future.set(None)));
        Poll::Ready(Err(why))
    }
}
