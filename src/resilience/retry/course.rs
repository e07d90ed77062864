use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::{
    Reservation, Retry, Spent,
    policy::{Advice, Plan, Policy, Refusal},
};
use crate::call::{Moment, Outcome};

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

/// The course of one call: its plan, and what it has taken from the budget.
#[derive(Debug)]
pub(super) struct Course {
    retry: Retry,
    plan: Plan,
    spent: Option<Spent>,
}

/// The time between two attempts. Dropping it gives the second one back to the budget.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) delay: Duration,
    reservation: Option<Reservation>,
}

impl Pause {
    pub(super) fn sleep(&self) -> Sleep {
        sleep(self.delay)
    }
}

impl Course {
    pub(super) fn new(retry: Retry) -> Self {
        Course {
            retry,
            plan: Plan::default(),
            spent: None,
        }
    }

    pub(super) fn until(&mut self, deadline: Instant) {
        self.plan.until(deadline);
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.retry.shared.policy
    }

    /// The first attempt begins.
    pub(super) fn begin(&mut self) -> Attempt {
        let now = Moment::default();
        let end = self.policy().within;
        if let Some(end) = end.and_then(|within| now.now().checked_add(within)) {
            self.plan.until(end);
        }
        if let Some(budget) = &self.retry.shared.budget {
            budget.request(&now);
        }
        self.attempt()
    }

    /// The attempt after the pause begins.
    pub(super) fn resume(&mut self, pause: Pause) -> Attempt {
        self.spent = pause.reservation.map(Reservation::spend);
        self.attempt()
    }

    fn attempt(&mut self) -> Attempt {
        Attempt {
            number: self.plan.begin(),
            deadline: self.plan.deadline(),
        }
    }

    /// Whether the attempt that has begun is the last there can be.
    pub(super) fn is_last(&self) -> bool {
        self.plan.made() >= self.policy().attempts
    }

    /// The service failed to become ready for the attempt after a pause.
    pub(super) fn not_ready(&self) {
        self.retry.shared.count_refused(Refusal::NotReady);
    }

    /// An attempt has succeeded.
    pub(super) fn succeeded(&mut self) {
        self.settle(Outcome::Success);
        if self.plan.made() > 1 {
            self.retry.shared.count_recovered();
        }
    }

    /// An attempt has failed: what comes before the next, if there is one.
    pub(super) fn failed(&mut self, outcome: Outcome, advice: Advice) -> Option<Pause> {
        self.settle(outcome);
        match self.next(outcome, advice) {
            Ok(pause) => {
                let shared = &self.retry.shared;
                shared.count_retry(pause.delay, self.plan.made());
                Some(pause)
            }
            Err(refusal) => {
                if let Some(why) = refusal {
                    self.retry.shared.count_refused(why);
                }
                None
            }
        }
    }

    fn next(&mut self, outcome: Outcome, advice: Advice) -> Result<Pause, Option<Refusal>> {
        let (now, shared) = (Moment::default(), &self.retry.shared);
        let clock = || now.now();
        let delay = self
            .plan
            .next(advice, clock, &shared.policy, &shared.chance)?;
        // Last, so that nothing is taken for an attempt that cannot be.
        let reservation = match &shared.budget {
            Some(budget) => Some(budget.reserve(outcome, &now).ok_or(Some(Refusal::Budget))?),
            None => None,
        };
        Ok(Pause { delay, reservation })
    }

    fn settle(&mut self, outcome: Outcome) {
        match (self.spent.take(), &self.retry.shared.budget) {
            (Some(spent), _) => spent.settle(outcome),
            (None, Some(budget)) => budget.settle(outcome),
            (None, None) => {}
        }
    }
}
