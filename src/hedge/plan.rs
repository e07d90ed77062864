//! Decides whether another attempt is sent beside those that run. Pure: no clock, no budget, no metrics.

use std::time::Duration;

use crate::{call::Outcome, retry::RetryDecision};

/// The attempts of one call, and what it may still do.
#[derive(Debug, Default)]
pub(super) struct HedgePlan {
    /// 0 before the call has begun.
    max_attempts: u32,
    started: u32,
    running: u32,
    /// The time after an attempt at which the next is sent; `None` if none is sent because of the time.
    delay: Option<Duration>,
    /// `true` once nothing may follow.
    is_stopped: bool,
    /// `true` while the next attempt waits because the peer has asked for it.
    is_held_back: bool,
}

/// The step that follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// The failure is the result of the call.
    Return,
    /// Another attempt may still have a result.
    Wait,
    /// Another attempt may still have a result, and the peer asks for no further attempt before this time has passed.
    WaitFor(Duration),
    /// The next attempt is sent at once.
    Hedge,
}

impl HedgePlan {
    pub(super) fn new(max_attempts: u32, delay: Option<Duration>) -> Self {
        HedgePlan {
            max_attempts,
            delay: delay.filter(|_| max_attempts > 1),
            ..HedgePlan::default()
        }
    }

    /// Counts an attempt that begins. Returns its number, from 1.
    pub(super) fn start(&mut self) -> u32 {
        self.started += 1;
        self.running += 1;
        self.started
    }

    /// Counts the end of an attempt.
    pub(super) fn end(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Decides what follows an attempt that has ended with a failure.
    ///
    /// A rejection by a guard of this process is no result while an attempt may have one: the peer was not asked.
    pub(super) fn after_failure(
        &mut self,
        outcome: Outcome,
        decision: RetryDecision,
    ) -> AfterFailure {
        let is_rejected = outcome == Outcome::Rejected;
        let may_hedge = self.may_start() && !is_rejected && !self.is_held_back;
        let wait = match decision {
            RetryDecision::Retry if may_hedge => return AfterFailure::Hedge,
            RetryDecision::Stop if !is_rejected => return AfterFailure::Return,
            RetryDecision::After(wait) | RetryDecision::NotBefore(wait) => Some(wait),
            RetryDecision::DeclinedByPeer | RetryDecision::NotRepeatable => {
                self.stop();
                None
            }
            RetryDecision::Retry | RetryDecision::Stop => None,
        };
        match wait {
            // Waits are for a retry further out.
            _ if self.running == 0 => AfterFailure::Return,
            Some(wait) if self.may_start() => {
                self.is_held_back = true;
                AfterFailure::WaitFor(wait)
            }
            _ => AfterFailure::Wait,
        }
    }

    /// Returns the time after the latest attempt at which the next is sent.
    #[inline]
    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay.filter(|_| self.may_start())
    }

    /// Sends no attempt because of the time any more. A failure may still be followed by one.
    pub(super) fn stop_timer(&mut self) {
        self.delay = None;
    }

    /// Counts the time for which the peer has asked as over.
    pub(super) fn end_wait(&mut self) {
        self.is_held_back = false;
    }

    /// Sends no further attempt.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Ends the call: nothing runs, and nothing follows.
    pub(super) fn abandon(&mut self) {
        self.stop();
        self.running = 0;
    }

    pub(super) fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    pub(super) fn started(&self) -> u32 {
        self.started
    }

    #[inline]
    pub(super) fn is_running(&self) -> bool {
        self.running > 0
    }

