//! Decides whether there is another attempt, and when. Pure: no clock, no budget, no metrics.

use std::time::Duration;

use tokio::time::Instant;

use super::{Delays, NotRetried, RetryDecision, RetrySettings};
use crate::{call::NotSent, context::min_some};

/// Resolution of timers: a sleep may end this much late.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// Number of times that a call is sent again at once because the peer never began it. Two idle connections may have
/// been closed at the same time; a call that fails on three is not just unlucky, and continues with normal retries.
const MAX_UNSENT_RETRIES: u32 = 2;

/// The attempts that one call has made, and what it may still do.
#[derive(Debug, Default)]
pub(super) struct AttemptPlan {
    attempts_started: u32,
    unsent_retries: u32,
    refused_by_peer: bool,
    deadline: Option<Instant>,
    /// Made at the first failure, since most calls need none. Boxed, since a call is moved several times before it is
    /// polled.
    delays: Option<Box<Delays>>,
}

impl AttemptPlan {
    pub(super) fn cap_deadline(&mut self, deadline: Instant) {
        self.deadline = min_some(self.deadline, Some(deadline));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the deadline has passed. Reads the clock only if there is a deadline.
    pub(super) fn is_past_deadline(&self, now: impl FnOnce() -> Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now())
    }

    /// Counts an attempt that begins.
    pub(super) fn count_attempt(&mut self) {
        self.attempts_started = self.attempts_started.saturating_add(1);
    }

    /// Returns the number of the latest attempt; 1 for the first.
    pub(super) fn attempt_number(&self) -> u32 {
        self.attempts_started
    }

    /// Returns the wait before another attempt, or why there is none; `None` if none was wanted.
    pub(super) fn plan_retry(
        &mut self,
        decision: RetryDecision,
        now: impl FnOnce() -> Instant,
        settings: &RetrySettings,
        seed: impl FnOnce() -> u64,
    ) -> Result<Duration, Option<NotRetried>> {
        let requested = requested_wait(decision)?;
        // The deadline comes last: its check reads the clock.
        if self.attempts_started >= settings.max_attempts {
            return Err(Some(NotRetried::MaxAttempts));
        }
        if requested.is_some_and(|wait| wait > settings.max_retry_after) {
            return Err(Some(NotRetried::RetryAfter));
        }
        let new_delays = || Box::new(settings.backoff.delays_with_seed(seed()));
        let delay = next_delay(self.delays.get_or_insert_with(new_delays), decision);
        if self.has_time_for(delay, now) {
            Ok(delay)
        } else {
            Err(Some(NotRetried::Deadline))
        }
    }

    /// Returns whether the request may be sent again at once, since the peer never began it.
    ///
    /// A peer that cannot be reached now cannot be reached a moment later either: such a request needs a normal retry.
    pub(super) fn may_retry_unsent(&self, how: NotSent, now: impl FnOnce() -> Instant) -> bool {
        let may = match how {
            NotSent::ClosedIdle => true,
            // The peer may have seen the request: gRPC's proposal A6 allows one such retry.
            NotSent::RefusedByPeer => !self.refused_by_peer,
            NotSent::NoConnection | NotSent::UntrustedPeer | NotSent::Unsendable => false,
        };
        may && self.unsent_retries < MAX_UNSENT_RETRIES && self.has_time_for(Duration::ZERO, now)
    }

    /// Returns whether the next unsent retry takes nothing from the budget: only the first of a call does not.
    pub(super) fn is_unsent_retry_free(&self) -> bool {
        self.unsent_retries == 0
    }

    /// Counts an unsent retry that begins.
    pub(super) fn count_unsent_retry(&mut self, how: NotSent) {
        self.unsent_retries += 1;
        self.refused_by_peer |= how == NotSent::RefusedByPeer;
    }

    /// Returns whether the request was sent more than once.
    pub(super) fn was_retried(&self) -> bool {
        self.attempts_started > 1 || self.unsent_retries > 0
    }

    fn has_time_for(&self, delay: Duration, now: impl FnOnce() -> Instant) -> bool {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(now()));
        // A wait that ends at the deadline leaves no time for the attempt.
        left.is_none_or(|left| delay.saturating_add(TIMER_RESOLUTION) <= left)
    }
}

/// Returns the wait that the peer asks for, if a retry is wanted at all.
fn requested_wait(decision: RetryDecision) -> Result<Option<Duration>, Option<NotRetried>> {
    match decision {
        RetryDecision::Stop => Err(None),
        RetryDecision::NotRepeatable => Err(Some(NotRetried::NotRepeatable)),
        RetryDecision::DeclinedByPeer => Err(Some(NotRetried::RetryAfter)),
        RetryDecision::Retry => Ok(None),
        RetryDecision::After(wait) | RetryDecision::NotBefore(wait) => Ok(Some(wait)),
    }
}

