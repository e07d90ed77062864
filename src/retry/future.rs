use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;

use super::{
    Attempts, Refusal,
    attempts::{Begin, Decision, Ended},
    stage::{Readiness, Stage, StageEvent, TWICE},
    state::RetryState,
};
use crate::{call::Moment, context::Context};

pin_project! {
    /// The future of a call that is tried again. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<A>
    where
        A: Attempts,
    {
        // Before what settles the attempt: it is dropped first.
        #[pin]
        pub(super) stage: Stage<A::Future>,
        pub(super) state: RetryState,
        pub(super) attempts: A,
    }
}

impl<A: Attempts> RetryFuture<A> {
    /// Begins when it is polled first.
    pub(super) fn lazy(attempts: A) -> Self {
        RetryFuture {
            stage: Stage::Unbegun,
            state: RetryState::default(),
            attempts,
        }
    }

    /// Begins at once, unless it is too late. The call takes at most so long.
    #[inline]
    pub(super) fn begun(
        mut attempts: A,
        limit: Option<Duration>,
        first: impl FnOnce(&mut A, Begin<'_>) -> A::Future,
    ) -> Self {
        let (mut state, now) = (RetryState::default(), Moment::default());
        let stage = if state.open(attempts.retry(), limit, attempts.context(), &now) {
            Stage::Late
        } else {
            let context = state.first(attempts.retry(), attempts.context(), &now);
            begin(&mut attempts, &state, context, first)
        };
        RetryFuture {
            stage,
            state,
            attempts,
        }
    }
}

#[inline]
fn begin<A: Attempts>(
    attempts: &mut A,
    state: &RetryState,
    context: Option<Context>,
    make: impl FnOnce(&mut A, Begin<'_>) -> A::Future,
) -> Stage<A::Future> {
    let is_last = state.is_last(attempts.retry());
    Stage::running(context, |context| {
        let begin = Begin {
            attempt: state.attempt(),
            context,
            is_last,
            caller_deadline: state.caller_deadline(),
        };
        make(attempts, begin)
    })
}

impl<A: Attempts> Future for RetryFuture<A> {
    type Output = A::Answer;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<A::Answer> {
        loop {
            let mut this = self.as_mut().project();
            match ready!(this.stage.as_mut().poll(cx)) {
                StageEvent::Ended(output) => {
                    if let Some(answer) = self.as_mut().ended(output) {
                        return Poll::Ready(answer);
                    }
                }
                StageEvent::Due => {
                    let ready = this.attempts.poll_ready(cx);
                    let due = this
                        .stage
                        .as_mut()
                        .poll_due(ready, this.state.deadline(), cx);
                    if let Some(answer) = self.as_mut().due(ready!(due)) {
                        return Poll::Ready(answer);
                    }
                }
                StageEvent::Unbegun => self.as_mut().first(),
                StageEvent::Late => {
                    let answer = this.attempts.too_late(LATE);
                    return Poll::Ready(answer.expect("only services are called too late"));
                }
            }
        }
    }
}

const LATE: &str = "the deadline had passed before the call began";
const UNREADY: &str = "the service was not ready in time";

impl<A: Attempts> RetryFuture<A> {
    /// The first attempt begins.
    fn first(self: Pin<&mut Self>) {
        let (mut this, now) = (self.project(), Moment::default());
        let retry = this.attempts.retry();
        // Who begins late cannot be answered in the work's place: it makes one attempt.
        this.state.open(retry, None, None, &now);
        let context = this.state.first(retry, None, &now);
        let stage = begin(this.attempts, this.state, context, A::begin);
        this.stage.set(stage);
    }

    /// An attempt has ended: the answer, unless there is another attempt.
    #[inline]
    fn ended(self: Pin<&mut Self>, output: <A::Future as Future>::Output) -> Option<A::Answer> {
        let this = self.project();
        let ended = Ended {
            attempt: this.state.attempt(),
            is_last: this.state.is_last(this.attempts.retry()),
        };
        let failed = match this.attempts.decide(output, ended) {
            Decision::Failed(failed) => failed,
            Decision::Succeeded(output) => {
                let open = this.state.succeeded();
                return Some(this.attempts.answer(output, ended, Some(open)));
            }
        };
        let retry = this.attempts.retry();
        let (outcome, advice) = (failed.outcome, failed.advice);
        let next = this.state.failed(retry, outcome, advice, failed.unsent);
        match next.filter(|_| this.attempts.prepare()) {
            Some(pending) => {
                // Whatever the failed attempt holds is let go of before the wait, its response included.
                drop(failed.output);
                this.stage.wait(pending);
                None
            }
            None => Some(this.attempts.answer(failed.output, ended, None)),
        }
    }

    /// The next attempt begins if the service is ready, else that is the answer.
    fn due(self: Pin<&mut Self>, ready: Readiness<A::Answer>) -> Option<A::Answer> {
        let mut this = self.project();
        // What was reserved is given back if no attempt is made.
        let pending = this.stage.as_mut().take_pending().expect(TWICE);
        let retry = this.attempts.retry();
        match ready {
            Readiness::Ready => {}
            Readiness::Failed(answer) => {
                retry.shared.counts.refused(Refusal::NotReady);
                return Some(answer);
            }
            Readiness::Late => {
                let answer = this.attempts.too_late(UNREADY);
                if answer.is_some() {
                    return answer;
                }
            }
        }
        let context = this.state.resume(retry, pending, this.attempts.context());
        let stage = begin(this.attempts, this.state, context, A::begin);
        this.stage.set(stage);
        None
    }
}

impl<A: Attempts> fmt::Debug for RetryFuture<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
