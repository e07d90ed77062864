use std::{fmt, sync::Arc};

use super::Retry;

/// What all calls of a layer share: the retry, and how their requests are read. One thing, since a reference counted is
/// a good part of what a call costs that succeeds at once.
pub(super) struct RetryLayerConfig<P>(Arc<(Retry, P)>);

impl<P> RetryLayerConfig<P> {
    pub(super) fn new(retry: Retry, rules: P) -> Self {
        RetryLayerConfig(Arc::new((retry, rules)))
    }

    pub(super) fn retry(&self) -> &Retry {
        &self.0.0
    }

    pub(super) fn rules(&self) -> &P {
        &self.0.1
    }
}

impl<P> Clone for RetryLayerConfig<P> {
    fn clone(&self) -> Self {
        RetryLayerConfig(self.0.clone())
    }
}

impl<P> fmt::Debug for RetryLayerConfig<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.retry().fmt(f)
    }
}
