use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    permit::SlotPermit,
    queue::{Settled, Ticket},
    reject_reason::RejectReason,
    shared::{BulkheadShared, SlotAttempt, WaiterKind},
    wait_rules::WaitEnd,
};
use crate::{
    call::Rejection,
    timeout::poll_sleep,
    util::{family::InFlightGauge, poll::POLLED_AFTER_COMPLETION},
};

/// A call that waits for a slot, or a handle that does. Dropping it leaves the queue; a slot that it has been given goes to
/// the next one.
pub(super) struct Waiter {
    shared: Arc<BulkheadShared>,
    /// `None` once it has left the queue.
    ticket: Option<Ticket>,
    end: WaitEnd,
    since: Instant,
    queued: InFlightGauge,
    /// Made at the first poll that waits.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// The result of an attempt to get a slot, now or later.
pub(super) enum Waiting {
    Granted(SlotPermit),
    Waits(Waiter),
    Rejected(Rejection),
}

impl Waiter {
    /// Takes a slot, or waits for one if it may.
    pub(super) fn start(shared: &Arc<BulkheadShared>, kind: WaiterKind) -> Waiting {
        match shared.join_queue(kind) {
            SlotAttempt::Granted => Waiting::Granted(shared.permit()),
            SlotAttempt::Rejected(reason) => Waiting::Rejected(shared.reject(reason)),
            SlotAttempt::Waits(ticket, end) => Waiting::Waits(Waiter {
                queued: shared.metrics.enter_queue(shared.limit()),
                shared: shared.clone(),
                ticket: Some(ticket),
                end,
                since: Instant::now(),
                sleep: None,
            }),
        }
    }

    /// Returns the permit once there is a slot, or the rejection. Wakes the task for nothing else.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<SlotPermit, Rejection>> {
        let ticket = self.ticket.as_ref().expect(POLLED_AFTER_COMPLETION);
        // The slot before the timer: one that is granted in time beats the limit.
        if let Some(settled) = self.shared.poll_queue(ticket, cx.waker()) {
            self.ticket = None;
            return Poll::Ready(self.finish(settled));
        }
        ready!(self.poll_end(cx));
        // It may be granted only now.
        let settled = self.leave().unwrap_or(Settled::Expired);
        Poll::Ready(self.finish(settled))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.end.until else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        poll_sleep(sleep.as_mut(), cx)
    }

    fn finish(&mut self, settled: Settled) -> Result<SlotPermit, Rejection> {
        self.record_wait();
        match settled {
            Settled::Granted => Ok(self.shared.permit()),
            Settled::Expired => Err(self.shared.reject(self.end.reason)),
            Settled::Displaced => Err(self.shared.reject(RejectReason::Displaced)),
        }
    }

    fn leave(&mut self) -> Option<Settled> {
        let ticket = self.ticket.take()?;
        self.shared.leave_queue(&ticket)
    }

    fn record_wait(&mut self) {
        let wait = self.since.elapsed();
        self.shared.counts.count_wait(wait);
        let queued = std::mem::take(&mut self.queued);
        let limit = self.shared.limit();
        self.shared.metrics.leave_queue(queued, wait, limit);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            if self.leave() == Some(Settled::Granted) {
                self.shared.free_slot();
            }
            self.record_wait();
        }
    }
}
