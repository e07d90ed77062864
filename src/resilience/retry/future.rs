use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Retry,
    course::Course,
    policy::Judged,
    step::{Step, TWICE, Turn, Unready},
};
use crate::{
    call::{BoxError, Classify, Ending, Outcome, judged},
    protocol::{Any, error_verdict},
    resilience::hint::hint_of,
};

pin_project! {
    /// The future of a request that is tried again. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<S, Req, C = ()>
    where
        S: Service<Req>,
    {
        // Before what settles the attempt: it is dropped first.
        #[pin]
        step: Step<S::Future>,
        course: Course,
        inner: S,
        // For the attempts to come; none once the last has begun.
        request: Option<Req>,
        protocol: Arc<Any<C>>,
    }
}

impl<S, Req, C> RetryFuture<S, Req, C>
where
    S: Service<Req>,
    Req: Clone,
{
    pub(super) fn new(mut ready: S, request: Req, retry: Retry, protocol: Arc<Any<C>>) -> Self {
        let mut course = Course::new(retry);
        let (_, context) = course.begin(None, None);
        let again = (!course.is_last()).then(|| request.clone());
        RetryFuture {
            step: Step::trying(context, || ready.call(request)),
            course,
            inner: ready,
            request: again,
            protocol,
        }
    }
}

impl<S, Req, C> Future for RetryFuture<S, Req, C>
where
    S: Service<Req, Error: Into<BoxError>, Response: 'static>,
    Req: Clone,
    C: Classify,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match ready!(this.step.as_mut().poll(cx)) {
                Turn::Ended(result) => {
                    let result = result.map_err(Into::into);
                    let (outcome, hint) = judge(&this.protocol.0, &result);
                    if outcome == Outcome::Success {
                        this.course.succeeded();
                        return Poll::Ready(result);
                    }
                    let advice = this.course.policy().advise_error(outcome, hint);
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
                    let request = if this.course.is_last() {
                        this.request.take()
                    } else {
                        this.request.clone()
                    };
                    let (inner, request) = (&mut *this.inner, request.expect(TWICE));
                    let trying = Step::trying(context, || inner.call(request));
                    this.step.set(trying);
                }
            }
        }
    }
}

fn judge<T: 'static>(classify: &impl Classify, result: &Result<T, BoxError>) -> Judged {
    let mut ending = Ending::of(match result {
        Ok(_) => Outcome::Success,
        Err(error) => error_verdict(&**error),
    });
    match result {
        Ok(response) => ending.response = Some(response),
        Err(error) => ending.error = Some(&**error),
    }
    let hint = result.as_ref().err().and_then(|error| hint_of(&**error));
    (judged(classify, &ending), hint)
}

impl<S, Req, C> fmt::Debug for RetryFuture<S, Req, C>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture")
            .field("course", &self.course)
            .finish_non_exhaustive()
    }
}
