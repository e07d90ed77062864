use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep};

use super::{
    Attempt, Attempts, NotRetried, RetryDecision, RetrySettings,
    attempts::FailedAttempt,
    call_config::CallConfig,
    run::RunAttempts,
    running_attempt::RunningAttempt,
    settings::DecideOnError,
    stage::{Stage, StageProj, poll_ready_before},
    state::RetryState,
};
use crate::{
    call::{CallClock, Outcome},
    context::Context,
};

const LATE_CALL: &str = "the deadline had passed before the call began";
const LATE_READINESS: &str = "the service was not ready in time";
pin_project! {
    /// The future of a call with retries. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<A>
    where
        A: Attempts,
    {
        // Dropped first: a running attempt may still use what the others hold.
        #[pin]
        stage: Stage<A::Future>,
        state: RetryState,
        attempts: A,
    }
}

impl<A: Attempts> RetryFuture<A> {
    /// Starts the first attempt when it is polled first.
    pub(super) fn new(attempts: A) -> Self {
        RetryFuture {
            stage: Stage::NotStarted,
            state: RetryState::default(),
            attempts,
        }
    }

    /// Starts the first attempt at once, unless the deadline has passed. The caller waits at most for `time_limit`.
    #[inline]
    pub(super) fn started(
        mut attempts: A,
        config: CallConfig,
        time_limit: Option<Duration>,
        first: impl FnOnce(&mut A, Attempt, Option<&Context>) -> A::Future,
    ) -> Self {
        // One reading of the clock serves the deadline and the budget.
        let (mut state, now) = (RetryState::new(config), CallClock::default());
        let context = attempts.request_context();
        let stage = if state.start_call(time_limit, context, &now) {
            let context = state.start_first_attempt(attempts.retry(), context, &now);
            start_attempt(&mut attempts, &state, context, first)
        } else {
            Stage::PastDeadline
        };
        RetryFuture {
            stage,
            state,
            attempts,
        }
    }

    /// Polls the stage of the call. Where that does not wait, it changes, or it has the result of the call.
    #[inline]
    fn poll_stage(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<A::CallOutput>> {
        let mut this = self.as_mut().project();
        Poll::Ready(match this.stage.as_mut().project() {
            StageProj::Running { attempt } => {
                let output = ready!(attempt.poll(cx));
                self.on_attempt_end(output)
            }
            StageProj::Waiting { sleep } => {
                ready!(sleep.poll(cx));
                this.stage.set(Stage::AwaitingReady { timer: None });
                None
            }
            StageProj::AwaitingReady { timer } => {
                // The service before the timer: a service that is ready beats the deadline.
                let ready = this.attempts.poll_ready(cx);
                let ready = poll_ready_before(ready, this.state.deadline(), timer, cx);
                self.on_service_ready(ready!(ready))
            }
            StageProj::NotStarted => {
                self.start_first();
                None
            }
            StageProj::PastDeadline => {
                let output = this.attempts.deadline_exceeded(LATE_CALL);
                Some(output.expect("only calls of services can be too late"))
            }
        })
    }

    fn start_first(self: Pin<&mut Self>) {
        let (mut this, now) = (self.project(), CallClock::default());
        let retry = this.attempts.retry();
        // The call begins with its first poll.
        this.state.config = CallConfig::new(retry);
        // A closure has no error for a deadline that has passed: it always makes one attempt.
        this.state.start_call(None, None, &now);
        let context = this.state.start_first_attempt(retry, None, &now);
        let stage = start_attempt(this.attempts, this.state, context, A::start);
        this.stage.set(stage);
    }

    /// Classifies the result of an attempt. Returns the result of the call unless there is another attempt.
    #[inline]
    fn on_attempt_end(
        mut self: Pin<&mut Self>,
        output: <A::Future as Future>::Output,
    ) -> Option<A::CallOutput> {
        let this = self.as_mut().project();
        let attempt = this.state.attempt();
        match this
            .attempts
            .classify(output, attempt, &mut this.state.config)
        {
            Ok(output) => {
                let mut output = this.attempts.complete(output, attempt);
                if let Some(completion) = this.state.on_success() {
                    this.attempts.complete_success(&mut output, completion);
                }
                Some(output)
            }
            Err(failed) => self.on_attempt_failure(failed, attempt),
        }
    }

    fn on_attempt_failure(
        self: Pin<&mut Self>,
        failed: FailedAttempt<A::AttemptOutput>,
        attempt: Attempt,
    ) -> Option<A::CallOutput> {
        let mut this = self.project();
        let retry = this.attempts.retry();
        let (outcome, decision) = (failed.outcome, failed.decision);
        let delay = this
            .state
            .on_failure(retry, outcome, decision, failed.not_sent);
        let Some(delay) = delay.filter(|_| this.attempts.prepare_retry()) else {
            // The future may live on after its result, and the reservation with it.
            this.state.cancel_retry();
            return Some(this.attempts.complete(failed.output, attempt));
        };
        // Before the wait, so that the failed response does not occupy its connection meanwhile.
        drop(failed.output);
        this.stage.set(if this.state.is_unsent_retry() {
            Stage::AwaitingReady { timer: None }
        } else {
            let sleep = sleep(delay);
            Stage::Waiting { sleep }
        });
        None
    }

    /// Starts the next attempt if the service is ready. Returns the result of the call if it failed, or is too late.
    fn on_service_ready(
        self: Pin<&mut Self>,
        ready: Option<Result<(), A::CallOutput>>,
    ) -> Option<A::CallOutput> {
        let mut this = self.project();
        let retry = this.attempts.retry();
        let output = match ready {
            Some(Ok(())) => None,
            Some(Err(output)) => {
                retry.shared.metrics.count_not_retried(NotRetried::NotReady);
                Some(output)
            }
            None => this.attempts.deadline_exceeded(LATE_READINESS),
        };
        if output.is_some() {
            this.state.cancel_retry();
            return output;
        }
        // A deadline without a result is that of a closure, which has no error for it: the attempt starts.
        let context = this.attempts.request_context();
        let context = this.state.start_next_attempt(retry, context);
        let stage = start_attempt(this.attempts, this.state, context, A::start);
        this.stage.set(stage);
        None
    }
}

impl<F, Fut, T, E> RetryFuture<RunAttempts<(), F, DecideOnError<E>>>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// Sets which errors are retried. The closure returns a `bool`, a [`RetryAfter`](super::RetryAfter) or a
    /// [`RetryDecision`]; if it panics, the error is not retried.
    ///
    /// Default: failures, overload and timeouts are retried, as the peer asks. Errors that are the caller's fault or
    /// can never be sent are not, nor are rejections by guards of this process.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::retry::Retry;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let result = Retry::new("files")
    ///     .run(|_| async { Err::<(), _>(Error::from(ErrorKind::NotFound)) })
    ///     .when(|error: &Error| error.kind() != ErrorKind::NotFound)
    ///     .await;
    /// assert!(result.is_err());
    /// # }
    /// ```
    #[expect(clippy::type_complexity, reason = "a closure has no name")]
    pub fn when<D: Into<RetryDecision>>(
        self,
        decide: impl Fn(&E) -> D,
    ) -> RetryFuture<RunAttempts<(), F, impl Fn(&RetrySettings, &E) -> (Outcome, RetryDecision)>>
    {
        RetryFuture {
            stage: self.stage,
            state: self.state,
            attempts: self.attempts.when(decide),
        }
    }
}

