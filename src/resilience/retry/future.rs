use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    course::{Course, Planned},
    custom::{Ended, Rules},
    policy::Advice,
    step::{Step, TWICE, Turn, Unready},
};
use crate::call::{BoxError, Outcome};

pin_project! {
    /// The future of a request that is tried again. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<S, Req, P>
    where
        S: Service<Req>,
    {
        // Before what settles the attempt: it is dropped first.
        #[pin]
        step: Step<S::Future>,
        course: Course<Planned<P>>,
        inner: S,
        // For the attempts to come; none once the last has begun.
        request: Option<Req>,
    }
}

impl<S, Req, P> RetryFuture<S, Req, P>
where
    S: Service<Req>,
    P: Rules<Req, S::Response>,
{
    pub(super) fn new(mut ready: S, request: Req, planned: Planned<P>) -> Self {
        let mut course = Course::new(planned);
        let (_, context) = course.begin(None, None);
        let again = (!course.is_last())
            .then(|| course.rules().copy(&request))
            .flatten();
        RetryFuture {
            step: Step::trying(context, || ready.call(request)),
            course,
            inner: ready,
            request: again,
        }
    }
}

impl<S, Req, P> Future for RetryFuture<S, Req, P>
where
    S: Service<Req, Error: Into<BoxError>>,
    P: Rules<Req, S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match ready!(this.step.as_mut().poll(cx)) {
                Turn::Ended(result) => {
                    let result = result.map_err(Into::into);
                    let request = this.request.as_ref();
                    let (outcome, advice) = this.course.rules().judge(Ended {
                        request,
                        result: &result,
                        attempt: this.course.attempt(),
                        policy: this.course.policy(),
                    });
                    if outcome == Outcome::Success {
                        this.course.succeeded();
                        return Poll::Ready(result);
                    }
                    let advice = match (advice, request) {
                        (Advice::Stop, _) | (_, Some(_)) => advice,
                        // The last attempt keeps nothing; that there is none after it is said first.
                        (_, None) if this.course.is_last() => advice,
                        (_, None) => Advice::NotRepeatable,
                    };
                    let Some(pause) = this.course.failed(outcome, advice) else {
                        return Poll::Ready(result);
                    };
                    // Whatever the failed attempt holds is let go of before the wait, its response included.
                    drop(result);
                    this.step.as_mut().wait(pause);
                }
                Turn::Due => {
                    let ready = this.inner.poll_ready(cx);
                    let due = this.step.as_mut().poll_due(ready, this.course, cx);
                    let pause = match ready!(due) {
                        Ok(pause) => pause,
                        Err(Unready::Failed(error)) => return Poll::Ready(Err(error.into())),
                        Err(Unready::Late) => {
                            return Poll::Ready(Err(this.course.too_late().into()));
                        }
                    };
                    let (_, context) = this.course.resume(pause, None);
                    let request = this.request.take().expect(TWICE);
                    if !this.course.is_last() {
                        *this.request = this.course.rules().copy(&request);
                    }
                    let inner = &mut *this.inner;
                    let trying = Step::trying(context, || inner.call(request));
                    this.step.set(trying);
                }
            }
        }
    }
}

impl<S, Req, P> fmt::Debug for RetryFuture<S, Req, P>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture")
            .field("course", &self.course)
            .finish_non_exhaustive()
    }
}
