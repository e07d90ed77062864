use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::{
    Attempt, NotRetried, Reservation, Retry, RetryDecision, SpentRetry,
    plan::{AttemptPlan, UnsentRetry},
};
use crate::{
    call::{CallClock, NotSent, Outcome, Rejection, RejectionKind},
    context::{self, Context, cached_deadline, min_some},
};

/// Where one call stands: which attempts it has made, and what it has taken from the budget.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    plan: AttemptPlan,
    /// When whoever has made the call stops waiting for it, if that is known: no matter of settings.
    caller_deadline: Option<Instant>,
    spent: Option<SpentRetry>,
}

/// An attempt that is to begin after a wait. Dropping it gives what was reserved back to the budget.
#[derive(Debug)]
pub(super) struct PendingAttempt {
    delay: Duration,
    reservation: Option<Reservation>,
    not_sent: Option<NotSent>,
}

impl PendingAttempt {
    /// None of a repeat, which is sent at once.
    pub(super) fn sleep(&self) -> Option<Sleep> {
        self.not_sent.is_none().then(|| sleep(self.delay))
    }
}

/// A call that was answered well, but may not be over: its budget is settled when it is.
#[derive(Debug)]
pub struct CallCompletion {
    spent: Option<SpentRetry>,
    was_retried: bool,
}

impl CallCompletion {
    /// Returns whether its end makes a difference to anybody.
    pub(super) fn is_needed(&self, retry: &Retry) -> bool {
        let counts = |budget: &super::Budget| budget.needs_outcomes();
        self.was_retried || retry.budget().is_some_and(counts)
    }

    /// The call is over, and this is how it has ended.
    #[inline]
    pub(super) fn complete(self, retry: &Retry, outcome: Outcome) {
        complete_attempt(self.spent, retry, outcome);
        if self.was_retried && outcome == Outcome::Success {
            retry.shared.metrics.count_recovered();
        }
    }
}

impl RetryState {
    pub(super) fn cap_deadline(&mut self, deadline: Instant) {
        self.plan.cap_deadline(deadline);
    }

    /// A call begins that takes at most so long. A request may bring a context of its own.
    ///
    /// Returns whether it comes too late to begin at all.
    #[inline]
    pub(super) fn start_call(
        &mut self,
        retry: &Retry,
        limit: Option<Duration>,
        own: Option<&Context>,
        now: &CallClock,
    ) -> bool {
        let after = |time: Duration| now.now().checked_add(time);
        if let Some(end) = retry.shared.config.max_elapsed.and_then(after) {
            self.plan.cap_deadline(end);
        }
        if let Some(end) = limit.and_then(after) {
            self.cap_caller_deadline(Some(end));
        }
        self.update_deadlines(own);
        self.plan.is_past_deadline(|| now.now())
    }

    /// The first attempt begins: the context it has to run in if that is not the current one as it is.
    #[inline]
    pub(super) fn start_first_attempt(
        &mut self,
        retry: &Retry,
        own: Option<&Context>,
        now: &CallClock,
    ) -> Option<Context> {
        if let Some(budget) = retry.budget() {
            budget.deposit(now);
        }
        self.plan.count_attempt();
        attempt_context(own, self.plan.attempt_number())
    }

    /// The attempt that was waited for begins.
    pub(super) fn start_next_attempt(
        &mut self,
        retry: &Retry,
        pending: PendingAttempt,
        own: Option<&Context>,
    ) -> Option<Context> {
        let counts = &retry.shared.metrics;
        let spent = pending.reservation.map(Reservation::spend);
        match pending.not_sent {
            None => {
                counts.count_retry();
                self.spent = spent;
                self.plan.count_attempt();
            }
            Some(how) => {
                counts.count_unsent_retry();
                // What the attempt has cost already is what its end is settled with.
                self.spent = self.spent.take().or(spent);
                self.plan.count_unsent_retry(how);
            }
        }
        self.update_deadlines(own);
        attempt_context(own, self.plan.attempt_number())
    }

