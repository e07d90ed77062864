use std::{borrow::Borrow, fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, Sleep, sleep};

use super::{
    Reservation, Retry, Spent,
    policy::{Advice, Plan, Policy, Refusal, Unsent},
    settings::Shared,
};
use crate::{
    call::{Moment, Outcome, Rejection, RejectionKind},
    context::{self, Context},
    observe::context::known_deadline,
};

/// Which attempt it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    number: u32,
    deadline: Option<Instant>,
}

impl Attempt {
    /// 1 for the first.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether there was one before.
    pub fn is_retry(&self) -> bool {
        self.number > 1
    }

    /// When no further attempt will begin, if that is known; as good a time to give this one up.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// What all calls of a layer share: the retry, and how their requests are read. One thing, since a reference counted is
/// a good part of what a call costs that succeeds at once.
pub(super) struct Planned<P>(Arc<(Retry, P)>);

impl<P> Planned<P> {
    pub(super) fn new(retry: Retry, rules: P) -> Self {
        Planned(Arc::new((retry, rules)))
    }

    pub(super) fn retry(&self) -> &Retry {
        &self.0.0
    }

    pub(super) fn rules(&self) -> &P {
        &self.0.1
    }
}

impl<P> Clone for Planned<P> {
    fn clone(&self) -> Self {
        Planned(self.0.clone())
    }
}

impl<P> Borrow<Retry> for Planned<P> {
    fn borrow(&self) -> &Retry {
        self.retry()
    }
}

impl<P> fmt::Debug for Planned<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.retry().fmt(f)
    }
}

/// The course of one call: its plan, and what it has taken from the budget.
#[derive(Debug)]
pub(super) struct Course<R = Retry> {
    retry: R,
    plan: Plan,
    /// When whoever has made the call stops waiting for it, if that is known: no matter of settings.
    caller_leaves: Option<Instant>,
    spent: Option<Spent>,
}

/// The time between two attempts. Dropping it gives the second one back to the budget.
#[derive(Debug)]
pub(super) struct Pause {
    delay: Duration,
    then: Then,
}

/// What comes after a pause.
#[derive(Debug)]
enum Then {
    /// Another attempt, and what was taken for it.
    Another(Option<Reservation>),
    /// The same attempt once more: nothing has come of it.
    Same,
}

impl Pause {
    /// None where there is nothing to wait for.
    pub(super) fn sleep(&self) -> Option<Sleep> {
        let at_once = self.delay.is_zero() && matches!(self.then, Then::Same);
        (!at_once).then(|| sleep(self.delay))
    }
}

/// An attempt that is to begin, and the context it has to run in if that is not the current one as it is.
pub(super) type Start = (Attempt, Option<Context>);

impl<P> Course<Planned<P>> {
    pub(super) fn rules(&self) -> &P {
        self.retry.rules()
    }
}

impl<R: Borrow<Retry>> Course<R> {
    pub(super) fn new(retry: R) -> Self {
        Course {
            retry,
            plan: Plan::default(),
            caller_leaves: None,
            spent: None,
        }
    }

    fn shared(&self) -> &Shared {
        &self.retry.borrow().shared
    }

    pub(super) fn until(&mut self, deadline: Instant) {
        self.plan.until(deadline);
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.shared().policy
    }

    /// The first attempt begins, of a call that takes at most so long. A request may bring a context of its own.
    pub(super) fn begin(&mut self, limit: Option<Duration>, own: Option<&Context>) -> Start {
        let now = Moment::default();
        let after = |time: Duration| now.now().checked_add(time);
        if let Some(end) = self.policy().within.and_then(after) {
            self.plan.until(end);
        }
        if let Some(end) = limit.and_then(after) {
            self.caller_leaves_at(end);
        }
        if let Some(budget) = &self.shared().budget {
            budget.request(&now);
        }
        self.plan.begin();
        self.start(own)
    }

    /// The attempt after the pause begins.
    pub(super) fn resume(&mut self, pause: Pause, own: Option<&Context>) -> Start {
        let counts = &self.shared().counts;
        match pause.then {
            Then::Another(reservation) => {
                counts.retry();
                self.spent = reservation.map(Reservation::spend);
                self.plan.begin();
            }
            Then::Same => counts.free(),
        }
        self.start(own)
    }