impl<S, F, C> RetryFuture<RunAttempts<S, F, C>>
where
    RunAttempts<S, F, C>: Attempts,
{
    /// Sets the deadline: no further attempt begins later, and no wait begins that would end later. The first attempt
    /// is made in any case.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        // Never later than a deadline that the call has already.
        self.state.cap_deadline(deadline);
        self
    }
}

impl<S, F, Fut, T, E> RetryFuture<RunAttempts<Option<S>, F, DecideOnError<E>>>
where
    F: FnMut(S, Attempt) -> Fut,
    Fut: Future<Output = (S, Result<T, E>)>,
{
    /// Sets which errors are retried, as for [`run`](super::Retry::run).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::retry::Retry;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let (attempts, result) = Retry::new("files")
    ///     .run_with(0, |attempts, _| async move {
    ///         (attempts + 1, Err::<(), _>(Error::from(ErrorKind::NotFound)))
    ///     })
    ///     .when(|error: &Error| error.kind() != ErrorKind::NotFound)
    ///     .await;
    /// assert!(result.is_err());
    /// assert_eq!(attempts, 1);
    /// # }
    /// ```
    #[expect(clippy::type_complexity, reason = "a closure has no name")]
    pub fn when<D: Into<RetryDecision>>(
        self,
        decide: impl Fn(&E) -> D,
    ) -> RetryFuture<
        RunAttempts<Option<S>, F, impl Fn(&RetrySettings, &E) -> (Outcome, RetryDecision)>,
    > {
        RetryFuture {
            stage: self.stage,
            state: self.state,
            attempts: self.attempts.when(decide),
        }
    }
}

#[inline]
fn start_attempt<A: Attempts>(
    attempts: &mut A,
    state: &RetryState,
    context: Option<Context>,
    start: impl FnOnce(&mut A, Attempt, Option<&Context>) -> A::Future,
) -> Stage<A::Future> {
    let attempt = state.attempt();
    let attempt = RunningAttempt::start(context, |context| start(attempts, attempt, context));
    Stage::Running { attempt }
}

impl<A: Attempts> Future for RetryFuture<A> {
    type Output = A::CallOutput;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<A::CallOutput> {
        loop {
            if let Some(output) = ready!(self.as_mut().poll_stage(cx)) {
                return Poll::Ready(output);
            }
        }
    }
}

impl<A: Attempts> fmt::Debug for RetryFuture<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
