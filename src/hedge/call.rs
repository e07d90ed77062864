use std::time::Duration;

use tokio::time::Instant;

use super::{
    Hedge,
    attempt_clock::AttemptClock,
    hedge_attempt::HedgeAttempt,
    not_hedged::NotHedged,
    plan::{AfterFailure, HedgePlan},
    shared::HedgeShared,
};
use crate::{
    call::{CallClock, Outcome},
    context::{self, Context, min_some},
    retry::{
        Attempt, Attempts, CallCompletion, CallConfig, RequestCopy, Reservation, RetryDecision,
        RunningAttempt, SpentRetry, attempt_context,
    },
};

/// The resolution of timers: an attempt that begins so shortly before the deadline has no time.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// The state of one call. `T` is the result of an attempt.
#[derive(Debug)]
pub(super) struct HedgeCall<T> {
    /// The settings with which the call has begun.
    pub(super) config: CallConfig,
    pub(super) plan: HedgePlan,
    /// The beginning of the latest attempt. `None` until somebody needs it.
    pub(super) latest_start: Option<Instant>,
    /// The time at which the caller stops waiting, if the request says so.
    caller_deadline: Option<Instant>,
    /// The result of the call, unless an attempt that runs has a better one. Boxed, since most calls have none.
    failure: Option<Box<Failure<T>>>,
}

/// An attempt that has failed.
#[derive(Debug)]
pub(super) struct Failure<T> {
    pub(super) output: T,
    pub(super) attempt: Attempt,
    outcome: Outcome,
}

impl<T> HedgeCall<T> {
    /// Creates a call that has not begun.
    pub(super) fn new(config: CallConfig) -> Self {
        HedgeCall {
            config,
            plan: HedgePlan::default(),
            latest_start: None,
            caller_deadline: None,
            failure: None,
        }
    }

    /// Starts the first attempt, in the context of the request if that is not the current one. The caller waits at most for
    /// `time_limit`.
    #[inline]
    pub(super) fn start_first<A>(
        &mut self,
        attempts: &mut A,
        clock: &mut AttemptClock,
        time_limit: Option<Duration>,
        start: impl FnOnce(&mut A, Attempt, Option<&Context>) -> A::Future,
    ) -> RunningAttempt<A::Future>
    where
        A: Attempts<AttemptOutput = T>,
    {
        let (is_repeatable, now) = (attempts.is_repeatable(), CallClock::default());
        self.begin(&clock.hedge, is_repeatable, time_limit, || now.now());
        let mut timed_from = None;
        if self.is_hedged() {
            let shared = &clock.hedge.shared;
            if let Some(budget) = shared.own_budget(&self.config) {
                budget.deposit(&now);
            }
            timed_from = self.latest_start.filter(|_| shared.is_timed());
        }
        let request_context = attempts.request_context();
        let context = Context::peek(|current| {
            let request_context = request_context?;
            (current != Some(request_context)).then(|| request_context.clone())
        });
        self.plan.start();
        let attempt = self.first_attempt(request_context);
        let running = RunningAttempt::start(context, |context| start(attempts, attempt, context));
        // A call that panics when it is made is not an attempt that was dropped.
        if self.is_hedged() {
            clock.start(timed_from);
        }
        running
    }

    /// Reserves another attempt after one with this outcome, and copies its request.
    pub(super) fn reserve<A: Attempts>(
        &self,
        shared: &HedgeShared,
        attempts: &mut A,
        after: Outcome,
    ) -> Result<Option<Reservation>, NotHedged> {
        let now = CallClock::default();
        let deadline = self.deadline(attempts.request_context());
        if deadline.is_some_and(|end| end < now.now() + TIMER_RESOLUTION) {
            return Err(NotHedged::Deadline);
        }
        let reservation = shared.reserve(&self.config, after, &now)?;
        if self.plan.is_running() {
            match attempts.prepare_hedge() {
                RequestCopy::Made => Ok(reservation),
                RequestCopy::NotYet => Err(NotHedged::Upload),
                RequestCopy::Never => Err(NotHedged::TooLong),
            }
        } else if attempts.prepare_retry() {
            Ok(reservation)
        } else {
            Err(NotHedged::TooLong)
        }
    }

    /// Starts an attempt beside those that run.
    pub(super) fn start_hedge<A: Attempts>(
        &mut self,
        attempts: &mut A,
        hedge: &Hedge,
        spent: Option<SpentRetry>,
    ) -> HedgeAttempt<A::Future> {
        let (now, request_context) = (Instant::now(), attempts.request_context());
        let deadline = self.deadline(request_context);
        // A retry further out has made attempts before these.
        let first_number = Context::peek(|current| {
            let call = request_context.or(current);
            call.map_or(1, Context::attempt)
        });
        let attempt = self.start_attempt(deadline);
        let number = first_number.saturating_add(attempt.number() - 1);
        let context = attempt_context(request_context, number);
        self.latest_start = Some(now);
        hedge.shared.metrics.count_sent(attempt.number());
        let mut clock = AttemptClock::new(hedge.clone());
        clock.start(hedge.shared.is_timed().then_some(now));
        let running = RunningAttempt::start(context, |context| attempts.start(attempt, context));
        HedgeAttempt {
            running: Box::pin(running),
            clock,
            attempt,
            spent,
        }
    }

