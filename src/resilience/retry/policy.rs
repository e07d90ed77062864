//! Decides only: whether there is another attempt, and when.

use std::{error::Error, time::Duration};

use tokio::time::Instant;

use super::{Backoff, Chance, Delays};
use crate::{
    call::{Outcome, view},
    protocol::error_verdict,
    resilience::hint::{Hint, hint_of},
};

/// Timers run by the millisecond: a sleep may end this much late.
const TICK: Duration = Duration::from_millis(1);

/// What is to be done about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Another attempt would not help: the error is the answer.
    Stop,
    /// Another attempt, after the backoff.
    Retry,
    /// Another attempt, not before this time has passed; the backoff begins anew.
    After(Duration),
    /// Another attempt might help, but the peer asks for none. Counted as refused.
    ToldNotTo,
    /// Another attempt might help, but the work must not be done twice. Counted as refused.
    NotRepeatable,
}

impl From<bool> for Advice {
    /// Whether to try again.
    fn from(again: bool) -> Self {
        if again { Advice::Retry } else { Advice::Stop }
    }
}

impl From<Hint> for Advice {
    fn from(hint: Hint) -> Self {
        match hint {
            Hint::After(wait) => Advice::After(wait),
            Hint::Never => Advice::ToldNotTo,
        }
    }
}

/// Why there was no further attempt although one might have helped: the label `reason` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// All attempts were made.
    Limit,
    /// The budget is used up.
    Budget,
    /// No time would be left for it.
    Deadline,
    /// The peer asks for none, or for a longer wait than is allowed.
    Hint,
    /// The work must not be done twice.
    NotRepeatable,
    /// The service failed to become ready again.
    NotReady,
}

impl Refusal {
    pub(super) const ALL: [Refusal; 6] = [
        Refusal::Limit,
        Refusal::Budget,
        Refusal::Deadline,
        Refusal::Hint,
        Refusal::NotRepeatable,
        Refusal::NotReady,
    ];

    /// In lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Limit => "limit",
            Refusal::Budget => "budget",
            Refusal::Deadline => "deadline",
            Refusal::Hint => "hint",
            Refusal::NotRepeatable => "not_repeatable",
            Refusal::NotReady => "not_ready",
        }
    }

    /// Its name among the figures of a retry.
    pub(super) const fn figure(self) -> &'static str {
        match self {
            Refusal::Limit => "refused_limit",
            Refusal::Budget => "refused_budget",
            Refusal::Deadline => "refused_deadline",
            Refusal::Hint => "refused_hint",
            Refusal::NotRepeatable => "refused_not_repeatable",
            Refusal::NotReady => "refused_not_ready",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// What every call of a [`Retry`](super::Retry) goes by.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) max_hint: Duration,
    pub(super) within: Option<Duration>,
    pub(super) rejections: bool,
}

impl Policy {
    /// What the outcome alone says.
    fn advise(&self, outcome: Outcome) -> Advice {
        match outcome {
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut => Advice::Retry,
            Outcome::Rejected => self.rejections.into(),
            _ => Advice::Stop,
        }
    }

    /// What the error says, as far as it is known.
    pub(super) fn advise_error(&self, outcome: Outcome, hint: Option<Hint>) -> Advice {
        match (self.advise(outcome), hint) {
            (Advice::Retry, Some(hint)) => hint.into(),
            (advice, _) => advice,
        }
    }
}

/// How an error is judged, and what it says about another attempt.
pub(super) type Judged = (Outcome, Option<Hint>);

pub(super) fn judge_error(error: &(dyn Error + 'static)) -> Judged {
    (error_verdict(error), hint_of(error))
}

pub(super) fn judge_any<E: 'static>(error: &E) -> Judged {
    view(error).map_or((Outcome::Failure, None), judge_error)
}

/// How it is known that nothing has come of a request, so that it may be sent again whatever it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "hyper"),
    expect(dead_code, reason = "only hyper's errors tell so much")
)]
pub(super) enum Unsent {
    /// There was no connection to send it over.
    Unconnected,
    /// The connection was closed before it was begun.
    Unbegun,
    /// It has left, and the peer says that it has done nothing about it.
    Refused,
}

/// How often a call is repeated for free. Two connections may have been stale at once; who cannot get one request
/// through three is no longer unlucky, and goes by attempts and budget like everybody else.
const MOST_FREE: u32 = 2;

/// Where one call stands.
#[derive(Debug, Default)]
pub(super) struct Plan {
    made: u32,
    free: u32,
    refused: bool,
    deadline: Option<Instant>,
    /// Made at the first failure; most calls need none.
    delays: Option<Delays>,
}

impl Plan {
    pub(super) fn until(&mut self, deadline: Instant) {
        let earlier = self.deadline.map_or(deadline, |known| known.min(deadline));
        self.deadline = Some(earlier);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Counts an attempt that begins; the first is 1.
    pub(super) fn begin(&mut self) -> u32 {
        self.made = self.made.saturating_add(1);
        self.made
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// How long to wait before another attempt, or why there is none; `None` if none was wanted.
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
            Advice::After(wait) => Some(wait),
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
        let delay = match hint {
            None => delays.next_delay(),
            // Not sooner than asked, and those who were told the same moment not all at once.
            Some(wait) => wait.saturating_add(delays.next_spread()),
        };
        if self.has_time_for(delay, now) {
            Ok(delay)
        } else {
            Err(Some(Refusal::Deadline))
        }
    }

    /// How long to wait before the same attempt is made again, if it is to be.
    pub(super) fn next_free(
        &mut self,
        how: Unsent,
        now: impl FnOnce() -> Instant,
        policy: &Policy,
        chance: &Chance,
    ) -> Option<Duration> {
        // A peer that refuses may have seen the request: gRPC's proposal A6 allows one such repetition.
        let again = how == Unsent::Refused && self.refused;
        if again || self.free >= MOST_FREE {
            return None;
        }
        let delay = match how {
            // Another connection is at hand, or soon made.
            Unsent::Unbegun | Unsent::Refused => Duration::ZERO,
            // A peer that cannot be reached is not reached a moment later either.
            Unsent::Unconnected => self
                .delays
                .get_or_insert_with(|| policy.backoff.delays_from(chance))
                .next_delay(),
        };
        if !self.has_time_for(delay, now) {
            return None;
        }
        self.free += 1;
        self.refused |= how == Unsent::Refused;
        Some(delay)
    }

    /// Whether it took more than one sending.
    pub(super) fn was_repeated(&self) -> bool {
        self.made > 1 || self.free > 0
    }

    fn has_time_for(&self, delay: Duration, now: impl FnOnce() -> Instant) -> bool {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(now()));
        left.is_none_or(|left| delay.saturating_add(TICK) <= left)
    }
}
