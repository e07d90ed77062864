use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    Attempt, Retry,
    course::Course,
    policy::{Advice, Judged, judge_any, judge_error},
    step::{Step, TWICE, Turn},
};
use crate::call::quietly;

impl Retry {
    /// Runs work until it succeeds or there is no further attempt; its last error is the error.
    ///
    /// The work is a closure that makes a future for each [`Attempt`].
    pub fn run<F, Fut, T, E>(&self, work: F) -> Retrying<F, Fut, E>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        Retrying::new(self, work, |error| judge_error(error))
    }

    /// Runs work whose error is no `Error`: a boxed one, anyhow's, a `String`. What cannot be looked into is a
    /// failure.
    pub fn run_any<F, Fut, T, E>(&self, work: F) -> Retrying<F, Fut, E>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
    {
        Retrying::new(self, work, |error| judge_any(error))
    }
}

/// What an error means for the next attempt. Closures implement it; `()` goes by the error itself.
pub trait Advise<E> {
    #[doc(hidden)]
    fn advise(&self, error: &E) -> Option<Advice>;
}

impl<E> Advise<E> for () {
    fn advise(&self, _: &E) -> Option<Advice> {
        None
    }
}

impl<E, F: Fn(&E) -> A, A: Into<Advice>> Advise<E> for F {
    /// One that panics stops: its error is the answer.
    fn advise(&self, error: &E) -> Option<Advice> {
        Some(quietly(|| self(error).into()).unwrap_or(Advice::Stop))
    }
}

pin_project! {
    /// Work that is tried until it succeeds; made by [`Retry::run`] and [`Retry::run_any`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Retrying<F, Fut, E, A = ()> {
        // None yet before the first poll.
        #[pin]
        step: Option<Step<Fut>>,
        course: Course,
        work: F,
        judge: fn(&E) -> Judged,
        advise: A,
    }
}

impl<F, Fut, E> Retrying<F, Fut, E> {
    fn new(retry: &Retry, work: F, judge: fn(&E) -> Judged) -> Self {
        Retrying {
            step: None,
            course: Course::new(retry.clone()),
            work,
            judge,
            advise: (),
        }
    }

    /// Which errors are worth another attempt: a closure that answers with `bool`, [`Hint`](super::Hint) or
    /// [`Advice`].
    ///
    /// Default: failures, overload and timeouts, as the peer's hints allow; not what is the caller's own fault, nor
    /// refusals by guards of this process.
    pub fn when<A: Into<Advice>, C: Fn(&E) -> A>(self, advise: C) -> Retrying<F, Fut, E, C> {
        Retrying {
            step: self.step,
            course: self.course,
            work: self.work,
            judge: self.judge,
            advise,
        }
    }
}

impl<F, Fut, E, A> Retrying<F, Fut, E, A> {
    /// When it has to be over: no attempt begins later, and no wait begins that would end later.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.course.until(deadline);
        self
    }
}

impl<F, Fut, T, E, A> Future for Retrying<F, Fut, E, A>
where
    // The work.
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    // What its errors mean.
    A: Advise<E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        loop {
            let turn = match this.step.as_mut().as_pin_mut() {
                None => None,
                Some(step) => Some(ready!(step.poll(cx))),
            };
            let (attempt, context) = match turn {
                None => this.course.begin(None, None),
                Some(Turn::Due) => {
                    let step = this.step.as_mut().as_pin_mut();
                    let pause = step.and_then(Step::take_pause).expect(TWICE);
                    this.course.resume(pause, None)
                }
                Some(Turn::Ended(Ok(value))) => {
                    this.course.succeeded();
                    return Poll::Ready(Ok(value));
                }
                Some(Turn::Ended(Err(error))) => {
                    let (outcome, hint) = (this.judge)(&error);
                    let advice = match this.advise.advise(&error) {
                        Some(advice) => advice,
                        None => this.course.policy().advise_error(outcome, hint),
                    };
                    let Some(pause) = this.course.failed(outcome, advice) else {
                        return Poll::Ready(Err(error));
                    };
                    // Whatever the failed attempt holds is let go of before the wait, its error included.
                    drop(error);
                    this.step.as_mut().as_pin_mut().expect(TWICE).wait(pause);
                    continue;
                }
            };
            let work = &mut *this.work;
            let trying = Step::trying(context, || work(attempt));
            this.step.set(Some(trying));
        }
    }
}

impl<F, Fut, E, A> fmt::Debug for Retrying<F, Fut, E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying")
            .field("course", &self.course)
            .finish_non_exhaustive()
    }
}
