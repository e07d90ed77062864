use super::{RateLimit, RateLimitPermit};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head, ReadySignal, Rejects},
    protocol::Side,
};

impl Guard for RateLimit {
    type Permit = RateLimitPermit;

    fn rejects(&self, clock: &CallClock) -> Rejects {
        self.shared.rejects(clock.now())
    }

    #[inline]
    fn rejects_any(&self, clock: &CallClock) -> bool {
        self.shared.rejects_any(|| clock.now())
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        add(&self.shared.control.signal);
    }

    #[inline]
    fn on_head(&self, permit: &mut RateLimitPermit, head: &mut Head<'_>) {
        self.shared.on_head(permit, head);
    }

    #[inline]
    fn on_end(&self, permit: RateLimitPermit, end: &CallEnd<'_>) {
        self.shared.on_end(permit, end);
    }
}

impl<Req> Admit<Req> for RateLimit {
    fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<RateLimitPermit, Rejection> {
        self.shared.admit(clock.now(), 1)?;
        Ok(permit(clock, false))
    }

    /// Grants a permit in either case: the limit sees the head of its own rejection.
    #[inline]
    fn try_admit(
        &self,
        _: &mut Req,
        clock: &CallClock,
        granted: &mut Option<RateLimitPermit>,
    ) -> Option<Rejection> {
        let rejection = self.shared.admit(clock.now(), 1).err();
        *granted = Some(permit(clock, rejection.is_some()));
        rejection
    }
}

#[inline]
pub(super) fn permit(clock: &CallClock, is_rejected: bool) -> RateLimitPermit {
    RateLimitPermit::new(clock.side() == Side::Server, is_rejected)
}
