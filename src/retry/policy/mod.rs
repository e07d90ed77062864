//! Decides only: which attempts that failed are worth another one.

use std::{error::Error, time::Duration};

use super::{Advice, Backoff, Hint};
use crate::{
    call::{Outcome, Unsent, unsent, view},
    protocol::error_verdict,
    retry_after::hint_of,
};

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
    /// Returns what an outcome means for the next attempt, with the error that the attempt ended in and what was read
    /// of the response.
    #[inline]
    pub(super) fn advise(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
        hint: Option<Hint>,
    ) -> Advice {
        match outcome {
            Outcome::Success => Advice::Stop,
            _ => self.advise_failed(outcome, error, hint),
        }
    }

    fn advise_failed(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
        hint: Option<Hint>,
    ) -> Advice {
        let again = match outcome {
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut => true,
            Outcome::Rejected => self.rejections,
            _ => false,
        };
        let may_pass = |error| unsent(error).is_none_or(Unsent::may_pass_later);
        if !again || !error.is_none_or(may_pass) {
            return Advice::Stop;
        }
        let hint = hint.or_else(|| error.and_then(hint_of));
        hint.map_or(Advice::Retry, Advice::from)
    }

    pub(super) fn judge_error(&self, error: &(dyn Error + 'static)) -> (Outcome, Advice) {
        let outcome = error_verdict(error);
        (outcome, self.advise(outcome, Some(error), None))
    }

    /// Judges an error of a type that may not be known.
    pub(super) fn judge_any<E: 'static>(&self, error: &E) -> (Outcome, Advice) {
        match view(error) {
            Some(error) => self.judge_error(error),
            None => (Outcome::Failure, self.advise(Outcome::Failure, None, None)),
        }
    }
}

#[cfg(test)]
mod tests;
