use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::{shared::ThrottleShared, throttled_call::ThrottledCall};
use crate::call::{Classification, ClassifyOutput, Evidence, classify_drop};

/// The permit of one call, which is counted when the permit is completed; made by [`Throttle::try_acquire`](super::Throttle::try_acquire).
///
/// A permit that is dropped does not count, unless a panic or a time limit drops it.
#[must_use = "dropping it completes the call without a result"]
pub struct ThrottlePermit {
    shared: Arc<ThrottleShared>,
    admitted_at: Instant,
    is_complete: bool,
}

impl ThrottlePermit {
    pub(super) fn new(shared: Arc<ThrottleShared>, admitted_at: Instant) -> Self {
        ThrottlePermit {
            shared,
            admitted_at,
            is_complete: false,
        }
    }

    /// Completes the call with an [`Outcome`](crate::Outcome), or with a [`ClassifyOutput`] whose
    /// [evidence](ClassifyOutput::with_evidence) does not follow from its outcome.
    ///
    /// ```
    /// use tower_keep::{Outcome, throttle::Throttle};
    ///
    /// let ledger = Throttle::new("ledger");
    /// ledger.try_acquire()?.complete(Outcome::Success);
    /// assert_eq!(ledger.stats().accepted, 1);
    /// # Ok::<_, tower_keep::Rejection>(())
    /// ```
    pub fn complete(mut self, result: impl Into<ClassifyOutput>) {
        let result = result.into();
        let classification = result.resolve(result.outcome().into(), false);
        self.record(classification.evidence);
    }

    pub(super) fn record(&mut self, evidence: Evidence) {
        if !std::mem::replace(&mut self.is_complete, true) {
            let mut call = ThrottledCall::default();
            self.shared.record(&mut call, evidence, Instant::now);
        }
    }

    #[cold]
    fn record_drop(&mut self) {
        let classification = match std::thread::panicking() {
            true => Classification::PANICKED,
            false => classify_drop(Some(self.admitted_at)),
        };
        self.record(classification.evidence);
    }
}

impl Drop for ThrottlePermit {
    fn drop(&mut self) {
        if !self.is_complete {
            self.record_drop();
        }
    }
}

impl fmt::Debug for ThrottlePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottlePermit")
            .field("throttle", self.shared.name())
            .finish_non_exhaustive()
    }
}
