use std::sync::atomic::{AtomicU64, Ordering};

/// The mark that the outermost tracker of a request leaves in the request's context, which spares an extension of its own.
#[derive(Debug, Default)]
pub(super) struct TrackerMark(
    /// The ID of the tracker, or 0.
    AtomicU64,
);

impl TrackerMark {
    /// Returns the ID of the tracker, if there is one.
    #[inline]
    pub(super) fn get(&self) -> Option<u64> {
        // Set by the only thread that had the request then: whoever has it now got it from there.
        Some(self.0.load(Ordering::Relaxed)).filter(|tracker| *tracker != 0)
    }

    /// Stores the ID of a tracker. The caller is the only one that has the request.
    #[inline]
    pub(super) fn set(&self, tracker: u64) {
        self.0.store(tracker, Ordering::Relaxed);
    }
}

/// A clone is empty: a context that is derived from another one may go to another request.
impl Clone for TrackerMark {
    fn clone(&self) -> Self {
        TrackerMark::default()
    }
}
