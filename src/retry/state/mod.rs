use std::time::Duration;

use tokio::time::Instant;

use super::{
    Attempt, Budget, NotRetried, Reservation, Retry, RetryDecision, SpentRetry,
    call_config::CallConfig, plan::AttemptPlan,
};
use crate::{
    call::{CallClock, NotSent, Outcome, Rejection, RejectionKind},
    context::{self, Context, cached_deadline, min_some},
};

/// State of one call: its attempts, and what it has taken from the budget.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    /// The settings with which the call has begun.
    pub(super) config: CallConfig,
    plan: AttemptPlan,
    /// The time at which the caller stops waiting, if that is known; settings do not count.
    caller_deadline: Option<Instant>,
    /// Absent while no attempt has failed. Boxed, since a call is moved several times before it is polled.
    taken: Option<Box<TakenRetries>>,
    /// Proof that the peer never began the latest attempt, if the next one only sends it again.
    not_sent: Option<NotSent>,
}

/// The retries that a call has taken from its budget.
#[derive(Debug, Default)]
struct TakenRetries {
    /// Paid for the latest attempt.
    spent: Option<SpentRetry>,
    /// Reserved for the next attempt; refunded when the call is dropped before that.
    reservation: Option<Reservation>,
}

/// A successful call whose end is not counted yet, and counts in its budget or in the metrics.
#[derive(Debug)]
pub struct CallCompletion {
    /// With the retry that was paid for the last attempt.
    taken: Option<Box<TakenRetries>>,
    has_budget: bool,
    was_retried: bool,
}

impl CallCompletion {
    /// Creates the completion of a call whose attempts ran beside each other, with what was paid for the one that won.
    pub(crate) fn of_hedge(spent: Option<SpentRetry>) -> Self {
        let taken = spent.map(|spent| TakenRetries {
            spent: Some(spent),
            reservation: None,
        });
        CallCompletion {
            taken: taken.map(Box::new),
            has_budget: true,
            was_retried: false,
        }
    }

    /// Returns whether the outcome changes the budget or the metrics.
    pub(super) fn is_needed(&self, retry: &Retry) -> bool {
        self.was_retried || (self.has_budget && retry.shared.budget.needs_outcomes())
    }

    /// Counts the outcome of the call.
    #[inline]
    pub(super) fn complete(self, retry: &Retry, outcome: Outcome) {
        let budget = self.has_budget.then_some(&retry.shared.budget);
        let spent = self.taken.and_then(|taken| taken.spent);
        complete_attempt(spent, budget, outcome);
        if self.was_retried && outcome == Outcome::Success {
            retry.shared.metrics.count_recovered();
        }
    }
}

impl RetryState {
    pub(super) fn cap_deadline(&mut self, deadline: Instant) {
        self.plan.cap_deadline(deadline);
    }

    /// Returns the state of a call that begins now.
    #[inline]
    pub(super) fn new(config: CallConfig) -> Self {
        RetryState {
            config,
            ..RetryState::default()
        }
    }

    /// Begins a call whose caller waits at most for `time_limit`. Returns whether there is time for an attempt.
    #[inline(always)]
    pub(super) fn start_call(
        &mut self,
        time_limit: Option<Duration>,
        request_context: Option<&Context>,
        now: &CallClock,
    ) -> bool {
        let after = |time: Duration| now.now().checked_add(time);
        if let Some(end) = self.config.max_elapsed().and_then(after) {
            self.plan.cap_deadline(end);
        }
        // Unlike `max_elapsed`, a time limit also ends the caller's wait: attempts pass on what is left of it.
        if let Some(end) = time_limit.and_then(after) {
            self.cap_caller_deadline(Some(end));
        }
        self.update_deadlines(request_context);
        !self.plan.is_past_deadline(|| now.now())
    }

    /// Begins the first attempt. Returns the context to run it in, unless that is the current one.
    #[inline(always)]
    pub(super) fn start_first_attempt(
        &mut self,
        retry: &Retry,
        request_context: Option<&Context>,
        now: &CallClock,
    ) -> Option<Context> {
        // Unsent retries and retries do not deposit: the budget counts calls.
        if let Some(budget) = self.config.budget(retry) {
            budget.deposit(now);
        }
        // The number is that of the attempt which begins here: its context must show it.
        self.plan.count_attempt();
        attempt_context(request_context, self.plan.attempt_number())
    }

    /// Begins the attempt that was waited for. Returns the context to run it in, unless that is the current one.
    pub(super) fn start_next_attempt(
        &mut self,
        retry: &Retry,
        request_context: Option<&Context>,
    ) -> Option<Context> {
        let metrics = &retry.shared.metrics;
        // The attempt begins: from here on, a dropped call has spent its retry.
        let taken = self.taken.as_deref_mut();
        if let Some(taken) = taken {
            taken.begin_attempt(self.not_sent.is_some());
        }
        match self.not_sent.take() {
            None => {
                metrics.count_retry();
                self.plan.count_attempt();
            }
            Some(how) => {
                metrics.count_unsent_retry();
                self.plan.count_unsent_retry(how);
            }
        }
        self.update_deadlines(request_context);
        attempt_context(request_context, self.plan.attempt_number())
    }

    /// Refunds what was reserved for an attempt that will not begin.
    pub(super) fn cancel_retry(&mut self) {
        if let Some(taken) = &mut self.taken {
            taken.reservation = None;
        }
        self.not_sent = None;
    }

