use std::borrow::Borrow;

use tokio::time::Instant;

use super::{CircuitBreaker, shared::BreakerPermit};
use crate::{
    call::{Cause, End, Judged, Moment, Rejection, Verdict, given_up},
    context::TimeScope,
};

/// One call that may be made; to be settled once.
#[must_use = "dropping it reports the call as cancelled"]
#[derive(Debug)]
pub struct Permit(Ticket<CircuitBreaker>);

impl Permit {
    #[inline]
    pub(super) fn ask(breaker: &CircuitBreaker) -> Result<Self, Rejection> {
        let now = Moment::default();
        let permit = breaker.shared.admit(&now)?;
        Ok(Permit(Ticket {
            breaker: breaker.clone(),
            permit: Some(permit),
            began: TimeScope::began(&now),
        }))
    }

    /// Says how the call ended: an [`Outcome`](crate::Outcome), with [evidence](Verdict::with_evidence) of its own where
    /// that does not follow from it.
    #[inline]
    pub fn settle(mut self, verdict: impl Into<Verdict>) {
        let verdict = verdict.into();
        let judged = verdict.resolve(verdict.outcome().into(), false);
        self.0.finish(judged, None, &|| None);
    }
}

/// What a direct call holds: a permit once it has been let pass, and the breaker. Borrowed where the call never leaves
/// the function that makes it, since a reference counted is most of what a closed breaker costs.
#[derive(Debug)]
pub(super) struct Ticket<B: Borrow<CircuitBreaker>> {
    breaker: B,
    permit: Option<BreakerPermit>,
    began: Option<Instant>,
}

impl<B: Borrow<CircuitBreaker>> Ticket<B> {
    #[inline]
    pub(super) fn new(breaker: B) -> Self {
        Ticket {
            breaker,
            permit: None,
            began: None,
        }
    }

    pub(super) fn breaker(&self) -> &CircuitBreaker {
        self.breaker.borrow()
    }

    /// Asks to be let pass, unless it has been already.
    #[inline]
    pub(super) fn admit(&mut self) -> Result<(), Rejection> {
        if self.permit.is_none() {
            let now = Moment::default();
            self.permit = Some(self.breaker.borrow().shared.admit(&now)?);
            self.began = TimeScope::began(&now);
        }
        Ok(())
    }

    /// `text` is only asked for where the error has no other.
    #[inline]
    pub(super) fn finish(
        &mut self,
        judged: Judged,
        cause: Option<Cause<'_>>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        let Some(permit) = &self.permit else {
            return;
        };
        let now = Moment::default();
        let shared = &self.breaker.borrow().shared;
        if shared.passed(permit, judged.evidence, &now) {
            self.permit = None;
        } else {
            self.finish_told(judged, cause, text, &now);
        }
    }

    #[cold]
    fn finish_told(
        &mut self,
        judged: Judged,
        cause: Option<Cause<'_>>,
        text: &dyn Fn() -> Option<Box<str>>,
        now: &Moment,
    ) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let mut end = End::new(judged.outcome, now).with_evidence(judged.evidence);
        if let Some(began) = self.began {
            end = end.with_began(began);
        }
        if let Some(cause) = cause {
            end = end.with_cause(cause);
        }
        let shared = &self.breaker.borrow().shared;
        shared.settle_told(permit, &end, text);
    }

    #[cold]
    fn abandon(&mut self) {
        // A time limit around the call drops it, too, and says so.
        let judged = match given_up() {
            Some(why) => why.judge(self.began, Instant::now),
            None => Judged::ABANDONED,
        };
        self.finish(judged, None, &|| None);
    }
}

impl<B: Borrow<CircuitBreaker>> Drop for Ticket<B> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.abandon();
        }
    }
}
