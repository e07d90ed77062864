//! Decides only: which attempts that failed are worth another one.

use std::{error::Error, time::Duration};

use super::{Backoff, RetryAfter, RetryDecision};
use crate::{
    call::{NotSent, Outcome, as_std_error, not_sent},
    protocol::error_outcome,
    retry_after::retry_after_of,
};

/// What every call of a [`Retry`](super::Retry) goes by.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) max_retry_after: Duration,
    pub(super) max_elapsed: Option<Duration>,
    pub(super) retry_rejections: bool,
}

impl RetryConfig {
    /// Returns what an outcome means for the next attempt, with the error that the attempt ended in and what was read
    /// of the response.
    #[inline]
    pub(super) fn decide(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
        hint: Option<RetryAfter>,
    ) -> RetryDecision {
        match outcome {
            Outcome::Success => RetryDecision::Stop,
            _ => self.decide_after_failure(outcome, error, hint),
        }
    }

    fn decide_after_failure(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
        hint: Option<RetryAfter>,
    ) -> RetryDecision {
        let again = match outcome {
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut => true,
            Outcome::Rejected => self.retry_rejections,
            _ => false,
        };
        let may_pass = |error| not_sent(error).is_none_or(NotSent::is_retryable);
        if !again || !error.is_none_or(may_pass) {
            return RetryDecision::Stop;
        }
        let hint = hint.or_else(|| error.and_then(retry_after_of));
        hint.map_or(RetryDecision::Retry, RetryDecision::from)
    }

    pub(super) fn classify_error(&self, error: &(dyn Error + 'static)) -> (Outcome, RetryDecision) {
        let outcome = error_outcome(error);
        (outcome, self.decide(outcome, Some(error), None))
    }

    /// Judges an error of a type that may not be known.
    pub(super) fn classify_any_error<E: 'static>(&self, error: &E) -> (Outcome, RetryDecision) {
        match as_std_error(error) {
            Some(error) => self.classify_error(error),
            None => (Outcome::Failure, self.decide(Outcome::Failure, None, None)),
        }
    }
}

#[cfg(test)]
mod tests;
