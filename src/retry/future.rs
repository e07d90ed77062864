use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;

use super::{
    Attempts, NotRetried,
    attempts::{AttemptEnd, AttemptStart, Classified},
    stage::{POLLED_AFTER_COMPLETION, ReadyOutcome, Stage, StageEvent},
    state::RetryState,
};
use crate::{call::CallClock, context::Context};

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
    pub(super) fn new(attempts: A) -> Self {
        RetryFuture {
            stage: Stage::Unbegun,
            state: RetryState::default(),
            attempts,
        }
    }

    /// Begins at once, unless it is too late. The call takes at most so long.
    #[inline]
    pub(super) fn started(
        mut attempts: A,
        limit: Option<Duration>,
        first: impl FnOnce(&mut A, AttemptStart<'_>) -> A::Future,
    ) -> Self {
        let (mut state, now) = (RetryState::default(), CallClock::default());
        let stage = if state.start_call(attempts.retry(), limit, attempts.request_context(), &now) {
            Stage::Late
        } else {
            let context =
                state.start_first_attempt(attempts.retry(), attempts.request_context(), &now);
            start_attempt(&mut attempts, &state, context, first)
        };
        RetryFuture {
            stage,
            state,
            attempts,
        }
    }
}

#[inline]
fn start_attempt<A: Attempts>(
    attempts: &mut A,
    state: &RetryState,
    context: Option<Context>,
    make: impl FnOnce(&mut A, AttemptStart<'_>) -> A::Future,
) -> Stage<A::Future> {
    let is_last = state.is_last_attempt(attempts.retry());
    Stage::start(context, |context| {
        let begin = AttemptStart {
            attempt: state.attempt(),
            context,
            is_last,
            caller_deadline: state.caller_deadline(),
        };
        make(attempts, begin)
    })
}

impl<A: Attempts> Future for RetryFuture<A> {
    type Output = A::CallOutput;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<A::CallOutput> {
        loop {
            let mut this = self.as_mut().project();
            match ready!(this.stage.as_mut().poll(cx)) {
                StageEvent::AttemptEnded(output) => {
                    if let Some(answer) = self.as_mut().on_attempt_end(output) {
                        return Poll::Ready(answer);
                    }
                }
                StageEvent::AttemptDue => {
                    let ready = this.attempts.poll_ready(cx);
                    let due =
                        this.stage
                            .as_mut()
                            .poll_service_ready(ready, this.state.deadline(), cx);
                    if let Some(answer) = self.as_mut().on_service_ready(ready!(due)) {
                        return Poll::Ready(answer);
                    }
                }
                StageEvent::NotStarted => self.as_mut().start_first(),
                StageEvent::DeadlinePassed => {
                    let answer = this.attempts.deadline_exceeded(LATE_CALL);
                    return Poll::Ready(answer.expect("only services are called too late"));
                }
            }
        }
    }
}

const LATE_CALL: &str = "the deadline had passed before the call began";
const LATE_READINESS: &str = "the service was not ready in time";

impl<A: Attempts> RetryFuture<A> {
    /// The first attempt begins.
    fn start_first(self: Pin<&mut Self>) {
        let (mut this, now) = (self.project(), CallClock::default());
        let retry = this.attempts.retry();
        // Who begins late cannot be answered in the work's place: it makes one attempt.
        this.state.start_call(retry, None, None, &now);
        let context = this.state.start_first_attempt(retry, None, &now);
        let stage = start_attempt(this.attempts, this.state, context, A::start);
        this.stage.set(stage);
    }

    /// An attempt has ended: the answer, unless there is another attempt.
    #[inline]
    fn on_attempt_end(
        self: Pin<&mut Self>,
        output: <A::Future as Future>::Output,
    ) -> Option<A::CallOutput> {
        let this = self.project();
        let ended = AttemptEnd {
            attempt: this.state.attempt(),
            is_last: this.state.is_last_attempt(this.attempts.retry()),
        };
        let failed = match this.attempts.classify(output, ended) {
            Classified::Failure(failed) => failed,
            Classified::Success(output) => {
                let open = this.state.on_success();
                return Some(this.attempts.complete(output, ended, Some(open)));
            }
        };
        let retry = this.attempts.retry();
        let (outcome, advice) = (failed.outcome, failed.decision);
        let next = this
            .state
            .on_failure(retry, outcome, advice, failed.not_sent);
        match next.filter(|_| this.attempts.prepare_retry()) {
            Some(pending) => {
                // Whatever the failed attempt holds is let go of before the wait, its response included.
                drop(failed.output);
                this.stage.start_wait(pending);
                None
            }
            None => Some(this.attempts.complete(failed.output, ended, None)),
        }
    }

    /// The next attempt begins if the service is ready, else that is the answer.
    fn on_service_ready(
        self: Pin<&mut Self>,
        ready: ReadyOutcome<A::CallOutput>,
    ) -> Option<A::CallOutput> {
        let mut this = self.project();
        // What was reserved is given back if no attempt is made.
        let pending = this
            .stage
            .as_mut()
            .take_pending()
            .expect(POLLED_AFTER_COMPLETION);
        let retry = this.attempts.retry();
        match ready {
            ReadyOutcome::Ready => {}
            ReadyOutcome::Failed(answer) => {
                retry.shared.metrics.count_not_retried(NotRetried::NotReady);
                return Some(answer);
            }
            ReadyOutcome::DeadlinePassed => {
                let answer = this.attempts.deadline_exceeded(LATE_READINESS);
                if answer.is_some() {
                    return answer;
                }
            }
        }
        let context =
            this.state
                .start_next_attempt(retry, pending, this.attempts.request_context());
        let stage = start_attempt(this.attempts, this.state, context, A::start);
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
