use std::{
    error::Error,
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Throttle, ThrottlePermit};
use crate::{
    breaker::{
        CallError,
        classify_result::{ClassifyError, classify_display, classify_result, classify_std},
    },
    call::{Evidence, catch},
};

pin_project! {
    /// The future of a call through a throttle; made by [`Throttle::call`] and [`Throttle::call_display`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ThrottleFuture<F, E> {
        // Declared before the permit, so that it is dropped first: its drop still belongs to the call.
        #[pin]
        future: F,
        permit: Option<ThrottlePermit>,
        throttle: Throttle,
        classify_error: ClassifyError<E>,
    }
}

impl<F, E> ThrottleFuture<F, E> {
    pub(super) fn new(throttle: &Throttle, future: F) -> Self
    where
        E: Error + 'static,
    {
        ThrottleFuture::with_classify_error(throttle, future, classify_std)
    }

    pub(super) fn new_display(throttle: &Throttle, future: F) -> Self
    where
        E: fmt::Display + 'static,
    {
        ThrottleFuture::with_classify_error(throttle, future, classify_display)
    }

    pub(crate) fn with_classify_error(
        throttle: &Throttle,
        future: F,
        classify_error: ClassifyError<E>,
    ) -> Self {
        ThrottleFuture {
            future,
            permit: None,
            throttle: throttle.clone(),
            classify_error,
        }
    }
}

impl<F, T, E> Future for ThrottleFuture<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Not when the future was made: one that is never polled is no call.
        let permit = match this.permit {
            Some(permit) => permit,
            None => {
                let permit = this.throttle.try_acquire();
                this.permit.insert(permit.map_err(CallError::Rejected)?)
            }
        };
        match catch(|| this.future.poll(cx)) {
            Ok(polled) => {
                let result = ready!(polled);
                let (classification, ..) = classify_result(&result, *this.classify_error, None);
                permit.record(classification.evidence);
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                // Before the panic goes on: the drop of the permit would complete the call as cancelled.
                permit.record(Evidence::Unhealthy);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, E> fmt::Debug for ThrottleFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleFuture")
            .field("throttle", &self.throttle.name())
            .finish_non_exhaustive()
    }
}
