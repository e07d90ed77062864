use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Hedge,
    attempt_clock::AttemptClock,
    call::HedgeCall,
    hedge_attempt::HedgeAttempt,
    next_hedge::{NextHedge, NextHedgeProj},
    not_hedged::NotHedged,
    plan::AfterFailure,
};
use crate::{
    call::{Outcome, catch, drop_losers},
    context::Context,
    retry::{
        Attempt, Attempts, CallConfig, DecideOnError, FailedAttempt, Reservation, RetryDecision,
        RetrySettings, RunAttempts, RunningAttempt, SpentRetry,
    },
    timeout::poll_sleep,
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call with hedges. Named; only attempts beside the first are boxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct HedgeFuture<A>
    where
        A: Attempts,
    {
        // Attempts are dropped first: they may still use what the others hold.
        #[pin]
        first: RunningAttempt<A::Future>,
        first_clock: AttemptClock,
        hedges: Vec<HedgeAttempt<A::Future>>,
        #[pin]
        next: NextHedge,
        call: HedgeCall<A::AttemptOutput>,
        attempts: A,
    }
}

impl<A: Attempts> HedgeFuture<A> {
    /// Starts the first attempt when it is polled first.
    pub(super) fn new(attempts: A, hedge: Hedge) -> Self {
        HedgeFuture {
            first: RunningAttempt::not_started(),
            first_clock: AttemptClock::new(hedge),
            hedges: Vec::new(),
            next: NextHedge::Unplanned,
            call: HedgeCall::new(CallConfig::default()),
            attempts,
        }
    }

    /// Starts the first attempt at once. The caller waits at most for `time_limit`.
    #[inline]
    pub(super) fn started(
        mut attempts: A,
        hedge: Hedge,
        config: CallConfig,
        time_limit: Option<Duration>,
        first: impl FnOnce(&mut A, Attempt, Option<&Context>) -> A::Future,
    ) -> Self {
        let mut call = HedgeCall::new(config);
        let mut clock = AttemptClock::new(hedge);
        let first = call.start_first(&mut attempts, &mut clock, time_limit, first);
        HedgeFuture {
            first,
            first_clock: clock,
            hedges: Vec::new(),
            next: NextHedge::Unplanned,
            call,
            attempts,
        }
    }

    #[inline]
    fn start_if_new(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.call.plan.started() == 0 {
            this.call.config = CallConfig::new(&this.first_clock.hedge.shared.retry);
            let clock = this.first_clock;
            let first = this.call.start_first(this.attempts, clock, None, A::start);
            this.first.set(first);
        }
    }

