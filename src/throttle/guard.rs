use super::{Throttle, throttled_call::ThrottledCall};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head},
};

impl Guard for Throttle {
    type Permit = ThrottledCall;

    /// Counts at the head already: a caller that looks at the status and drops the body is ordinary.
    #[inline]
    fn on_head(&self, call: &mut ThrottledCall, head: &mut Head<'_>) {
        let clock = head.clock;
        self.shared.record(call, head.evidence, || clock.now());
    }

    #[inline]
    fn on_end(&self, mut call: ThrottledCall, end: &CallEnd<'_>) {
        self.shared.record(&mut call, end.evidence(), || end.now());
    }
}

impl<Req> Admit<Req> for Throttle {
    #[inline]
    fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<ThrottledCall, Rejection> {
        self.shared.admit(|| clock.now())?;
        Ok(ThrottledCall::default())
    }
}
