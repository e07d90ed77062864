//! What a peer says about how long to stay away, and how far it is believed.

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

/// Each with the most that is believed.
#[derive(Clone, Default)]
pub(super) struct RetryAfterRules {
    pub(super) max_retry_after: Option<Duration>,
    pub(super) head_fn: Option<(Duration, HeadFn)>,
}

impl RetryAfterRules {
    /// Most breakers heed nothing.
    #[inline]
    pub(super) fn is_disabled(&self) -> bool {
        self.max_retry_after.is_none() && self.head_fn.is_none()
    }

    /// How long to stay away, by the head of a response.
    pub(super) fn from_head(&self, head: &Head<'_>) -> Option<Duration> {
        // Not the peer's own: another guard of the call has answered, or a caught panic has.
        if matches!(head.outcome, Outcome::Rejected | Outcome::Panicked) {
            return None;
        }
        let hinted = self.from_peer(head.outcome, || {
            RetryAfter::from_headers(head.headers, SystemTime::now())
        });
        let read = self.head_fn.as_ref().and_then(|(most, read)| {
            let wait = catch_hook(|| read(head)).flatten()?;
            Some(wait.min(*most))
        });
        hinted.max(read)
    }

    /// How long to stay away, by the error of a call.
    pub(super) fn from_end(&self, end: &CallEnd<'_>) -> Option<Duration> {
        self.from_peer(end.outcome(), || retry_after_of(end.error()?))
    }

    /// Good news with a hint are no reason to stay away, nor is "never again": that is about the one call.
    fn from_peer(
        &self,
        outcome: Outcome,
        hint: impl FnOnce() -> Option<RetryAfter>,
    ) -> Option<Duration> {
        let most = self.max_retry_after?;
        let bad = matches!(
            outcome,
            Outcome::Overload | Outcome::Failure | Outcome::TimedOut
        );
        match bad.then(hint).flatten()? {
            RetryAfter::After(wait) | RetryAfter::NotBefore(wait) => Some(wait.min(most)),
            RetryAfter::Never => None,
        }
    }
}

impl fmt::Debug for RetryAfterRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heed")
            .field("retry_after", &self.max_retry_after)
            .field("head", &self.head_fn.as_ref().map(|(most, _)| most))
            .finish()
    }
}
