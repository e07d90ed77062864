use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    Bulkhead, BulkheadPermit,
    deadline::work_deadline,
    shared::WaiterKind,
    waiter::{Waiter, Waiting},
};
use crate::{call::Rejection, context::current_quantile, util::poll::POLLED_AFTER_COMPLETION};

/// The future of a permit; made by [`Bulkhead::acquire`].
#[must_use = "futures do nothing unless polled"]
pub struct AcquireFuture {
    /// `None` once the permit has it: a reference is counted once.
    bulkhead: Option<Bulkhead>,
    state: AcquireState,
}

enum AcquireState {
    New,
    Waits(Waiter),
}

impl AcquireFuture {
    pub(super) fn new(bulkhead: Bulkhead) -> Self {
        AcquireFuture {
            bulkhead: Some(bulkhead),
            state: AcquireState::New,
        }
    }

    /// Takes a slot or joins the queue, at the first poll.
    #[inline]
    fn start(bulkhead: &Bulkhead) -> Waiting {
        let shared = &bulkhead.shared;
        if shared.take_slot() {
            return Waiting::Granted(shared.permit());
        }
        let deadline = work_deadline();
        let quantile = current_quantile();
        Waiter::start(shared, WaiterKind::Call { deadline, quantile })
    }
}

impl Future for AcquireFuture {
    type Output = Result<BulkheadPermit, Rejection>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let bulkhead = this.bulkhead.as_ref().expect(POLLED_AFTER_COMPLETION);
        let result = match &mut this.state {
            AcquireState::New => match AcquireFuture::start(bulkhead) {
                Waiting::Granted(permit) => Ok(permit),
                Waiting::Rejected(rejection) => Err(rejection),
                Waiting::Waits(mut waiter) => {
                    let polled = waiter.poll(cx);
                    this.state = AcquireState::Waits(waiter);
                    ready!(polled)
                }
            },
            AcquireState::Waits(waiter) => ready!(waiter.poll(cx)),
        };
        this.state = AcquireState::New;
        let bulkhead = this.bulkhead.take().expect(POLLED_AFTER_COMPLETION);
        Poll::Ready(result.map(|permit| BulkheadPermit::new(bulkhead.shared, permit)))
    }
}

impl fmt::Debug for AcquireFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireFuture")
            .field("bulkhead", &self.bulkhead)
            .finish_non_exhaustive()
    }
}
