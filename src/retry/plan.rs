//! Decides only: whether there is another attempt, and when.

use std::time::Duration;

use tokio::time::Instant;

use super::{Delays, JitterRng, NotRetried, RetryDecision, policy::RetryConfig};
use crate::{call::NotSent, context::min_some};

/// Timers run by the millisecond: a sleep may end this much late.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// Number of times that a request that was never begun is sent again without counting as an attempt. Two connections
/// may have been stale at once; who cannot get one request through three is no longer unlucky, and goes by attempts and
/// budget like everybody else.
const MAX_UNSENT_RETRIES: u32 = 2;

/// Which attempts one call has made, and which it may still make.
#[derive(Debug, Default)]
pub(super) struct AttemptPlan {
    attempts_started: u32,
    unsent_retries: u32,
    refused_by_peer: bool,
    deadline: Option<Instant>,
    /// Made at the first failure; most calls need none.
    delays: Option<Delays>,
}

/// How a request that was never begun is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnsentRetry {
    /// The first repeat of a call takes nothing from the budget.
    Free,
    /// Others do.
    Charged,
}

impl AttemptPlan {
    pub(super) fn cap_deadline(&mut self, deadline: Instant) {
        self.deadline = min_some(self.deadline, Some(deadline));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the deadline has passed. Does not ask for the time if there is none.
    pub(super) fn is_past_deadline(&self, now: impl FnOnce() -> Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now())
    }

    /// Counts an attempt that begins; the first is 1.
    pub(super) fn count_attempt(&mut self) {
        self.attempts_started = self.attempts_started.saturating_add(1);
    }

    pub(super) fn attempt_number(&self) -> u32 {
        self.attempts_started
    }

    /// Returns how long to wait before another attempt, or why there is none; `None` if none was wanted.
    pub(super) fn plan_retry(
        &mut self,
        advice: RetryDecision,
        now: impl FnOnce() -> Instant,
        policy: &RetryConfig,
        chance: &JitterRng,
    ) -> Result<Duration, Option<NotRetried>> {
        let hint = match advice {
            RetryDecision::Stop => return Err(None),
            RetryDecision::NotRepeatable => return Err(Some(NotRetried::NotRepeatable)),
            RetryDecision::DeclinedByPeer => return Err(Some(NotRetried::RetryAfter)),
            RetryDecision::Retry => None,
            RetryDecision::After(wait) | RetryDecision::NotBefore(wait) => Some(wait),
        };
        if self.attempts_started >= policy.max_attempts {
            return Err(Some(NotRetried::MaxAttempts));
        }
        if hint.is_some_and(|wait| wait > policy.max_retry_after) {
            return Err(Some(NotRetried::RetryAfter));
        }
        let delays = self
            .delays
            .get_or_insert_with(|| policy.backoff.delays_from(chance));
        // Those who were told the same moment do not come all at once.
        let delay = match advice {
            RetryDecision::After(wait) => {
                delays.reset();
                wait.saturating_add(delays.next_jitter())
            }
            RetryDecision::NotBefore(wait) => {
                let spread = wait.saturating_add(delays.next_jitter());
                spread.max(delays.next_delay())
            }
            _ => delays.next_delay(),
        };
        if self.has_time_for(delay, now) {
            Ok(delay)
        } else {
            Err(Some(NotRetried::Deadline))
        }
    }

    /// Returns whether the attempt may be repeated at once, as the peer never began it.
    ///
    /// A peer that cannot be reached is not reached a moment later either: that is an attempt like any other.
    pub(super) fn plan_unsent_retry(
        &self,
        how: NotSent,
        now: impl FnOnce() -> Instant,
    ) -> Option<UnsentRetry> {
        let may = match how {
            NotSent::ClosedIdle => true,
            // It may have seen the request: gRPC's proposal A6 allows one such repetition.
            NotSent::RefusedByPeer => !self.refused_by_peer,
            NotSent::NoConnection | NotSent::UntrustedPeer | NotSent::Unsendable => false,
        };
        if !may
            || self.unsent_retries >= MAX_UNSENT_RETRIES
            || !self.has_time_for(Duration::ZERO, now)
        {
            return None;
        }
        Some(match self.unsent_retries {
            0 => UnsentRetry::Free,
            _ => UnsentRetry::Charged,
        })
    }

    /// Counts a repeat that is to begin.
    pub(super) fn count_unsent_retry(&mut self, how: NotSent) {
        self.unsent_retries += 1;
        self.refused_by_peer |= how == NotSent::RefusedByPeer;
    }

    /// Returns whether it took more than one sending.
    pub(super) fn was_retried(&self) -> bool {
        self.attempts_started > 1 || self.unsent_retries > 0
    }

