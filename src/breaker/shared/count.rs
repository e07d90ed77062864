//! What the end of a call, or the head of its response, does to the breaker.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        error_text::{self, end_error_text},
        fast_path::{PendingSuccesses, PushResult},
        settings::WindowKind,
        state_machine::{CountedSuccess, PermitState},
        window::CallSample,
    },
    BreakerPermit, Shared,
};
use crate::{
    call::{CallClock, CallEnd, Evidence, Outcome},
    guard::Head,
    util::sync::atomic::Ordering,
};

impl Shared {
    #[inline]
    pub(in super::super) fn complete(&self, permit: BreakerPermit, end: &CallEnd<'_>) {
        self.complete_with_text(permit, end, &|| None);
    }

    /// Counts what most calls are: a success while the circuit is closed, where no call is slow, and one that was
    /// counted at its head. `false` if it is anything else. Such an end needs no [`End`], and there is no hint in it to
    /// heed.
    #[inline]
    pub(in super::super) fn try_record_success(
        &self,
        permit: &BreakerPermit,
        evidence: Evidence,
        now: &CallClock,
    ) -> bool {
        let pass = permit.0;
        match pass.state {
            _ if evidence != Evidence::Healthy => return false,
            PermitState::Counted(_) | PermitState::ProbeCounted(_) => return true,
            PermitState::Admitted if self.settings.slow_call.is_none() => {}
            _ => return false,
        }
        let gate = self.packed_state.load();
        if gate.generation() != pass.generation || !gate.is_closed() {
            return false;
        }
        self.record_success(pass.generation, now);
        true
    }

