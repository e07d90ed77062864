//! What a peer says about how long to stay away, and how far it is believed.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    call::{End, Outcome, quietly},
    guard::Head,
    retry_after::{Hint, hint_of},
};

type ReadHead = Arc<dyn Fn(&Head<'_>) -> Option<Duration> + Send + Sync>;

/// Each with the most that is believed.
#[derive(Clone, Default)]
pub(super) struct Heed {
    pub(super) retry_after: Option<Duration>,
    pub(super) head: Option<(Duration, ReadHead)>,
}

impl Heed {
    /// Most breakers heed nothing.
    #[inline]
    pub(super) fn is_off(&self) -> bool {
        self.retry_after.is_none() && self.head.is_none()
    }

    /// How long to stay away, by the head of a response.
    pub(super) fn at_head(&self, head: &Head<'_>) -> Option<Duration> {
        // Not the peer's own: another guard of the call has answered, or a caught panic has.
        if matches!(head.outcome, Outcome::Rejected | Outcome::Panicked) {
            return None;
        }
        let hinted = self.hinted(head.outcome, || {
            Hint::from_headers(head.headers, SystemTime::now())
        });
        let read = self.head.as_ref().and_then(|(most, read)| {
            let wait = quietly(|| read(head)).flatten()?;
            Some(wait.min(*most))
        });
        hinted.max(read)
    }

    /// How long to stay away, by the error of a call.
    pub(super) fn at_end(&self, end: &End<'_>) -> Option<Duration> {
        self.hinted(end.outcome(), || hint_of(end.error()?))
    }

    /// Good news with a hint are no reason to stay away, nor is "never again": that is about the one call.
    fn hinted(&self, outcome: Outcome, hint: impl FnOnce() -> Option<Hint>) -> Option<Duration> {
        let most = self.retry_after?;
        let bad = matches!(
            outcome,
            Outcome::Overload | Outcome::Failure | Outcome::TimedOut
        );
        match bad.then(hint).flatten()? {
            Hint::After(wait) | Hint::NotBefore(wait) => Some(wait.min(most)),
            Hint::Never => None,
        }
    }
}

impl fmt::Debug for Heed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heed")
            .field("retry_after", &self.retry_after)
            .field("head", &self.head.as_ref().map(|(most, _)| most))
            .finish()
    }
}