    fn has_time_for(&self, delay: Duration, now: impl FnOnce() -> Instant) -> bool {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(now()));
        left.is_none_or(|left| delay.saturating_add(TIMER_RESOLUTION) <= left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NotSent::{ClosedIdle, NoConnection, RefusedByPeer, Unsendable, UntrustedPeer};
    use proptest::prelude::*;

    fn repeats(plan: &mut AttemptPlan, how: NotSent) -> Option<UnsentRetry> {
        let repeat = plan.plan_unsent_retry(how, Instant::now);
        if repeat.is_some() {
            plan.count_unsent_retry(how);
        }
        repeat
    }

    #[test]
    fn repeats_are_free_once_charged_once_and_then_no_more() {
        let mut plan = AttemptPlan::default();
        assert_eq!(repeats(&mut plan, ClosedIdle), Some(UnsentRetry::Free));
        assert_eq!(repeats(&mut plan, ClosedIdle), Some(UnsentRetry::Charged));
        assert_eq!(repeats(&mut plan, ClosedIdle), None);
        assert!(plan.was_retried());
    }

    #[test]
    fn refusal_of_the_peer_is_repeated_once() {
        let mut plan = AttemptPlan::default();
        assert_eq!(repeats(&mut plan, RefusedByPeer), Some(UnsentRetry::Free));
        assert_eq!(repeats(&mut plan, RefusedByPeer), None);
        assert_eq!(repeats(&mut plan, ClosedIdle), Some(UnsentRetry::Charged));
    }

    #[test]
    fn request_that_met_nobody_is_no_free_repeat() {
        for how in [NoConnection, UntrustedPeer, Unsendable] {
            let mut plan = AttemptPlan::default();
            assert_eq!(repeats(&mut plan, how), None, "{how:?}");
            assert!(!plan.was_retried());
        }
    }

    #[test]
    fn repeat_begins_before_the_deadline_or_not_at_all() {
        let now = Instant::now();
        for (left, may) in [(TIMER_RESOLUTION / 2, false), (TIMER_RESOLUTION, true)] {
            let mut plan = AttemptPlan::default();
            plan.cap_deadline(now + left);
            assert_eq!(plan.plan_unsent_retry(ClosedIdle, || now).is_some(), may);
        }
    }

    #[test]
    fn call_was_repeated_once_it_has_taken_more_than_one_sending() {
        let mut plan = AttemptPlan::default();
        plan.count_attempt();
        assert!(!plan.was_retried());
        plan.count_attempt();
        assert!(plan.was_retried());
        assert_eq!(plan.attempt_number(), 2);
    }

    #[test]
    fn hint_of_just_as_long_as_is_allowed_is_heeded() {
        let policy = RetryConfig {
            max_attempts: 3,
            backoff: super::super::Backoff::constant(TIMER_RESOLUTION),
            max_retry_after: Duration::from_secs(1),
            max_elapsed: None,
            retry_rejections: false,
        };
        for (wait, heeded) in [
            (policy.max_retry_after, true),
            (policy.max_retry_after + TIMER_RESOLUTION, false),
        ] {
            let mut plan = AttemptPlan::default();
            let next = plan.plan_retry(
                RetryDecision::After(wait),
                Instant::now,
                &policy,
                &JitterRng::from_seed(7),
            );
            assert_eq!(
                next,
                if heeded {
                    Ok(wait)
                } else {
                    Err(Some(NotRetried::RetryAfter))
                }
            );
        }
    }

    proptest! {
        /// Never sooner than the peer asks for, and never later than the deadline.
        #[test]
        fn wait_keeps_to_hint_backoff_and_deadline(
            wait in 0_u64..2_000, first in 0_u64..500, left in 0_u64..3_000, seed: u64, exactly: bool,
        ) {
            let millis = Duration::from_millis;
            let policy = RetryConfig {
                max_attempts: 3,
                backoff: super::super::Backoff::constant(millis(first)),
                max_retry_after: millis(1_000),
                max_elapsed: None,
                retry_rejections: false,
            };
            let (mut plan, now) = (AttemptPlan::default(), Instant::now());
            plan.cap_deadline(now + millis(left));
            plan.count_attempt();
            let hint = millis(wait);
            let advice = if exactly { RetryDecision::After(hint) } else { RetryDecision::NotBefore(hint) };
            let expected = if exactly { hint } else { hint.max(millis(first)) };
            let next = plan.plan_retry(advice, || now, &policy, &JitterRng::from_seed(seed));
            if wait > 1_000 {
                prop_assert_eq!(next, Err(Some(NotRetried::RetryAfter)));
            } else if expected + TIMER_RESOLUTION > millis(left) {
                prop_assert_eq!(next, Err(Some(NotRetried::Deadline)));
            } else {
                prop_assert_eq!(next, Ok(expected));
            }
        }
    }
}
