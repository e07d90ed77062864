use std::time::{Duration, SystemTime};

use super::head_rule::HeadRule;
use crate::{
    call::{CallEnd, Outcome, SharedDuration},
    guard::Head,
    retry_after::{RetryAfter, retry_after_of},
};

/// The answers of a peer that open the circuit, each with the longest time for which it may.
#[derive(Debug)]
pub(super) struct RetryAfterRules {
    pub(super) max_retry_after: SharedDuration,
    head_rule: Option<HeadRule>,
}

impl RetryAfterRules {
    pub(super) fn new(max_retry_after: Option<Duration>, head_rule: Option<HeadRule>) -> Self {
        RetryAfterRules {
            max_retry_after: SharedDuration::new(max_retry_after),
            head_rule,
        }
    }

    #[inline]
    pub(super) fn is_disabled(&self) -> bool {
        !self.max_retry_after.is_some() && self.head_rule.is_none()
    }

    /// Returns for how long to open the circuit by the head of a response.
    pub(super) fn head_wait(&self, head: &Head<'_>) -> Option<Duration> {
        // The peer has not sent these: another guard of the call has, or the handler of a panic.
        if matches!(head.outcome, Outcome::Rejected | Outcome::Panicked) {
            return None;
        }
        let retry_after = self.failure_wait(head.outcome, || {
            RetryAfter::from_headers(head.headers, SystemTime::now())
        });
        let custom = self.head_rule.as_ref().and_then(|rule| rule.wait(head));
        // Where both say something, the longer time holds; `None` is less than any.
        retry_after.max(custom)
    }

    /// Returns for how long to open the circuit by the error of a call.
    pub(super) fn end_wait(&self, end: &CallEnd<'_>) -> Option<Duration> {
        self.failure_wait(end.outcome(), || retry_after_of(end.error()?))
    }

    /// Returns what a failure asks for. A success is no reason to open, nor is `Never`: that is about one call.
    fn failure_wait(
        &self,
        outcome: Outcome,
        read: impl FnOnce() -> Option<RetryAfter>,
    ) -> Option<Duration> {
        let max = self.max_retry_after.get()?;
        let is_failure = matches!(
            outcome,
            Outcome::Overload | Outcome::Failure | Outcome::TimedOut
        );
        match is_failure.then(read).flatten()? {
            RetryAfter::After(wait) | RetryAfter::NotBefore(wait) => Some(wait.min(max)),
            RetryAfter::Never => None,
        }
    }
}
