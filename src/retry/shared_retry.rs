use std::{fmt, sync::Arc};

use super::Retry;

/// What all calls of a layer share: the retry, and how their requests are read. One thing, since a reference counted is
/// a good part of what a call costs that succeeds at once.
pub(super) struct SharedRetry<P>(Arc<(Retry, P)>);

impl<P> SharedRetry<P> {
    pub(super) fn new(retry: Retry, rules: P) -> Self {
        SharedRetry(Arc::new((retry, rules)))
    }

    pub(super) fn retry(&self) -> &Retry {
        &self.0.0
    }

    pub(super) fn rules(&self) -> &P {
        &self.0.1
    }
}

impl<P> Clone for SharedRetry<P> {
    fn clone(&self) -> Self {
        SharedRetry(self.0.clone())
    }
}

impl<P> fmt::Debug for SharedRetry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.retry().fmt(f)
    }
}
