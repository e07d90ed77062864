use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::{
    Advice, Attempt, Refusal, Reservation, Retry, Spent,
    plan::{AttemptPlan, Repeat},
};
use crate::{
    call::{Moment, Outcome, Rejection, RejectionKind, Unsent},
    context::{self, Context, earlier, known_deadline},
};

/// Where one call stands: which attempts it has made, and what it has taken from the budget.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    plan: AttemptPlan,
    /// When whoever has made the call stops waiting for it, if that is known: no matter of settings.
    caller_deadline: Option<Instant>,
    spent: Option<Spent>,
}

/// An attempt that is to begin after a wait. Dropping it gives what was reserved back to the budget.
#[derive(Debug)]
pub(super) struct PendingAttempt {
    delay: Duration,
    reservation: Option<Reservation>,
    repeats: Option<Unsent>,
}

impl PendingAttempt {
    /// None of a repeat, which is sent at once.
    pub(super) fn sleep(&self) -> Option<Sleep> {
        self.repeats.is_none().then(|| sleep(self.delay))
    }
}

/// A call that was answered well, but may not be over: its budget is settled when it is.
#[derive(Debug)]
pub struct OpenCall {
    spent: Option<Spent>,
    was_repeated: bool,
}

impl OpenCall {
    /// Returns whether its end makes a difference to anybody.
    pub(super) fn has_to_settle(&self, retry: &Retry) -> bool {
        let counts = |budget: &super::Budget| budget.counts_outcomes();
        self.was_repeated || retry.budget().is_some_and(counts)
    }

    /// The call is over, and this is how it has ended.
    #[inline]
    pub(super) fn settle(self, retry: &Retry, outcome: Outcome) {
        settle(self.spent, retry, outcome);
        if self.was_repeated && outcome == Outcome::Success {
            retry.shared.counts.recovered();
        }
    }
}

impl RetryState {
    pub(super) fn until(&mut self, deadline: Instant) {
        self.plan.until(deadline);
    }

    /// A call begins that takes at most so long. A request may bring a context of its own.
    ///
    /// Returns whether it comes too late to begin at all.
    #[inline]
    pub(super) fn open(
        &mut self,
        retry: &Retry,
        limit: Option<Duration>,
        own: Option<&Context>,
        now: &Moment,
    ) -> bool {
        let after = |time: Duration| now.now().checked_add(time);
        if let Some(end) = retry.shared.policy.within.and_then(after) {
            self.plan.until(end);
        }
        if let Some(end) = limit.and_then(after) {
            self.note_deadline(Some(end));
        }
        self.note_deadlines(own);
        self.plan.is_late(|| now.now())
    }

    /// The first attempt begins: the context it has to run in if that is not the current one as it is.
    #[inline]
    pub(super) fn first(
        &mut self,
        retry: &Retry,
        own: Option<&Context>,
        now: &Moment,
    ) -> Option<Context> {
        if let Some(budget) = retry.budget() {
            budget.request(now);
        }
        self.plan.begin();
        attempt_context(own, self.plan.made())
    }

    /// The attempt that was waited for begins.
    pub(super) fn resume(
        &mut self,
        retry: &Retry,
        pending: PendingAttempt,
        own: Option<&Context>,
    ) -> Option<Context> {
        let counts = &retry.shared.counts;
        let spent = pending.reservation.map(Reservation::spend);
        match pending.repeats {
            None => {
                counts.retry();
                self.spent = spent;
                self.plan.begin();
            }
            Some(how) => {
                counts.free();
                // What the attempt has cost already is what its end is settled with.
                self.spent = self.spent.take().or(spent);
                self.plan.count_repeat(how);
            }
        }
        self.note_deadlines(own);
        attempt_context(own, self.plan.made())
    }

    /// The attempt that has begun last.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt {
            number: self.plan.made(),
            deadline: self.plan.deadline(),
        }
    }

    /// Looked at again and again: a call may be made in another context than it is polled in, as a buffer does it.
    #[inline]
    fn note_deadlines(&mut self, own: Option<&Context>) {
        self.note_deadline(own.and_then(Context::deadline));
        self.note_deadline(known_deadline());
    }

    /// Notes when the caller is gone and needs no answer.
    #[inline]
    fn note_deadline(&mut self, deadline: Option<Instant>) {
        self.caller_deadline = earlier(self.caller_deadline, deadline);
        if let Some(end) = deadline {
            self.plan.until(end);
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
    pub(super) fn is_last(&self, retry: &Retry) -> bool {
        self.plan.made() >= retry.shared.policy.attempts
    }

    /// An attempt has succeeded.
    #[inline]
    pub(super) fn succeeded(&mut self) -> OpenCall {
        OpenCall {
            spent: self.spent.take(),
            was_repeated: self.plan.was_repeated(),
        }
    }

    /// An attempt has failed, maybe without having been begun by the peer: what comes next, if anything does.
    pub(super) fn failed(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        advice: Advice,
        unsent: Option<Unsent>,
    ) -> Option<PendingAttempt> {
        let now = Moment::default();
        // Time limits that nobody has had to look at yet are moments from here on.
        self.note_deadline(context::deadline());
        if let Some(pending) = unsent.and_then(|how| self.repeat(retry, outcome, how, &now)) {
            return Some(pending);
        }
        settle(self.spent.take(), retry, outcome);
        let counts = &retry.shared.counts;
        match self.next(retry, outcome, advice, &now) {
            Ok(pending) => {
                counts.waits(pending.delay, self.plan.made());
                Some(pending)
            }
            Err(refusal) => {
                if let Some(why) = refusal {
                    counts.refused(why);
                }
                None
            }
        }
    }

    fn repeat(
        &self,
        retry: &Retry,
        outcome: Outcome,
        how: Unsent,
        now: &Moment,
    ) -> Option<PendingAttempt> {
        let reservation = match (self.plan.repeat(how, || now.now())?, retry.budget()) {
            (Repeat::Charged, Some(budget)) => Some(budget.reserve(outcome, now)?),
            _ => None,
        };
        let delay = Duration::ZERO;
        retry.shared.counts.waits_free(delay, self.plan.made());
        Some(PendingAttempt {
            delay,
            reservation,
            repeats: Some(how),
        })
    }

    fn next(
        &mut self,
        retry: &Retry,
        outcome: Outcome,
        advice: Advice,
        now: &Moment,
    ) -> Result<PendingAttempt, Option<Refusal>> {
        let shared = &retry.shared;
        let clock = || now.now();
        let delay = self
            .plan
            .next(advice, clock, &shared.policy, &shared.chance)?;
        // Last, so that nothing is taken for an attempt that cannot be.
        let reservation = match &shared.budget {
            Some(budget) => Some(budget.reserve(outcome, now).ok_or(Some(Refusal::Budget))?),
            None => None,
        };
        Ok(PendingAttempt {
            delay,
            reservation,
            repeats: None,
        })
    }
}

#[inline]
fn settle(spent: Option<Spent>, retry: &Retry, outcome: Outcome) {
    match (spent, retry.budget()) {
        (Some(spent), _) => spent.settle(outcome),
        (None, Some(budget)) => budget.settle(outcome),
        (None, None) => {}
    }
}

/// The answer where the deadline has passed and nothing else is left to answer with.
pub(super) fn too_late(retry: &Retry, why: &'static str) -> Rejection {
    retry.shared.counts.refused(Refusal::Deadline);
    let name = retry.name().to_owned();
    Rejection::new(RejectionKind::DeadlineExceeded, name).reason(why)
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