    /// Returns the latest attempt.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt {
            number: self.plan.attempt_number(),
            later: 0,
            deadline: self.plan.deadline(),
            caller_deadline: self.caller_deadline,
            is_last: self.plan.attempt_number() >= self.config.max_attempts(),
        }
    }

    /// Looks for deadlines before each attempt: a call may be made in another context than it is polled in, for example
    /// by a buffer.
    #[inline]
    fn update_deadlines(&mut self, request_context: Option<&Context>) {
        // The request may have been handed to another task than the one whose context is current.
        self.cap_caller_deadline(request_context.and_then(Context::deadline));
        self.cap_caller_deadline(cached_deadline());
    }

    #[inline]
    fn cap_caller_deadline(&mut self, deadline: Option<Instant>) {
        self.caller_deadline = min_some(self.caller_deadline, deadline);
        if let Some(end) = deadline {
            self.plan.cap_deadline(end);
        }
    }

    /// Returns the time after which no attempt begins.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.plan.deadline()
    }

    /// Returns whether the next attempt sends again at once what the peer never began.
    pub(super) fn is_unsent_retry(&self) -> bool {
        self.not_sent.is_some()
    }

    /// Ends the attempts with a success. Returns what is left to do when the call ends, if there is anything.
    #[inline]
    pub(super) fn on_success(&mut self) -> Option<CallCompletion> {
        let (has_budget, was_retried) = (self.config.has_budget(), self.plan.was_retried());
        // What was taken was taken for a retry, from a budget.
        (has_budget || was_retried).then(|| CallCompletion {
            taken: self.taken.take(),
            has_budget,
            was_retried,
        })
    }

    /// Plans what follows a failed attempt. Returns the wait before the next attempt if there is one.
    pub(super) fn on_failure(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        decision: RetryDecision,
        not_sent: Option<NotSent>,
    ) -> Option<Duration> {
        let now = CallClock::default();
        // A time limit without a timer becomes a deadline only here, since it has to be read.
        self.cap_caller_deadline(context::deadline());
        if not_sent.is_some_and(|how| self.plan_unsent_retry(retry, outcome, how, &now)) {
            return Some(Duration::ZERO);
        }
        // Completed before the next is reserved: a failure may empty a throttle.
        let spent = self.taken.as_mut().and_then(|taken| taken.spent.take());
        complete_attempt(spent, self.config.budget(retry), outcome);
        let metrics = &retry.shared.metrics;
        match self.plan_retry(retry, outcome, decision, &now) {
            Ok(delay) => {
                metrics.report_retry(delay, self.plan.attempt_number());
                Some(delay)
            }
            Err(reason) => {
                if let Some(reason) = reason {
                    metrics.count_not_retried(reason);
                }
                None
            }
        }
    }

    /// Plans to send an unsent request again. Returns whether that is allowed.
    fn plan_unsent_retry(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        how: NotSent,
        now: &CallClock,
    ) -> bool {
        if !self.plan.may_retry_unsent(how, || now.now()) {
            return false;
        }
        if let Some(budget) = self.config.budget(retry)
            && !self.plan.is_unsent_retry_free()
        {
            // Without a reservation it may still be retried as an attempt, which asks the budget again.
            let Some(reservation) = budget.reserve(outcome, now) else {
                return false;
            };
            self.taken.get_or_insert_default().reservation = Some(reservation);
        }
        let metrics = &retry.shared.metrics;
        metrics.report_unsent_retry(self.plan.attempt_number());
        self.not_sent = Some(how);
        true
    }

    /// Plans another attempt. Returns the wait before it, or why there is none.
    fn plan_retry(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        decision: RetryDecision,
        now: &CallClock,
    ) -> Result<Duration, Option<NotRetried>> {
        let seed = || retry.shared.next_jitter_seed();
        let settings = self.config.settings(retry);
        let delay = self
            .plan
            .plan_retry(decision, || now.now(), settings, seed)?;
        // Last, so that nothing is taken for an attempt that cannot be made.
        if let Some(budget) = self.config.budget(retry) {
            let reservation = budget.reserve(outcome, now);
            let reservation = reservation.ok_or(Some(NotRetried::Budget))?;
            self.taken.get_or_insert_default().reservation = Some(reservation);
        }
        Ok(delay)
    }
}

impl TakenRetries {
    /// Spends what was reserved for the attempt that begins.
    fn begin_attempt(&mut self, is_unsent_retry: bool) {
        let spent = self.reservation.take().map(Reservation::spend);
        self.spent = match is_unsent_retry {
            // What the attempt before has cost was completed with its failure.
            false => spent,
            // The attempt goes on, so its outcome still decides about what it has cost before.
            true => self.spent.take().or(spent),
        };
    }
}

#[inline]
fn complete_attempt(spent: Option<SpentRetry>, budget: Option<&Budget>, outcome: Outcome) {
    // A budget tells first attempts from retries: only the latter can be refunded.
    match (spent, budget) {
        (Some(spent), _) => spent.complete(outcome),
        (None, Some(budget)) => budget.complete(outcome),
        (None, None) => {}
    }
}

/// Makes the error of a call whose deadline has passed, and that has no other result.
pub(super) fn deadline_rejection(retry: &Retry, reason: &'static str) -> Rejection {
    retry.shared.metrics.count_not_retried(NotRetried::Deadline);
    let name = retry.name().to_owned();
    Rejection::new(RejectionKind::DeadlineExceeded, name).with_reason(reason)
}

/// Returns the context of the request, else the current one, with the number of the attempt. Returns `None` where that
/// is the current one as it is, as for most first attempts.
#[inline]
pub(crate) fn attempt_context(request_context: Option<&Context>, number: u32) -> Option<Context> {
    Context::peek(|current| {
        let call = request_context.or(current)?;
        // Also for a first attempt inside another retry's attempt, which starts over at 1.
        if call.attempt() != number {
            return Some(call.with_attempt(number));
        }
        (current != Some(call)).then(|| call.clone())
    })
}

#[cfg(test)]
mod tests;
