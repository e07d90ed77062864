use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{permit::SlotPermit, run_result::RunResult, shared::BulkheadShared};
use crate::{
    adaptive::LimitSample,
    call::{Classification, ClassifyOutput, classify_drop},
};

/// The slot of one call, which is given back when the permit is completed or dropped; made by
/// [`Bulkhead::try_acquire`](super::Bulkhead::try_acquire).
///
/// A permit that is dropped counts as neither done nor failed, unless a panic drops it: then the call has failed.
#[must_use = "dropping it gives the slot back"]
pub struct BulkheadPermit {
    shared: Arc<BulkheadShared>,
    /// `None` once it is given back.
    permit: Option<SlotPermit>,
    admitted_at: Instant,
}

impl BulkheadPermit {
    #[inline]
    pub(super) fn new(shared: Arc<BulkheadShared>, permit: SlotPermit) -> Self {
        BulkheadPermit {
            shared,
            permit: Some(permit),
            admitted_at: Instant::now(),
        }
    }

    /// Completes the call with an [`Outcome`](crate::Outcome), or with a [`ClassifyOutput`] whose
    /// [evidence](ClassifyOutput::with_evidence) does not follow from its outcome, and gives the slot back.
    ///
    /// ```
    /// use tower_keep::{Outcome, bulkhead::Bulkhead};
    ///
    /// let reports = Bulkhead::new("reports");
    /// reports.try_acquire()?.complete(Outcome::Success);
    /// assert_eq!((reports.stats().done, reports.in_flight()), (1, 0));
    /// # Ok::<_, tower_keep::Rejection>(())
    /// ```
    #[inline]
    pub fn complete(mut self, result: impl Into<ClassifyOutput>) {
        let result = result.into();
        let classification = result.resolve(result.outcome().into(), false);
        self.record(classification);
    }

    /// Returns for how long the call has had its slot.
    pub fn elapsed(&self) -> Duration {
        self.admitted_at.elapsed()
    }

    #[inline]
    pub(super) fn record(&mut self, classification: Classification) {
        let Classification {
            outcome, evidence, ..
        } = classification;
        if let Some(permit) = self.permit.take() {
            let (result, elapsed) = (RunResult::from_evidence(evidence), self.elapsed());
            if permit.is_adaptive {
                let sample = LimitSample::new(outcome, evidence, elapsed);
                self.shared
                    .adapt(&permit, sample, self.admitted_at + elapsed);
            }
            self.shared.complete(permit, result, elapsed);
        }
    }

    #[cold]
    fn record_drop(&mut self) {
        let classification = match std::thread::panicking() {
            true => Classification::PANICKED,
            false => classify_drop(Some(self.admitted_at)),
        };
        self.record(classification);
    }
}

impl Drop for BulkheadPermit {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.record_drop();
        }
    }
}

impl fmt::Debug for BulkheadPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadPermit")
            .field("bulkhead", self.shared.name())
            .finish_non_exhaustive()
    }
}
