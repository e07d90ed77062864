use super::{BreakerPermit, CircuitBreaker};
use crate::{
    call::{End, Moment, Rejection},
    guard::{Admit, Guard, Head, Refuses, Signal},
};

impl Guard for CircuitBreaker {
    type Permit = BreakerPermit;

    #[inline]
    fn refuses(&self, now: &Moment) -> Refuses {
        self.shared.refuses(now)
    }

    fn signals(&self, add: &mut dyn FnMut(&Signal)) {
        add(&self.shared.signal);
    }

    #[inline]
    fn head(&self, permit: &mut BreakerPermit, head: &mut Head<'_>) {
        self.shared.head(permit, head);
    }

    #[inline]
    fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        self.shared.settle(permit, end);
    }

    fn unready(&self) {
        self.shared.unready();
    }
}

impl<Req> Admit<Req> for CircuitBreaker {
    #[inline]
    fn admit(&self, _: &mut Req, now: &Moment) -> Result<BreakerPermit, Rejection> {
        self.shared.admit(now)
    }
}