/// Returns the next delay. Jitter is added to waits that a peer asks for, since it asks many callers at once.
fn next_delay(delays: &mut Delays, decision: RetryDecision) -> Duration {
    match decision {
        RetryDecision::After(wait) => {
            // The peer is in charge: if it stops asking, the backoff starts over (gRPC's proposal A6).
            delays.reset();
            wait.saturating_add(delays.next_jitter())
        }
        RetryDecision::NotBefore(wait) => {
            let wait = wait.saturating_add(delays.next_jitter());
            // Taken in any case, so that the backoff grows while the peer asks for short waits.
            wait.max(delays.next_delay())
        }
        _ => delays.next_delay(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Backoff, *};
    use NotSent::{ClosedIdle, NoConnection, RefusedByPeer, Unsendable, UntrustedPeer};
    use proptest::prelude::*;

    /// Sends an unsent request again if that is allowed. Returns whether it was free.
    fn retry_unsent(plan: &mut AttemptPlan, how: NotSent) -> Option<bool> {
        let free = plan.is_unsent_retry_free();
        plan.may_retry_unsent(how, Instant::now).then(|| {
            plan.count_unsent_retry(how);
            free
        })
    }

    #[test]
    fn unsent_retry_is_free_once_then_charged_once() {
        let mut plan = AttemptPlan::default();
        assert_eq!(retry_unsent(&mut plan, ClosedIdle), Some(true));
        assert_eq!(retry_unsent(&mut plan, ClosedIdle), Some(false));
        assert_eq!(retry_unsent(&mut plan, ClosedIdle), None);
        assert!(plan.was_retried());
    }

    #[test]
    fn unsent_retry_after_refusal_by_peer_happens_once() {
        let mut plan = AttemptPlan::default();
        assert_eq!(retry_unsent(&mut plan, RefusedByPeer), Some(true));
        assert_eq!(retry_unsent(&mut plan, RefusedByPeer), None);
        assert_eq!(retry_unsent(&mut plan, ClosedIdle), Some(false));
    }

    #[test]
    fn unsent_retry_needs_a_reachable_peer() {
        for how in [NoConnection, UntrustedPeer, Unsendable] {
            let mut plan = AttemptPlan::default();
            assert_eq!(retry_unsent(&mut plan, how), None, "{how:?}");
            assert!(!plan.was_retried());
        }
    }

    #[test]
    fn unsent_retry_begins_before_the_deadline() {
        let now = Instant::now();
        for (left, may) in [(TIMER_RESOLUTION / 2, false), (TIMER_RESOLUTION, true)] {
            let mut plan = AttemptPlan::default();
            plan.cap_deadline(now + left);
            assert_eq!(plan.may_retry_unsent(ClosedIdle, || now), may);
        }
    }

    #[test]
    fn call_was_retried_after_a_second_attempt() {
        let mut plan = AttemptPlan::default();
        plan.count_attempt();
        assert!(!plan.was_retried());
        plan.count_attempt();
        assert!(plan.was_retried());
        assert_eq!(plan.attempt_number(), 2);
    }

    fn settings(backoff: Backoff, max_retry_after: Duration) -> RetrySettings {
        RetrySettings {
            backoff,
            max_retry_after,
            ..RetrySettings::default()
        }
    }

    #[test]
    fn retry_after_up_to_max_is_honored() {
        let max = Duration::from_secs(1);
        let settings = settings(Backoff::constant(TIMER_RESOLUTION), max);
        for (wait, honored) in [(max, true), (max + TIMER_RESOLUTION, false)] {
            let mut plan = AttemptPlan::default();
            let next = plan.plan_retry(RetryDecision::After(wait), Instant::now, &settings, || 7);
            assert_eq!(
                next,
                if honored {
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
        fn delay_respects_retry_after_backoff_and_deadline(
            wait in 0_u64..2_000, first in 0_u64..500, left in 0_u64..3_000, seed: u64, exactly: bool,
        ) {
            let millis = Duration::from_millis;
            let settings = settings(Backoff::constant(millis(first)), millis(1_000));
            let (mut plan, now) = (AttemptPlan::default(), Instant::now());
            plan.cap_deadline(now + millis(left));
            plan.count_attempt();
            let requested = millis(wait);
            let decision = if exactly { RetryDecision::After(requested) } else { RetryDecision::NotBefore(requested) };
            let expected = if exactly { requested } else { requested.max(millis(first)) };
            let next = plan.plan_retry(decision, || now, &settings, || seed);
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