    /// The attempt that has begun last.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt {
            number: self.plan.made(),
            deadline: self.plan.deadline(),
        }
    }

    fn start(&mut self, own: Option<&Context>) -> Start {
        self.heed(own.and_then(Context::deadline));
        self.heed(known_deadline());
        let attempt = self.attempt();
        (attempt, numbered(own, attempt.number))
    }

    /// Whoever is gone by then needs no answer. Looked at again and again: a call may be made in another context than
    /// it is polled in, as a buffer does it.
    fn heed(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.caller_leaves_at(deadline);
        }
    }

    fn caller_leaves_at(&mut self, end: Instant) {
        self.caller_leaves = self
            .caller_leaves
            .map_or(Some(end), |known| Some(known.min(end)));
        self.plan.until(end);
    }

    /// How long the caller still waits, if that is known.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let end = self.caller_leaves?;
        Some(end.saturating_duration_since(Instant::now()))
    }

    /// Whether the attempt that has begun is the last there can be.
    pub(super) fn is_last(&self) -> bool {
        self.plan.made() >= self.policy().attempts
    }

    /// No attempt begins after it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.plan.deadline()
    }

    /// The service did not become ready for the attempt after a pause.
    pub(super) fn not_ready(&self, why: Refusal) {
        self.shared().counts.refused(why);
    }

    /// The answer where the deadline has passed and nothing else is left to answer with.
    pub(super) fn too_late(&self) -> Rejection {
        let name = self.shared().counts.name().to_owned();
        Rejection::new(RejectionKind::DeadlineExceeded, name)
            .reason("the service was not ready in time")
    }

    /// An attempt has succeeded.
    pub(super) fn succeeded(&mut self) {
        self.settle(Outcome::Success);
        if self.plan.was_repeated() {
            self.shared().counts.recovered();
        }
    }

    /// An attempt has failed: what comes before the next, if there is one.
    pub(super) fn failed(&mut self, outcome: Outcome, advice: Advice) -> Option<Pause> {
        self.settle(outcome);
        // Time limits that nobody has had to look at yet are moments from here on.
        self.heed(context::deadline());
        match self.next(outcome, advice) {
            Ok(pause) => {
                let shared = self.shared();
                shared.counts.waits(pause.delay, self.plan.made());
                Some(pause)
            }
            Err(refusal) => {
                if let Some(why) = refusal {
                    self.shared().counts.refused(why);
                }
                None
            }
        }
    }

    /// Nothing has come of an attempt: what comes before it is repeated for free, if it may be.
    pub(super) fn unsent(&mut self, how: Unsent) -> Option<Pause> {
        self.heed(None);
        let shared = &self.retry.borrow().shared;
        let (policy, chance) = (&shared.policy, &shared.chance);
        let delay = self.plan.next_free(how, Instant::now, policy, chance)?;
        shared.counts.waits_free(delay, self.plan.made());
        let then = Then::Same;
        Some(Pause { delay, then })
    }

    fn next(&mut self, outcome: Outcome, advice: Advice) -> Result<Pause, Option<Refusal>> {
        let (now, shared) = (Moment::default(), &self.retry.borrow().shared);
        let clock = || now.now();
        let delay = self
            .plan
            .next(advice, clock, &shared.policy, &shared.chance)?;
        // Last, so that nothing is taken for an attempt that cannot be.
        let reservation = match &shared.budget {
            Some(budget) => Some(budget.reserve(outcome, &now).ok_or(Some(Refusal::Budget))?),
            None => None,
        };
        let then = Then::Another(reservation);
        Ok(Pause { delay, then })
    }

    fn settle(&mut self, outcome: Outcome) {
        match (self.spent.take(), &self.shared().budget) {
            (Some(spent), _) => spent.settle(outcome),
            (None, Some(budget)) => budget.settle(outcome),
            (None, None) => {}
        }
    }
}

/// The call's context with the attempt's number: that of the request, else the current one. None is needed where the
/// number is right already, as it is for most first attempts.
fn numbered(own: Option<&Context>, number: u32) -> Option<Context> {
    Context::with_current(|current| {
        let call = own.or(current)?;
        let other = |context: &Context| context.attempt() != number;
        (other(call) || current.is_some_and(other)).then(|| call.with_attempt(number))
    })
}