    /// The attempt that has begun last.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt {
            number: self.plan.attempt_number(),
            deadline: self.plan.deadline(),
        }
    }

    /// Looked at again and again: a call may be made in another context than it is polled in, as a buffer does it.
    #[inline]
    fn update_deadlines(&mut self, own: Option<&Context>) {
        self.cap_caller_deadline(own.and_then(Context::deadline));
        self.cap_caller_deadline(cached_deadline());
    }

    /// Notes when the caller is gone and needs no answer.
    #[inline]
    fn cap_caller_deadline(&mut self, deadline: Option<Instant>) {
        self.caller_deadline = min_some(self.caller_deadline, deadline);
        if let Some(end) = deadline {
            self.plan.cap_deadline(end);
        }
    }

    /// Returns when the caller stops waiting, if that is known.
    pub(super) fn caller_deadline(&self) -> Option<Instant> {
        self.caller_deadline
    }

    /// No attempt begins after it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.plan.deadline()
    }

    /// Returns whether the attempt that has begun is the last there can be.
    pub(super) fn is_last_attempt(&self, retry: &Retry) -> bool {
        self.plan.attempt_number() >= retry.shared.config.max_attempts
    }

    /// An attempt has succeeded.
    #[inline]
    pub(super) fn on_success(&mut self) -> CallCompletion {
        CallCompletion {
            spent: self.spent.take(),
            was_retried: self.plan.was_retried(),
        }
    }

    /// An attempt has failed, maybe without having been begun by the peer: what comes next, if anything does.
    pub(super) fn on_failure(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        advice: RetryDecision,
        unsent: Option<NotSent>,
    ) -> Option<PendingAttempt> {
        let now = CallClock::default();
        // Time limits that nobody has had to look at yet are moments from here on.
        self.cap_caller_deadline(context::deadline());
        if let Some(pending) =
            unsent.and_then(|how| self.plan_unsent_retry(retry, outcome, how, &now))
        {
            return Some(pending);
        }
        complete_attempt(self.spent.take(), retry, outcome);
        let counts = &retry.shared.metrics;
        match self.plan_retry(retry, outcome, advice, &now) {
            Ok(pending) => {
                counts.report_retry(pending.delay, self.plan.attempt_number());
                Some(pending)
            }
            Err(refusal) => {
                if let Some(why) = refusal {
                    counts.count_not_retried(why);
                }
                None
            }
        }
    }

    fn plan_unsent_retry(
        &self,
        retry: &Retry,
        outcome: Outcome,
        how: NotSent,
        now: &CallClock,
    ) -> Option<PendingAttempt> {
        let reservation = match (
            self.plan.plan_unsent_retry(how, || now.now())?,
            retry.budget(),
        ) {
            (UnsentRetry::Charged, Some(budget)) => Some(budget.reserve(outcome, now)?),
            _ => None,
        };
        let delay = Duration::ZERO;
        retry
            .shared
            .metrics
            .report_unsent_retry(delay, self.plan.attempt_number());
        Some(PendingAttempt {
            delay,
            reservation,
            not_sent: Some(how),
        })
    }

    fn plan_retry(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        advice: RetryDecision,
        now: &CallClock,
    ) -> Result<PendingAttempt, Option<NotRetried>> {
        let shared = &retry.shared;
        let clock = || now.now();
        let delay = self
            .plan
            .plan_retry(advice, clock, &shared.config, &shared.jitter_rng)?;
        // Last, so that nothing is taken for an attempt that cannot be.
        let reservation = match &shared.budget {
            Some(budget) => Some(
                budget
                    .reserve(outcome, now)
                    .ok_or(Some(NotRetried::Budget))?,
            ),
            None => None,
        };
        Ok(PendingAttempt {
            delay,
            reservation,
            not_sent: None,
        })
    }
}

#[inline]
fn complete_attempt(spent: Option<SpentRetry>, retry: &Retry, outcome: Outcome) {
    match (spent, retry.budget()) {
        (Some(spent), _) => spent.complete(outcome),
        (None, Some(budget)) => budget.complete(outcome),
        (None, None) => {}
    }
}

/// The answer where the deadline has passed and nothing else is left to answer with.
pub(super) fn deadline_rejection(retry: &Retry, why: &'static str) -> Rejection {
    retry.shared.metrics.count_not_retried(NotRetried::Deadline);
    let name = retry.name().to_owned();
    Rejection::new(RejectionKind::DeadlineExceeded, name).with_reason(why)
}

/// The call's context with the attempt's number: that of the request, else the current one. None is needed where that
/// is the current one as it is, as it is for most first attempts.
#[inline]
fn attempt_context(own: Option<&Context>, number: u32) -> Option<Context> {
    Context::peek(|current| {
        let call = own.or(current)?;
        if call.attempt() != number {
            return Some(call.with_attempt(number));
        }
        (current != Some(call)).then(|| call.clone())
    })
}

#[cfg(test)]
mod tests;