    #[inline]
    fn may_start(&self) -> bool {
        self.started < self.max_attempts && !self.is_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AfterFailure::{Hedge, Return, Wait, WaitFor};
    use RetryDecision::{DeclinedByPeer, NotBefore, NotRepeatable, Retry, Stop};

    const SECOND: Duration = Duration::from_secs(1);

    /// Plans a call with so many attempts at most, of which so many were started, and all but one run.
    fn plan(max_attempts: u32, started: u32) -> HedgePlan {
        let mut plan = HedgePlan::new(max_attempts, Some(SECOND));
        (0..started).for_each(|_| {
            plan.start();
        });
        plan.end();
        plan
    }

    fn after(mut plan: HedgePlan, outcome: Outcome, decision: RetryDecision) -> AfterFailure {
        plan.after_failure(outcome, decision)
    }

    #[test]
    fn failure_is_followed_by_the_next_attempt_at_once() {
        assert_eq!(after(plan(2, 1), Outcome::Failure, Retry), Hedge);
        assert_eq!(after(plan(3, 2), Outcome::TimedOut, Retry), Hedge);
        assert_eq!(after(plan(1, 1), Outcome::Failure, Retry), Return);
    }

    #[test]
    fn failure_waits_for_the_attempts_that_run() {
        assert_eq!(after(plan(2, 2), Outcome::Failure, Retry), Wait);
        let mut plan = plan(2, 2);
        plan.end();
        assert_eq!(after(plan, Outcome::Failure, Retry), Return);
    }

    #[test]
    fn fatal_failure_is_the_result_whatever_runs() {
        for (max, started) in [(1, 1), (2, 1), (2, 2), (3, 3)] {
            let next = after(plan(max, started), Outcome::ClientError, Stop);
            assert_eq!(next, Return);
        }
    }

    #[test]
    fn rejection_is_the_result_only_if_nothing_runs() {
        for decision in [Stop, Retry] {
            assert_eq!(after(plan(3, 2), Outcome::Rejected, decision), Wait);
            assert_eq!(after(plan(3, 1), Outcome::Rejected, decision), Return);
        }
    }

    #[test]
    fn peer_that_asks_to_wait_is_heeded_while_another_attempt_runs() {
        let wait = NotBefore(SECOND);
        assert_eq!(after(plan(3, 2), Outcome::Overload, wait), WaitFor(SECOND));
        assert_eq!(after(plan(2, 2), Outcome::Overload, wait), Wait);
        assert_eq!(after(plan(3, 1), Outcome::Overload, wait), Return);
    }

    #[test]
    fn peer_that_asks_to_wait_is_heeded_whatever_fails_meanwhile() {
        let (mut plan, mut other) = (plan(5, 3), plan(5, 2));
        let wait = NotBefore(SECOND);
        assert_eq!(plan.after_failure(Outcome::Overload, wait), WaitFor(SECOND));
        plan.end();
        assert_eq!(plan.after_failure(Outcome::Failure, Retry), Wait);
        // It goes on as before once that time has passed.
        plan.end_wait();
        assert_eq!(plan.after_failure(Outcome::Failure, Retry), Hedge);
        other.after_failure(Outcome::Overload, wait);
        other.end();
        assert_eq!(other.after_failure(Outcome::Failure, Retry), Return);
    }

    #[test]
    fn peer_that_declines_ends_the_hedges() {
        for decision in [DeclinedByPeer, NotRepeatable] {
            let mut plan = plan(3, 2);
            assert_eq!(plan.delay(), Some(SECOND));
            assert_eq!(plan.after_failure(Outcome::Failure, decision), Wait);
            assert_eq!(plan.delay(), None);
            plan.end();
            assert_eq!(plan.after_failure(Outcome::Failure, Retry), Return);
        }
    }

    #[test]
    fn delay_holds_until_all_attempts_have_begun() {
        assert_eq!(HedgePlan::new(1, Some(SECOND)).delay(), None);
        let mut plan = HedgePlan::new(2, Some(SECOND));
        assert_eq!((plan.start(), plan.delay()), (1, Some(SECOND)));
        assert_eq!((plan.start(), plan.delay()), (2, None));
        let mut plan = HedgePlan::new(3, Some(SECOND));
        plan.start();
        plan.stop_timer();
        assert_eq!(plan.delay(), None);
        plan.end();
        assert_eq!(plan.after_failure(Outcome::Failure, Retry), Hedge);
    }
}
