use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    call::{CallEnd, Outcome, catch_hook},
    guard::Head,
    retry_after::{RetryAfter, retry_after_of},
};

type HeadFn = Arc<dyn Fn(&Head<'_>) -> Option<Duration> + Send + Sync>;

/// The answers of a peer that open the circuit, each with the longest time for which it may.
#[derive(Clone, Default)]
pub(super) struct RetryAfterRules {
    pub(super) max_retry_after: Option<Duration>,
    pub(super) head_fn: Option<(Duration, HeadFn)>,
}

impl RetryAfterRules {
    #[inline]
    pub(super) fn is_disabled(&self) -> bool {
        self.max_retry_after.is_none() && self.head_fn.is_none()
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
        let custom = self.head_fn.as_ref().and_then(|(max, read)| {
            let wait = catch_hook(|| read(head)).flatten()?;
            Some(wait.min(*max))
        });
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
        let max = self.max_retry_after?;
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

impl fmt::Debug for RetryAfterRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryAfterRules")
            .field("max_retry_after", &self.max_retry_after)
            .field("head_fn", &self.head_fn.as_ref().map(|(max, _)| max))
            .finish()
    }
}
