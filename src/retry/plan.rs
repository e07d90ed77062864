//! Decides only: whether there is another attempt, and when.

use std::time::Duration;

use tokio::time::Instant;

use super::{Advice, Chance, Delays, Refusal, policy::Policy};
use crate::{call::Unsent, context::earlier};

/// Timers run by the millisecond: a sleep may end this much late.
const TICK: Duration = Duration::from_millis(1);

/// Number of times that a request that was never begun is sent again without counting as an attempt. Two connections
/// may have been stale at once; who cannot get one request through three is no longer unlucky, and goes by attempts and
/// budget like everybody else.
const MAX_UNSENT_RETRIES: u32 = 2;

/// Which attempts one call has made, and which it may still make.
#[derive(Debug, Default)]
pub(super) struct AttemptPlan {
    made: u32,
    repeats: u32,
    refused_by_peer: bool,
    deadline: Option<Instant>,
    /// Made at the first failure; most calls need none.
    delays: Option<Delays>,
}

/// How a request that was never begun is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The first repeat of a call takes nothing from the budget.
    Free,
    /// Others do.
    Charged,
}

impl AttemptPlan {
    pub(super) fn until(&mut self, deadline: Instant) {
        self.deadline = earlier(self.deadline, Some(deadline));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the deadline has passed. Does not ask for the time if there is none.
    pub(super) fn is_late(&self, now: impl FnOnce() -> Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now())
    }

