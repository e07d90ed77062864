use std::borrow::Borrow;

use tokio::time::Instant;

use super::{CircuitBreaker, shared::BreakerPermit};
use crate::{
    call::{CallClock, CallEnd, Cause, Classification, ClassifyOutput, Rejection, current_timeout},
    context::TimeBudget,
};

/// One call that may be made; to be settled once.
#[must_use = "dropping it reports the call as cancelled"]
#[derive(Debug)]
pub struct CallPermit(CallGuard<CircuitBreaker>);

impl CallPermit {
    #[inline]
    pub(super) fn acquire(breaker: &CircuitBreaker) -> Result<Self, Rejection> {
        let now = CallClock::default();
        let permit = breaker.shared.admit(&now)?;
        Ok(CallPermit(CallGuard {
            breaker: breaker.clone(),
            permit: Some(permit),
            admitted_at: TimeBudget::started_at(&now),
        }))
    }

    /// Says how the call ended: an [`Outcome`](crate::Outcome), with [evidence](ClassifyOutput::with_evidence) of its own where
    /// that does not follow from it.
    #[inline]
    pub fn complete(mut self, verdict: impl Into<ClassifyOutput>) {
        let verdict = verdict.into();
        let judged = verdict.resolve(verdict.outcome().into(), false);
        self.0.complete(judged, None, &|| None);
    }
}

/// What a direct call holds: a permit once it has been let pass, and the breaker. Borrowed where the call never leaves
/// the function that makes it, since a reference counted is most of what a closed breaker costs.
#[derive(Debug)]
pub(super) struct CallGuard<B: Borrow<CircuitBreaker>> {
    breaker: B,
    permit: Option<BreakerPermit>,
    admitted_at: Option<Instant>,
}

impl<B: Borrow<CircuitBreaker>> CallGuard<B> {
    #[inline]
    pub(super) fn new(breaker: B) -> Self {
        CallGuard {
            breaker,
            permit: None,
            admitted_at: None,
        }
    }

    pub(super) fn breaker(&self) -> &CircuitBreaker {
        self.breaker.borrow()
    }

    /// Asks to be let pass, unless it has been already.
    #[inline]
    pub(super) fn admit(&mut self) -> Result<(), Rejection> {
        if self.permit.is_none() {
            let now = CallClock::default();
            self.permit = Some(self.breaker.borrow().shared.admit(&now)?);
            self.admitted_at = TimeBudget::started_at(&now);
        }
        Ok(())
    }

    /// `text` is only asked for where the error has no other.
    #[inline]
    pub(super) fn complete(
        &mut self,
        judged: Classification,
        cause: Option<Cause<'_>>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        let Some(permit) = &self.permit else {
            return;
        };
        let now = CallClock::default();
        let shared = &self.breaker.borrow().shared;
        if shared.try_record_success(permit, judged.evidence, &now) {
            self.permit = None;
        } else {
            self.complete_slow(judged, cause, text, &now);
        }
    }

    #[cold]
    fn complete_slow(
        &mut self,
        judged: Classification,
        cause: Option<Cause<'_>>,
        text: &dyn Fn() -> Option<Box<str>>,
        now: &CallClock,
    ) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let mut end = CallEnd::new(judged.outcome, now).with_evidence(judged.evidence);
        if let Some(began) = self.admitted_at {
            end = end.with_admitted_at(began);
        }
        if let Some(cause) = cause {
            end = end.with_cause(cause);
        }
        let shared = &self.breaker.borrow().shared;
        shared.complete_with_text(permit, &end, text);
    }

    #[cold]
    fn complete_abandoned(&mut self) {
        // A time limit around the call drops it, too, and says so.
        let judged = match current_timeout() {
            Some(why) => why.classify(self.admitted_at, Instant::now),
            None => Classification::CANCELLED,
        };
        self.complete(judged, None, &|| None);
    }
}

impl<B: Borrow<CircuitBreaker>> Drop for CallGuard<B> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.complete_abandoned();
        }
    }
}
