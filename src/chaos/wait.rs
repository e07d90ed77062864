use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{delayed_call::DelayedCall, shared::ChaosShared};
use crate::{context::min_some, guard::SignalWaiter, timeout::poll_sleep};

/// The wait of a call that a chaos delays: for a time, or as long as the chaos is on.
pub(super) struct Wait {
    delayed: DelayedCall,
    time: Option<Duration>,
    /// The end of the time, which begins with the first poll.
    end: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    waiter: SignalWaiter,
}

/// The reason for which a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DelayEnd {
    /// The time is over.
    Elapsed,
    /// The chaos is off.
    SwitchedOff,
}

impl Wait {
    /// Creates a wait; `None` for one that lasts as long as the chaos is on.
    pub(super) fn new(delayed: DelayedCall, time: Option<Duration>) -> Self {
        let waiter = SignalWaiter::new(&delayed.chaos().switched);
        Wait {
            delayed,
            time,
            end: None,
            sleep: None,
            waiter,
        }
    }

    /// Returns the chaos that delays the call.
    pub(super) fn chaos(&self) -> &Arc<ChaosShared> {
        self.delayed.chaos()
    }

    /// Waits again, for this time from the next poll.
    pub(super) fn restart(&mut self, time: Duration) {
        (self.time, self.end) = (Some(time), None);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DelayEnd> {
        if let (None, Some(time)) = (self.end, self.time) {
            self.end = Instant::now().checked_add(time);
        }
        // Before the switch is read: a change after that wakes this task.
        self.waiter.register(cx.waker());
        loop {
            let chaos = self.chaos();
            if !chaos.is_on() {
                return Poll::Ready(DelayEnd::SwitchedOff);
            }
            let chaos_end = chaos.end();
            let Some(end) = min_some(self.end, chaos_end) else {
                return Poll::Pending;
            };
            ready!(poll_until(&mut self.sleep, end, cx));
            if self.end == Some(end) {
                return Poll::Ready(DelayEnd::Elapsed);
            }
            if self.chaos().end() == Some(end) {
                return Poll::Ready(DelayEnd::SwitchedOff);
            }
            // The chaos was given another time meanwhile.
        }
    }
}

/// Polls a sleep that ends at this time, which is made at the first wait, then reset.
fn poll_until(sleep: &mut Option<Pin<Box<Sleep>>>, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
    if sleep.deadline() != end {
        sleep.as_mut().reset(end);
    }
    poll_sleep(sleep.as_mut(), cx)
}