    /// Counts an attempt that begins; the first is 1.
    pub(super) fn begin(&mut self) {
        self.made = self.made.saturating_add(1);
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Returns how long to wait before another attempt, or why there is none; `None` if none was wanted.
    pub(super) fn next(
        &mut self,
        advice: Advice,
        now: impl FnOnce() -> Instant,
        policy: &Policy,
        chance: &Chance,
    ) -> Result<Duration, Option<Refusal>> {
        let hint = match advice {
            Advice::Stop => return Err(None),
            Advice::NotRepeatable => return Err(Some(Refusal::NotRepeatable)),
            Advice::ToldNotTo => return Err(Some(Refusal::Hint)),
            Advice::Retry => None,
            Advice::After(wait) | Advice::NotBefore(wait) => Some(wait),
        };
        if self.made >= policy.attempts {
            return Err(Some(Refusal::Limit));
        }
        if hint.is_some_and(|wait| wait > policy.max_hint) {
            return Err(Some(Refusal::Hint));
        }
        let delays = self
            .delays
            .get_or_insert_with(|| policy.backoff.delays_from(chance));
        // Those who were told the same moment do not come all at once.
        let delay = match advice {
            Advice::After(wait) => {
                delays.restart();
                wait.saturating_add(delays.next_spread())
            }
            Advice::NotBefore(wait) => {
                let spread = wait.saturating_add(delays.next_spread());
                spread.max(delays.next_delay())
            }
            _ => delays.next_delay(),
        };
        if self.has_time_for(delay, now) {
            Ok(delay)
        } else {
            Err(Some(Refusal::Deadline))
        }
    }

    /// Returns whether the attempt may be repeated at once, as the peer never began it.
    ///
    /// A peer that cannot be reached is not reached a moment later either: that is an attempt like any other.
    pub(super) fn repeat(&self, how: Unsent, now: impl FnOnce() -> Instant) -> Option<Repeat> {
        let may = match how {
            Unsent::Unbegun => true,
            // It may have seen the request: gRPC's proposal A6 allows one such repetition.
            Unsent::Refused => !self.refused_by_peer,
            Unsent::Unconnected | Unsent::Untrusted | Unsent::NeverLeft => false,
        };
        if !may || self.repeats >= MAX_UNSENT_RETRIES || !self.has_time_for(Duration::ZERO, now) {
            return None;
        }
        Some(match self.repeats {
            0 => Repeat::Free,
            _ => Repeat::Charged,
        })
    }

    /// Counts a repeat that is to begin.
    pub(super) fn count_repeat(&mut self, how: Unsent) {
        self.repeats += 1;
        self.refused_by_peer |= how == Unsent::Refused;
    }

    /// Returns whether it took more than one sending.
    pub(super) fn was_repeated(&self) -> bool {
        self.made > 1 || self.repeats > 0
    }

    fn has_time_for(&self, delay: Duration, now: impl FnOnce() -> Instant) -> bool {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(now()));
        left.is_none_or(|left| delay.saturating_add(TICK) <= left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Unsent::{NeverLeft, Refused, Unbegun, Unconnected, Untrusted};
    use proptest::prelude::*;

    fn repeats(plan: &mut AttemptPlan, how: Unsent) -> Option<Repeat> {
        let repeat = plan.repeat(how, Instant::now);
        if repeat.is_some() {
            plan.count_repeat(how);
        }
        repeat
    }

    #[test]
    fn repeats_are_free_once_charged_once_and_then_no_more() {
        let mut plan = AttemptPlan::default();
        assert_eq!(repeats(&mut plan, Unbegun), Some(Repeat::Free));
        assert_eq!(repeats(&mut plan, Unbegun), Some(Repeat::Charged));
        assert_eq!(repeats(&mut plan, Unbegun), None);
        assert!(plan.was_repeated());
    }

    #[test]
    fn refusal_of_the_peer_is_repeated_once() {
        let mut plan = AttemptPlan::default();
        assert_eq!(repeats(&mut plan, Refused), Some(Repeat::Free));
        assert_eq!(repeats(&mut plan, Refused), None);
        assert_eq!(repeats(&mut plan, Unbegun), Some(Repeat::Charged));
    }

    #[test]
    fn request_that_met_nobody_is_no_free_repeat() {
        for how in [Unconnected, Untrusted, NeverLeft] {
            let mut plan = AttemptPlan::default();
            assert_eq!(repeats(&mut plan, how), None, "{how:?}");
            assert!(!plan.was_repeated());
        }
    }

    #[test]
    fn repeat_begins_before_the_deadline_or_not_at_all() {
        let now = Instant::now();
        for (left, may) in [(TICK / 2, false), (TICK, true)] {
            let mut plan = AttemptPlan::default();
            plan.until(now + left);
            assert_eq!(plan.repeat(Unbegun, || now).is_some(), may);
        }
    }

    #[test]
    fn call_was_repeated_once_it_has_taken_more_than_one_sending() {
        let mut plan = AttemptPlan::default();
        plan.begin();
        assert!(!plan.was_repeated());
        plan.begin();
        assert!(plan.was_repeated());
        assert_eq!(plan.made(), 2);
    }

    #[test]
    fn hint_of_just_as_long_as_is_allowed_is_heeded() {
        let policy = Policy {
            attempts: 3,
            backoff: super::super::Backoff::constant(TICK),
            max_hint: Duration::from_secs(1),
            within: None,
            rejections: false,
        };
        for (wait, heeded) in [(policy.max_hint, true), (policy.max_hint + TICK, false)] {
            let mut plan = AttemptPlan::default();
            let next = plan.next(
                Advice::After(wait),
                Instant::now,
                &policy,
                &Chance::seeded(7),
            );
            assert_eq!(
                next,
                if heeded {
                    Ok(wait)
                } else {
                    Err(Some(Refusal::Hint))
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
            let policy = Policy {
                attempts: 3,
                backoff: super::super::Backoff::constant(millis(first)),
                max_hint: millis(1_000),
                within: None,
                rejections: false,
            };
            let (mut plan, now) = (AttemptPlan::default(), Instant::now());
            plan.until(now + millis(left));
            plan.begin();
            let hint = millis(wait);
            let advice = if exactly { Advice::After(hint) } else { Advice::NotBefore(hint) };
            let expected = if exactly { hint } else { hint.max(millis(first)) };
            let next = plan.next(advice, || now, &policy, &Chance::seeded(seed));
            if wait > 1_000 {
                prop_assert_eq!(next, Err(Some(Refusal::Hint)));
            } else if expected + TICK > millis(left) {
                prop_assert_eq!(next, Err(Some(Refusal::Deadline)));
            } else {
                prop_assert_eq!(next, Ok(expected));
            }
        }
    }
}
