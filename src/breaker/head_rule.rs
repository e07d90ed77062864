use std::{fmt, sync::Arc, time::Duration};

use crate::{call::catch_hook, guard::Head};

type HeadFn = Arc<dyn Fn(&Head<'_>) -> Option<Duration> + Send + Sync>;

/// A closure that opens the circuit by the head of a response, and the longest time for which it may.
#[derive(Clone)]
pub(super) struct HeadRule {
    pub(super) max: Duration,
    read: HeadFn,
}

impl HeadRule {
    pub(super) fn new(
        max: Duration,
        read: impl Fn(&Head<'_>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        let read = Arc::new(read);
        HeadRule { max, read }
    }

    /// Returns for how long to open the circuit. A closure that panics opens nothing.
    pub(super) fn wait(&self, head: &Head<'_>) -> Option<Duration> {
        let wait = catch_hook(|| (self.read)(head)).flatten()?;
        Some(wait.min(self.max))
    }
}

impl fmt::Debug for HeadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadRule")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}
