use std::{
    error::Error,
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Prioritizer, PriorityPermit, pushback::LoadSign};
use crate::{
    breaker::{
        CallError,
        classify_result::{ClassifyError, classify_display, classify_result, classify_std},
    },
    call::catch,
    context::Priority,
    util::poll::POLLED_AFTER_COMPLETION,
};
use pin_project_lite::pin_project;

pin_project! {
    /// The future of a call with a priority; made by [`Prioritizer::call`] and [`Prioritizer::call_display`].
    #[must_use = "futures do nothing unless polled"]
    pub struct PrioritizerFuture<F, E> {
        // None once it is dropped.
        #[pin]
        future: Option<F>,
        permit: Option<PriorityPermit>,
        prioritizer: Prioritizer,
        // None for that of the work around it.
        priority: Option<Priority>,
        classify_error: ClassifyError<E>,
    }

    impl<F, E> PinnedDrop for PrioritizerFuture<F, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Drops may call others, and so have the priority as polls do.
            let _scope = this.permit.as_mut().map(PriorityPermit::enter);
            this.future.set(None);
        }
    }
}

impl<F, E> PrioritizerFuture<F, E> {
    pub(super) fn new(prioritizer: &Prioritizer, priority: Priority, future: F) -> Self
    where
        E: Error + 'static,
    {
        PrioritizerFuture::with_classify_error(prioritizer, Some(priority), future, classify_std)
    }

    pub(super) fn new_display(prioritizer: &Prioritizer, priority: Priority, future: F) -> Self
    where
        E: fmt::Display + 'static,
    {
        let priority = Some(priority);
        PrioritizerFuture::with_classify_error(prioritizer, priority, future, classify_display)
    }

    pub(crate) fn with_classify_error(
        prioritizer: &Prioritizer,
        priority: Option<Priority>,
        future: F,
        classify_error: ClassifyError<E>,
    ) -> Self {
        PrioritizerFuture {
            future: Some(future),
            permit: None,
            prioritizer: prioritizer.clone(),
            priority,
            classify_error,
        }
    }
}

impl<F, T, E> Future for PrioritizerFuture<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Not when the future was made: one that is never polled is no call.
        let permit = match this.permit {
            Some(permit) => permit,
            None => {
                let permit = this.prioritizer.acquire(*this.priority);
                this.permit.insert(permit.map_err(CallError::Rejected)?)
            }
        };
        let future = this.future.as_mut().as_pin_mut();
        let future = future.expect(POLLED_AFTER_COMPLETION);
        let polled = {
            let _scope = permit.enter();
            catch(|| future.poll(cx))
        };
        match polled {
            Ok(polled) => {
                let result = ready!(polled);
                let (classified, cause, _) = classify_result(&result, *this.classify_error, None);
                let rejection = LoadSign::rejection_of_cause(cause.as_ref());
                let sign = LoadSign::new(classified.outcome, classified.evidence, rejection);
                permit.record(sign);
                Poll::Ready(result.map_err(CallError::Failed))
            }
            Err(payload) => {
                // Before the panic goes on: the drop of the permit would complete the call as cancelled.
                permit.record(LoadSign::Room);
                resume_unwind(payload)
            }
        }
    }
}

impl<F, E> fmt::Debug for PrioritizerFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrioritizerFuture")
            .field("prioritizer", &self.prioritizer.name())
            .finish_non_exhaustive()
    }
}
