use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    protocol::ReadRequest,
    timeout::{CallTimeout, poll_sleep},
};

/// The time at which a caller stops waiting for a shared call, which goes on for the others.
///
/// The call itself knows no such time, so nothing else ends the wait.
#[derive(Debug)]
pub(super) struct CallerDeadline {
    at: Option<Instant>,
    /// The timer. Boxed, and made when the caller waits for the first time: most callers have none.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl CallerDeadline {
    /// Returns the deadline of the caller of a request.
    pub(super) fn of_request<P: ReadRequest<Req>, Req>(call: &P::Call, request: &Req) -> Self {
        CallerDeadline::new(&CallTimeout::of_caller::<P, Req>(call, request))
    }

    /// Returns the deadline of the current work.
    pub(super) fn of_current_work() -> Self {
        CallerDeadline::new(&CallTimeout::of_current_caller())
    }

    fn new(timeout: &CallTimeout) -> Self {
        CallerDeadline {
            at: timeout.caller_expiry(),
            sleep: None,
        }
    }

    /// Returns whether it has passed. Reads the clock only if there is one.
    pub(super) fn has_passed(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// Waits for it. Never ready for a caller without one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        poll_sleep(sleep.as_mut(), cx)
    }
}