    /// Counts that no attempt is sent now, and plans none because of the time unless the request was not there yet.
    pub(super) fn skip(&mut self, shared: &HedgeShared, reason: NotHedged) {
        match reason {
            // Another delay later: an upload that is slow is not the peer's fault.
            NotHedged::Upload => self.latest_start = Some(Instant::now()),
            _ => self.plan.stop_timer(),
        }
        shared.metrics.count_not_hedged(reason);
    }

    /// Counts the success of the call by an attempt. Returns what is left to do when the call ends, if there is anything.
    #[inline]
    pub(super) fn on_success(
        &self,
        shared: &HedgeShared,
        attempt: Attempt,
        spent: Option<SpentRetry>,
    ) -> Option<CallCompletion> {
        if attempt.is_retry() {
            shared.metrics.count_won();
        }
        let has_budget = self.is_hedged() && shared.own_budget(&self.config).is_some();
        (has_budget || spent.is_some()).then(|| CallCompletion::of_hedge(spent))
    }

    /// Counts the failure of an attempt in the budget, and decides what follows.
    pub(super) fn on_failure(
        &mut self,
        shared: &HedgeShared,
        attempt: Attempt,
        spent: Option<SpentRetry>,
        (outcome, decision): (Outcome, RetryDecision),
    ) -> AfterFailure {
        match (spent, shared.own_budget(&self.config)) {
            (Some(spent), _) => spent.complete(outcome),
            (None, Some(budget)) if !attempt.is_retry() && self.is_hedged() => {
                budget.complete(outcome);
            }
            (None, _) => {}
        }
        self.plan.after_failure(outcome, decision)
    }

    /// Begins a call whose caller waits at most for `time_limit`. A request that cannot be repeated has one attempt.
    #[inline]
    fn begin(
        &mut self,
        hedge: &Hedge,
        is_repeatable: bool,
        time_limit: Option<Duration>,
        now: impl FnOnce() -> Instant,
    ) {
        let max_attempts = self.config.max_attempts();
        if !is_repeatable || max_attempts == 1 {
            self.plan = HedgePlan::new(1, None);
            return;
        }
        let shared = &hedge.shared;
        self.plan = HedgePlan::new(max_attempts, shared.delay());
        let budget = shared.own_budget(&self.config);
        if shared.is_timed() || budget.is_some() || time_limit.is_some() {
            let now = now();
            self.latest_start = Some(now);
            self.caller_deadline = time_limit.and_then(|time| now.checked_add(time));
        }
    }

    /// Returns whether the call may have a second attempt.
    #[inline]
    pub(super) fn is_hedged(&self) -> bool {
        self.plan.max_attempts() > 1
    }

    /// Counts an attempt that begins, which ends at the deadline at the latest.
    #[inline]
    fn start_attempt(&mut self, deadline: Option<Instant>) -> Attempt {
        let number = self.plan.start();
        Attempt::of_hedge(number, self.plan.max_attempts(), deadline)
    }

    /// Returns the first attempt.
    #[inline]
    pub(super) fn first_attempt(&self, request_context: Option<&Context>) -> Attempt {
        let deadline = match self.is_hedged() {
            true => self.deadline(request_context),
            false => None,
        };
        Attempt::of_hedge(1, self.plan.max_attempts(), deadline)
    }

    /// Returns the time after which no attempt begins.
    fn deadline(&self, request_context: Option<&Context>) -> Option<Instant> {
        // The request may have been handed to another task than the one whose context is current.
        let of_request = request_context.and_then(Context::deadline);
        min_some(
            min_some(self.caller_deadline, of_request),
            context::deadline(),
        )
    }

    /// Keeps a failure as the result of the call. A rejection by a guard of this process does not replace what a peer has said.
    pub(super) fn keep_failure(&mut self, output: T, attempt: Attempt, outcome: Outcome) {
        if outcome == Outcome::Rejected && self.failure.is_some() {
            return;
        }
        self.failure = Some(Box::new(Failure {
            output,
            attempt,
            outcome,
        }));
    }

    /// Returns the failure that is the result of the call.
    pub(super) fn take_failure(&mut self) -> Option<Failure<T>> {
        self.failure.take().map(|failure| *failure)
    }

    /// Returns whether the failure that is kept says more than one with this outcome: than a rejection.
    pub(super) fn has_better_failure(&self, outcome: Outcome) -> bool {
        let kept = self.failure.as_ref();
        outcome == Outcome::Rejected
            && kept.is_some_and(|failure| failure.outcome != Outcome::Rejected)
    }
}
