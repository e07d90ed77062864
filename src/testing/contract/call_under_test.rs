use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use super::{checked_body::PollBody, runner::violation, test_run::TestRun};
use crate::{call::catch, testing::CountingWaker};

/// The body of a response; `None` for protocols without bodies.
pub(super) type BodyUnderTest = Option<Pin<Box<dyn PollBody>>>;

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

impl<F> CallPhase<F> {
    /// Polls the future or the body once. Returns the next phase, if it changes.
    pub(super) fn poll<Res, E>(
        &mut self,
        cx: &mut Context<'_>,
        body_of: fn(Res) -> BodyUnderTest,
        run: &TestRun<'_>,
    ) -> Poll<Option<Self>>
    where
        F: Future<Output = Result<Res, E>>,
    {
        match self {
            CallPhase::AwaitingHead(future) => future.as_mut().poll(cx).map(|result| {
                // An error has no body, and ends the call.
                let body = result.ok().and_then(body_of);
                Some(body.map_or(CallPhase::Done, CallPhase::ReadingBody))
            }),
            CallPhase::ReadingBody(body) => body.as_mut().poll_checked(cx).map(|end| match end {
                Ok(is_end) => is_end.then_some(CallPhase::Done),
                Err(violated) => violation(run.description, violated),
            }),
            CallPhase::Done => Poll::Ready(None),
        }
    }
}

impl<F> CallUnderTest<F> {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.phase, CallPhase::Done)
    }

    /// Sets the phase, and drops the future or body of the last one.
    pub(super) fn set_phase(&mut self, run: &TestRun<'_>, next: CallPhase<F>) {
        let last = mem::replace(&mut self.phase, next);
        // The scripted panic may be that of this drop.
        if let Err(payload) = catch(|| drop(last)) {
            self.phase = run.expect_scripted_panic(&payload);
        }
    }

    /// Drops the future or the body.
    pub(super) fn drop_remaining(mut self, run: &TestRun<'_>) {
        self.set_phase(run, CallPhase::Done);
    }
}