    #[inline]
    fn poll_call(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<A::CallOutput> {
        self.as_mut().start_if_new();
        loop {
            if let Some(output) = self.as_mut().poll_attempts(cx) {
                return Poll::Ready(output);
            }
            if let Some(output) = ready!(self.as_mut().poll_next(cx)) {
                return Poll::Ready(output);
            }
        }
    }

    /// Polls the attempts that run, in their order. Returns the result of the call if one has it.
    #[inline]
    fn poll_attempts(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Option<A::CallOutput> {
        let mut this = self.as_mut().project();
        if this.first.is_running()
            && let Poll::Ready(output) = this.first.as_mut().poll(cx)
        {
            this.first.end();
            let attempt = this.call.first_attempt(this.attempts.request_context());
            if let Some(output) = self.as_mut().on_attempt_end(output, attempt, None) {
                return Some(output);
            }
        }
        let mut index = 0;
        while let Some(hedge) = self.as_mut().project().hedges.get_mut(index) {
            match hedge.running.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(output) => {
                    let hedge = self.as_mut().project().hedges.remove(index);
                    let attempt = hedge.attempt;
                    let output = self.as_mut().on_attempt_end(output, attempt, Some(hedge));
                    if output.is_some() {
                        return output;
                    }
                }
            }
        }
        None
    }

    /// Classifies the result of an attempt. Returns the result of the call if that is it.
    #[inline]
    fn on_attempt_end(
        mut self: Pin<&mut Self>,
        output: <A::Future as Future>::Output,
        attempt: Attempt,
        hedge: Option<HedgeAttempt<A::Future>>,
    ) -> Option<A::CallOutput> {
        let this = self.as_mut().project();
        this.call.plan.end();
        let attempt = attempt.with_started(this.call.plan.started());
        let classified = this
            .attempts
            .classify(output, attempt, &mut this.call.config);
        let outcome = match &classified {
            Ok(_) => Outcome::Success,
            Err(failed) => failed.outcome,
        };
        let mut spent = None;
        match hedge {
            None => this.first_clock.finish(outcome),
            Some(mut hedge) => {
                hedge.clock.finish(outcome);
                spent = hedge.spent.take();
            }
        }
        match classified {
            Ok(output) => Some(self.succeed(output, attempt, spent)),
            Err(failed) => self.on_failure(failed, attempt, spent),
        }
    }

    #[inline]
    fn succeed(
        mut self: Pin<&mut Self>,
        output: A::AttemptOutput,
        attempt: Attempt,
        spent: Option<SpentRetry>,
    ) -> A::CallOutput {
        let mut output = self.as_mut().complete(output, attempt);
        let this = self.project();
        let shared = &this.first_clock.hedge.shared;
        if let Some(completion) = this.call.on_success(shared, attempt, spent) {
            this.attempts.complete_success(&mut output, completion);
        }
        output
    }

    fn on_failure(
        mut self: Pin<&mut Self>,
        failed: FailedAttempt<A::AttemptOutput>,
        attempt: Attempt,
        spent: Option<SpentRetry>,
    ) -> Option<A::CallOutput> {
        let mut this = self.as_mut().project();
        let FailedAttempt {
            output,
            outcome,
            decision,
            ..
        } = failed;
        let shared = &this.first_clock.hedge.shared;
        let keeps_other = this.call.has_better_failure(outcome);
        let failed = (outcome, decision);
        match this.call.on_failure(shared, attempt, spent, failed) {
            AfterFailure::Return if keeps_other => return Some(self.fail()),
            AfterFailure::Return => return Some(self.complete(output, attempt)),
            AfterFailure::Wait => {}
            AfterFailure::WaitFor(wait) => {
                let sleep = sleep(wait);
                // Of two that have asked, the one is heeded that asked for more.
                if this.next.ends_before(sleep.deadline()) {
                    this.next.set(NextHedge::HeldBack { sleep });
                }
            }
            AfterFailure::Hedge => {
                if !matches!(*this.next, NextHedge::AwaitingReady { .. }) {
                    this.next.set(NextHedge::Due { after: outcome });
                }
            }
        }
        this.call.keep_failure(output, attempt, outcome);
        None
    }

    /// Ends the call with the failure that was kept.
    fn fail(mut self: Pin<&mut Self>) -> A::CallOutput {
        let failure = self.as_mut().project().call.take_failure();
        let failure = failure.expect(POLLED_AFTER_COMPLETION);
        self.complete(failure.output, failure.attempt)
    }

    /// Ends the call with the result of an attempt. Drops all others at once.
    #[inline]
    fn complete(
        mut self: Pin<&mut Self>,
        output: A::AttemptOutput,
        attempt: Attempt,
    ) -> A::CallOutput {
        let mut this = self.as_mut().project();
        if this.call.plan.started() > 1 || this.next.waits_for_service() {
            self.as_mut().drop_others();
            this = self.project();
        }
        // With its timer, which nobody polls any more.
        this.next.set(NextHedge::Unplanned);
        let attempt = attempt.with_started(this.call.plan.started());
        this.attempts.complete(output, attempt)
    }

    /// Drops the attempts that run, and all that was kept or reserved: the future may live on after its result.
    #[cold]
    fn drop_others(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.next.set(NextHedge::Unplanned);
        drop_losers(|| {
            this.first.end();
            this.first_clock.give_up();
            this.hedges.clear();
            this.attempts.release_service();
        });
        this.call.take_failure();
    }

    /// Ends a call that has panicked.
    #[cold]
    fn abandon(mut self: Pin<&mut Self>) {
        self.as_mut().project().call.plan.abandon();
        self.drop_others();
    }

    /// Polls what leads to the next attempt. Ready with `None` once that has begun, or with the result of the call if there is none.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<A::CallOutput>> {
        loop {
            let mut this = self.as_mut().project();
            match this.next.as_mut().project() {
                NextHedgeProj::Unplanned if !this.call.plan.is_running() => {
                    return Poll::Ready(Some(self.fail()));
                }
                NextHedgeProj::Unplanned => {
                    let Some(delay) = this.call.plan.delay() else {
                        return Poll::Pending;
                    };
                    let start = this.call.latest_start.get_or_insert_with(Instant::now);
                    let sleep = sleep_until(*start + delay);
                    this.next.set(NextHedge::Timed { sleep });
                }
                NextHedgeProj::Timed { sleep } | NextHedgeProj::HeldBack { sleep } => {
                    ready!(poll_sleep(sleep, cx));
                    this.call.plan.end_wait();
                    // An attempt that takes long counts as one that times out.
                    let after = Outcome::TimedOut;
                    this.next.set(NextHedge::Due { after });
                }
                NextHedgeProj::Due { after } => {
                    let after = *after;
                    self.as_mut().pay(after);
                }
                NextHedgeProj::AwaitingReady { .. } => match this.attempts.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        self.start_hedge();
                        return Poll::Ready(None);
                    }
                    Poll::Pending if this.call.plan.is_running() => return Poll::Pending,
                    // No failure waits for a service that may never be ready, and none is replaced by that of a service.
                    Poll::Pending | Poll::Ready(Err(_)) => {
                        // One that has failed must not be polled again.
                        this.attempts.release_service();
                        self.as_mut().skip(NotHedged::NotReady);
                    }
                },
            }
        }
    }

    /// Pays for an attempt that is due, and copies the request.
    fn pay(mut self: Pin<&mut Self>, after: Outcome) {
        let mut this = self.as_mut().project();
        let shared = &this.first_clock.hedge.shared;
        match this.call.reserve(shared, this.attempts, after) {
            Ok(reservation) => this.next.set(NextHedge::AwaitingReady { reservation }),
            Err(reason) => self.skip(reason),
        }
    }

    /// Sends no attempt now, and none because of the time unless the request was not there yet.
    fn skip(self: Pin<&mut Self>, reason: NotHedged) {
        let mut this = self.project();
        this.next.set(NextHedge::Unplanned);
        this.call.skip(&this.first_clock.hedge.shared, reason);
    }

    fn start_hedge(self: Pin<&mut Self>) {
        let mut this = self.project();
        let hedge = &this.first_clock.hedge;
        // It begins: from here on, a call that is dropped has spent it.
        let spent = match this.next.as_mut().project() {
            NextHedgeProj::AwaitingReady { reservation } => reservation.take(),
            _ => None,
        };
        this.next.set(NextHedge::Unplanned);
        let hedge = this
            .call
            .start_hedge(this.attempts, hedge, spent.map(Reservation::spend));
        this.hedges.push(hedge);
    }
}

