use std::sync::Arc;

use super::shared::ChaosShared;

/// A call that a chaos delays, and counts until this is dropped.
pub(super) struct DelayedCall {
    chaos: Arc<ChaosShared>,
}

impl DelayedCall {
    /// Counts a call; `None` if there are too many.
    pub(super) fn new(chaos: &Arc<ChaosShared>) -> Option<Self> {
        chaos.begin_delay().then(|| DelayedCall {
            chaos: chaos.clone(),
        })
    }

    pub(super) fn chaos(&self) -> &Arc<ChaosShared> {
        &self.chaos
    }
}

impl Drop for DelayedCall {
    fn drop(&mut self) {
        self.chaos.end_delay();
    }
}
