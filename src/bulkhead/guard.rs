use super::{Bulkhead, permit::SlotPermit, run_result::RunResult};
use crate::{
    adaptive::LimitSample,
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head, ReadySignal, Rejects},
};

impl Guard for Bulkhead {
    type Permit = SlotPermit;

    #[inline]
    fn rejects(&self, clock: &CallClock) -> Rejects {
        match self.rejects_any(clock) {
            true => Rejects::All,
            false => Rejects::None,
        }
    }

    #[inline]
    fn rejects_any(&self, _: &CallClock) -> bool {
        !self.shared.slots().load().is_open()
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        self.shared.slots().report_free();
        add(&self.shared.signal);
    }

    #[inline]
    fn on_head(&self, permit: &mut SlotPermit, head: &mut Head<'_>) {
        if permit.until_head || permit.is_adaptive {
            // Read here, so that what comes after the head does not count.
            head.clock.now();
        }
        if permit.until_head {
            let held_for = head.elapsed().unwrap_or_default();
            self.shared.release(permit, held_for);
        }
    }

    #[inline]
    fn on_end(&self, permit: SlotPermit, end: &CallEnd<'_>) {
        let elapsed = end.elapsed().unwrap_or_default();
        if permit.is_adaptive {
            let time = end.peer_time_of(elapsed);
            let sample = LimitSample::new(end.outcome(), end.evidence(), time);
            self.shared.adapt(&permit, sample, end.now());
        }
        let result = RunResult::from_evidence(end.evidence());
        self.shared.complete(permit, result, elapsed);
    }
}

impl<Req> Admit<Req> for Bulkhead {
    #[inline]
    fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<SlotPermit, Rejection> {
        let permit = self.shared.try_acquire()?;
        // So that the call knows how long it has lasted.
        clock.now();
        Ok(permit)
    }
}