impl<F, Fut, T, E> HedgeFuture<RunAttempts<(), F, DecideOnError<E>>>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// Sets after which errors the next attempt is sent at once; others are the result of the call. The closure returns a `bool`, a
    /// [`RetryAfter`](crate::retry::RetryAfter) or a [`RetryDecision`]; if it panics, the error is the result.
    ///
    /// Default: failures, overload and timeouts, as the peer asks.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::hedge::Hedge;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let result = Hedge::new("files")
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
    ) -> HedgeFuture<RunAttempts<(), F, impl Fn(&RetrySettings, &E) -> (Outcome, RetryDecision)>>
    {
        HedgeFuture {
            first: self.first,
            first_clock: self.first_clock,
            hedges: self.hedges,
            next: self.next,
            call: self.call,
            attempts: self.attempts.when(decide),
        }
    }
}

impl<A: Attempts> Future for HedgeFuture<A> {
    type Output = A::CallOutput;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<A::CallOutput> {
        match catch(|| self.as_mut().poll_call(cx)) {
            Ok(polled) => polled,
            Err(payload) => {
                // Not while the thread unwinds: guards would take the other attempts for ones that have panicked.
                self.abandon();
                resume_unwind(payload)
            }
        }
    }
}

impl<A: Attempts> fmt::Debug for HedgeFuture<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeFuture")
            .field("hedge", &self.first_clock.hedge.name())
            .field("plan", &self.call.plan)
            .finish_non_exhaustive()
    }
}
