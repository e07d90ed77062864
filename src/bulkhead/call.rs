use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{AcquireFuture, Bulkhead, BulkheadPermit};
use crate::{
    breaker::{
        CallError,
        classify_result::{ClassifyError, classify_result},
    },
    call::{Classification, catch},
};

pin_project! {
    /// The future of a call through a bulkhead; made by [`Bulkhead::call`] and [`Bulkhead::call_display`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BulkheadFuture<F, E> {
        // Declared before the permit, so that it is dropped first: its drop still belongs to the call.
        #[pin]
        future: F,
        permit: Option<BulkheadPermit>,
        acquire: AcquireFuture,
        classify_error: ClassifyError<E>,
    }
}

impl<F, E> BulkheadFuture<F, E> {
    pub(crate) fn new(bulkhead: &Bulkhead, future: F, classify_error: ClassifyError<E>) -> Self {
        BulkheadFuture {
            future,
            permit: None,
            acquire: bulkhead.acquire(),
            classify_error,
        }
    }
}

impl<F, T, E> Future for BulkheadFuture<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Not when the future was made: one that is never polled must not hold a slot.
        let permit = match this.permit {
            Some(permit) => permit,
            None => {
                let permit = ready!(Pin::new(this.acquire).poll(cx));
                this.permit.insert(permit.map_err(CallError::Rejected)?)
            }
        };
        match catch(|| this.future.poll(cx)) {
            Ok(polled) => {
                let result = ready!(polled);
                let (classification, ..) = classify_result(&result, *this.classify_error, None);
                permit.record(classification);
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                // Before the panic goes on: the drop of the permit would complete the call as cancelled.
                permit.record(Classification::PANICKED);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, E> fmt::Debug for BulkheadFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadFuture")
            .field("acquire", &self.acquire)
            .finish_non_exhaustive()
    }
}
