use tokio::time::Instant;

use super::{CircuitBreaker, shared::BreakerPermit};
use crate::call::{Cause, End, Moment, Outcome};

/// One call that may be made; to be settled once.
#[must_use = "dropping it reports the call as cancelled"]
#[derive(Debug)]
pub struct Permit {
    breaker: CircuitBreaker,
    permit: Option<BreakerPermit>,
    began: Option<Instant>,
}

impl Permit {
    pub(super) fn new(
        breaker: CircuitBreaker,
        permit: BreakerPermit,
        began: Option<Instant>,
    ) -> Self {
        Permit {
            breaker,
            permit: Some(permit),
            began,
        }
    }

    /// Says how the call ended.
    pub fn settle(mut self, outcome: Outcome) {
        self.finish(outcome, None, &|| None);
    }

    /// `text` is only asked for where the error has no other.
    pub(super) fn finish(
        &mut self,
        outcome: Outcome,
        cause: Option<Cause<'_>>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let now = Moment::default();
        let mut end = End::new(outcome, &now);
        if let Some(began) = self.began {
            end = end.with_began(began);
        }
        if let Some(cause) = cause {
            end = end.with_cause(cause);
        }
        self.breaker.shared.settle_told(permit, &end, text);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.finish(Outcome::Cancelled, None, &|| None);
    }
}
