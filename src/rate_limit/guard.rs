use super::{
    RateLimit, RateLimitPermit,
    shared::RateLimitShared,
    too_many::{pause_of_end, pause_of_head},
};
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

impl RateLimitShared {
    /// Adds the fields of a server, and obeys the peer of a client.
    #[inline]
    pub(super) fn on_head(&self, permit: &mut RateLimitPermit, head: &mut Head<'_>) {
        if permit.is_server {
            if self.control.fields.has(permit.is_rejected) && !head.wire.is_grpc() {
                self.append_fields(head);
            }
        } else if let Some(pause) = pause_of_head(head) {
            permit.has_emptied = true;
            self.empty_for_peer(head.clock.now(), pause);
        }
    }

    #[inline]
    pub(super) fn on_end(&self, permit: RateLimitPermit, end: &CallEnd<'_>) {
        if permit.is_server || permit.has_emptied {
            return;
        }
        if let Some(pause) = pause_of_end(end) {
            self.empty_for_peer(end.now(), pause);
        }
    }

    #[cold]
    fn append_fields(&self, head: &mut Head<'_>) {
        let (state, quota, now) = self.read(head.clock.now());
        self.control.fields.append(head.headers, quota, state, now);
    }
}
