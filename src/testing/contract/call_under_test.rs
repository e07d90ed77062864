use std::pin::Pin;

use super::{checked_body::PollBody, test_run::TestRun};
use crate::{call::catch, testing::CountingWaker};

/// A call that is polled.
pub(super) struct CallUnderTest<F> {
    pub(super) phase: CallPhase<F>,
    pub(super) waker: CountingWaker,
    /// True if the last poll was pending and did not wake the task.
    pub(super) is_idle: bool,
}

/// The phase of a call.
pub(super) enum CallPhase<F> {
    AwaitingHead(Pin<Box<F>>),
    ReadingBody(Pin<Box<dyn PollBody>>),
    Done,
}

impl<F> CallUnderTest<F> {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.phase, CallPhase::Done)
    }

    /// Sets the phase, and drops the future or body of the last one.
    pub(super) fn set_phase(&mut self, run: &TestRun<'_>, next: CallPhase<F>) {
        let last = std::mem::replace(&mut self.phase, next);
        if let Err(payload) = catch(|| drop(last)) {
            self.phase = run.expect_scripted_panic(&payload);
        }
    }

    /// Drops the future or the body.
    pub(super) fn drop_remaining(mut self, run: &TestRun<'_>) {
        self.set_phase(run, CallPhase::Done);
    }
}
