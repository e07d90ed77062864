use std::{sync::Arc, task::Context};

use super::counters::CallCounters;

/// A token owned by the future of a call, and then by its body.
#[derive(Debug)]
pub(super) struct InFlightToken(Arc<CallCounters>);

impl InFlightToken {
    pub(super) fn new(counters: Arc<CallCounters>) -> Self {
        counters.start_call();
        InFlightToken(counters)
    }

    /// Wakes the task on behalf of the script.
    pub(super) fn wake(&self, cx: &Context<'_>) {
        self.0.wake(cx);
    }
}

impl Drop for InFlightToken {
    fn drop(&mut self) {
        self.0.end_call();
    }
}
