use std::{borrow::Borrow, fmt};

use tokio::time::Instant;

use super::{CircuitBreaker, permit::BreakerPermit};
use crate::{
    call::{CallClock, CallEnd, Cause, Classification, ClassifyOutput, Rejection, classify_drop},
    context::TimeBudget,
};

/// The permit of one call, to be completed once; made by [`CircuitBreaker::try_acquire`].
///
/// Dropping it completes the call as cancelled.
// Generic since counting a reference to the breaker is most of what a call through a closed circuit costs: a call that
// never leaves the function that makes it borrows the breaker.
#[must_use = "dropping it reports the call as cancelled"]
#[derive(Debug)]
pub struct CallPermit<B: Borrow<CircuitBreaker> = CircuitBreaker> {
    breaker: B,
    /// `None` before the call is admitted, and after it is completed.
    permit: Option<BreakerPermit>,
    admitted_at: Option<Instant>,
}

impl CallPermit {
    /// Admits a call. A rejected one does not count a reference to the breaker.
    #[inline]
    pub(super) fn acquire(breaker: &CircuitBreaker) -> Result<Self, Rejection> {
        let clock = CallClock::default();
        let permit = breaker.shared.admit(&clock)?;
        Ok(CallPermit {
            breaker: breaker.clone(),
            permit: Some(permit),
            admitted_at: TimeBudget::started_at(&clock),
        })
    }
}

impl<B: Borrow<CircuitBreaker>> CallPermit<B> {
    /// Creates the permit of a call that is not admitted yet.
    #[inline]
    pub(super) fn new(breaker: B) -> Self {
        CallPermit {
            breaker,
            permit: None,
            admitted_at: None,
        }
    }

    pub(super) fn breaker(&self) -> &CircuitBreaker {
        self.breaker.borrow()
    }

    /// Admits the call, unless that has been done.
    #[inline]
    pub(super) fn admit(&mut self) -> Result<(), Rejection> {
        if self.permit.is_none() {
            let clock = CallClock::default();
            self.permit = Some(self.breaker.borrow().shared.admit(&clock)?);
            self.admitted_at = TimeBudget::started_at(&clock);
        }
        Ok(())
    }

    /// Completes the call with an [`Outcome`](crate::Outcome), or with a [`ClassifyOutput`] whose
    /// [evidence](ClassifyOutput::with_evidence) does not follow from its outcome.
    #[inline]
    pub fn complete(mut self, result: impl Into<ClassifyOutput>) {
        let result = result.into();
        let classification = result.resolve(result.outcome().into(), false);
        self.record(classification, None, None);
    }

    /// Completes the call. `error` is its error, if the cause does not show it.
    #[inline]
    pub(super) fn record(
        &mut self,
        classification: Classification,
        cause: Option<Cause<'_>>,
        error: Option<&dyn fmt::Display>,
    ) {
        // Not taken yet: the slow path needs it, if this is not the success that most calls are.
        let Some(permit) = &self.permit else {
            return;
        };
        let clock = CallClock::default();
        let shared = &self.breaker.borrow().shared;
        if shared.try_complete_success(permit, classification.evidence, &clock) {
            self.permit = None;
        } else {
            self.record_slow(classification, cause, error, &clock);
        }
    }

    #[cold]
    fn record_slow(
        &mut self,
        classification: Classification,
        cause: Option<Cause<'_>>,
        error: Option<&dyn fmt::Display>,
        clock: &CallClock,
    ) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let mut end =
            CallEnd::new(classification.outcome, clock).with_evidence(classification.evidence);
        if let Some(admitted_at) = self.admitted_at {
            end = end.with_admitted_at(admitted_at);
        }
        if let Some(cause) = cause {
            end = end.with_cause(cause);
        }
        self.breaker.borrow().shared.complete(permit, &end, error);
    }

    #[cold]
    fn record_drop(&mut self) {
        self.record(classify_drop(self.admitted_at), None, None);
    }
}

impl<B: Borrow<CircuitBreaker>> Drop for CallPermit<B> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.record_drop();
        }
    }
}