    /// `text` is asked for if the circuit opens and the end itself has no error to show.
    #[inline]
    pub(in super::super) fn complete_with_text(
        &self,
        permit: BreakerPermit,
        end: &CallEnd<'_>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        if !self.try_record_success(&permit, end.evidence(), end.clock) {
            self.complete_slow(permit, end, text);
        }
    }

    #[cold]
    #[inline(never)]
    fn complete_slow(
        &self,
        permit: BreakerPermit,
        end: &CallEnd<'_>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        if !self.retry_after.is_disabled()
            && let Some(wait) = self.retry_after.from_end(end)
        {
            self.open_on_retry_after(&permit, wait, end.now(), &|| {
                end_error_text(end).or_else(text)
            });
        }
        let pass = permit.0;
        let gate = self.packed_state.load();
        if gate.generation() != pass.generation {
            return;
        }
        let sample = match (pass.state, end.evidence()) {
            // Counted for good, unless its body has broken.
            (PermitState::Counted(_) | PermitState::ProbeCounted(_), Evidence::Inconclusive) => {
                return;
            }
            _ => self.classify_end(end),
        };
        match (pass.state, sample) {
            (PermitState::Uncounted, _) | (PermitState::Admitted, None) => return,
            (PermitState::Admitted | PermitState::Counted(_), _) if !gate.is_closed() => return,
            (PermitState::Admitted, Some(CallSample::Success)) => {
                self.record_success(pass.generation, end.clock);
                return;
            }
            _ => {}
        }
        let text = || end_error_text(end).or_else(text);
        self.update_with_text(&text, |core| core.on_end(pass, sample, end.now()));
    }

    /// The head of the response to a call has come: a good one counts at once, since a body may take its time, and a
    /// probe is decided by it.
    #[inline]
    pub(in super::super) fn on_head(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        let pass = &mut permit.0;
        let gate = self.packed_state.load();
        // What most heads are.
        let is_plain = head.evidence == Evidence::Healthy
            && pass.state == PermitState::Admitted
            && self.settings.slow_call.is_none()
            && self.retry_after.is_disabled();
        if is_plain && gate.is_closed() && gate.generation() == pass.generation {
            pass.state = PermitState::Counted(self.record_success(pass.generation, head.clock));
        } else {
            self.on_head_slow(permit, head);
        }
    }

    #[cold]
    #[inline(never)]
    fn on_head_slow(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        if !self.retry_after.is_disabled()
            && let Some(wait) = self.retry_after.from_head(head)
        {
            let status = || Some(error_text::bounded_text(head.status));
            self.open_on_retry_after(permit, wait, head.clock.now(), &status);
        }
        // Read here, it is the time to the head that the end knows.
        let slow = self
            .settings
            .slow_call
            .is_some_and(|limit| head.elapsed().is_some_and(|took| took >= limit));
        let pass = &mut permit.0;
        let gate = self.packed_state.load();
        if gate.generation() != pass.generation {
            return;
        }
        match pass.state {
            PermitState::Admitted if gate.is_closed() && head.evidence == Evidence::Healthy => {
                if slow {
                    self.on_head_locked(permit, head, slow);
                } else {
                    pass.state =
                        PermitState::Counted(self.record_success(pass.generation, head.clock));
                }
            }
            PermitState::Probe(_) => self.on_head_locked(permit, head, slow),
            _ => {}
        }
    }

    #[cold]
    fn on_head_locked(&self, permit: &mut BreakerPermit, head: &Head<'_>, slow: bool) {
        let sample = call_sample(head.evidence, slow);
        let text = || {
            Some(match sample {
                Some(CallSample::SlowSuccess) => {
                    error_text::bounded_text(format_args!("too slow: {}", head.status))
                }
                _ => error_text::bounded_text(head.status),
            })
        };
        let now = head.clock.now();
        self.update_with_text(&text, |core| core.on_head(&mut permit.0, sample, now));
    }

    #[cold]
    fn open_on_retry_after(
        &self,
        permit: &BreakerPermit,
        wait: Duration,
        now: Instant,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        self.update_with_text(text, |core| {
            core.open_on_retry_after(permit.0.generation, wait, now)
        });
    }

    /// Returns what the end of a call comes to; `None` is nothing.
    fn classify_end(&self, end: &CallEnd<'_>) -> Option<CallSample> {
        // Without the time that the caller took to send its request, as the time to the head is.
        let without_head = || Some(end.elapsed()?.saturating_sub(end.upload_wait));
        let took = || end.time_to_head().or_else(without_head);
        let limit = self.settings.slow_call;
        let slow = limit.is_some_and(|limit| took().is_some_and(|took| took >= limit));
        let evidence = match end.evidence() {
            // Whoever gives up after so long was not hasty: the peer is slow, or hangs.
            Evidence::Inconclusive if slow && dropped_before_head(end) => Evidence::Unhealthy,
            evidence => evidence,
        };
        call_sample(evidence, slow)
    }

    /// Counts a success without the lock, and says where it went.
    #[inline]
    fn record_success(&self, generation: u64, now: &CallClock) -> CountedSuccess {
        // First: if it finds its place in a later run than this, it is never taken out of one that it is not in.
        let run = self.run_id.load(Ordering::Acquire);
        let (tick, most) = match self.settings.window {
            // A ring that is full of successes need not be told of another. Two say that there is another besides any
            // one that turns out to be none.
            WindowKind::Count(calls) => (1, (calls as u64).max(2)),
            WindowKind::Time(..) => (
                self.bucket_clock.bucket_at(now.now()),
                PendingSuccesses::MAX,
            ),
        };
        match self.pending_successes.push(generation, tick, most) {
            PushResult::Counted => {}
            // Now and then, that is: often enough to look for a new recorder.
            PushResult::First => self.report_state(),
            PushResult::Full if matches!(self.settings.window, WindowKind::Count(_)) => {
                self.report_state()
            }
            PushResult::Full | PushResult::Stale => self.rotate_bucket(generation, tick),
        }
        CountedSuccess {
            bucket: tick as u32,
            run_id: run,
            slow: false,
        }
    }

    /// The first success of a bucket: the word moves on to it, unless it is ahead already.
    #[cold]
    fn rotate_bucket(&self, generation: u64, tick: u64) {
        let mut locked = self.lock();
        if locked.machine.generation() != generation {
            return;
        }
        locked.machine.record_successes(tick, 1);
        let was = locked.pending_bucket;
        if tick > was {
            locked.pending_bucket = tick;
            // Empty since the lock was taken, but for successes of the old bucket that came meanwhile.
            let late = self.pending_successes.drain(generation, tick);
            locked.machine.record_successes(was, late);
        }
        drop(locked);
        self.report_state();
    }
}

fn call_sample(evidence: Evidence, slow: bool) -> Option<CallSample> {
    match (evidence, slow) {
        (Evidence::Healthy, false) => Some(CallSample::Success),
        (Evidence::Healthy, true) => Some(CallSample::SlowSuccess),
        (Evidence::Unhealthy, false) => Some(CallSample::Failure),
        (Evidence::Unhealthy, true) => Some(CallSample::SlowFailure),
        (Evidence::Inconclusive, _) => None,
    }
}

fn dropped_before_head(end: &CallEnd<'_>) -> bool {
    end.outcome() == Outcome::Cancelled && end.status().is_none() && end.time_to_head().is_none()
}
