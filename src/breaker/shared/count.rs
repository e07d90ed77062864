//! What the end of a call, or the head of its response, does to the breaker.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        core::{Counted, Standing},
        said::{self, said},
        settings::WindowKind,
        window::Sample,
        words::{Added, Pending},
    },
    BreakerPermit, Shared,
};
use crate::{
    call::{End, Evidence, Moment, Outcome},
    guard::Head,
    util::sync::atomic::Ordering,
};

impl Shared {
    #[inline]
    pub(in super::super) fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        self.settle_told(permit, end, &|| None);
    }

    /// Counts what most calls are: a success while the circuit is closed, where no call is slow, and one that was
    /// counted at its head. `false` if it is anything else. Such an end needs no [`End`], and there is no hint in it to
    /// heed.
    #[inline]
    pub(in super::super) fn passed(
        &self,
        permit: &BreakerPermit,
        evidence: Evidence,
        now: &Moment,
    ) -> bool {
        let pass = permit.0;
        match pass.standing {
            _ if evidence != Evidence::Healthy => return false,
            Standing::Counted(_) | Standing::Probed(_) => return true,
            Standing::Passing if self.settings.slow_limit.is_none() => {}
            _ => return false,
        }
        let gate = self.gate.see();
        if gate.generation() != pass.generation || !gate.is_closed() {
            return false;
        }
        self.succeed(pass.generation, now);
        true
    }

    /// `text` is asked for if the circuit opens and the end itself has no error to show.
    #[inline]
    pub(in super::super) fn settle_told(
        &self,
        permit: BreakerPermit,
        end: &End<'_>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        if !self.passed(&permit, end.evidence(), end.now) {
            self.settle_other(permit, end, text);
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_other(
        &self,
        permit: BreakerPermit,
        end: &End<'_>,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        if !self.heed.is_off()
            && let Some(wait) = self.heed.at_end(end)
        {
            self.heeded(&permit, wait, end.now(), &|| said(end).or_else(text));
        }
        let pass = permit.0;
        let gate = self.gate.see();
        if gate.generation() != pass.generation {
            return;
        }
        let sample = match (pass.standing, end.evidence()) {
            // Counted for good, unless its body has broken.
            (Standing::Counted(_) | Standing::Probed(_), Evidence::Inconclusive) => return,
            _ => self.sample_of_end(end),
        };
        match (pass.standing, sample) {
            (Standing::Void, _) | (Standing::Passing, None) => return,
            (Standing::Passing | Standing::Counted(_), _) if !gate.is_closed() => return,
            (Standing::Passing, Some(Sample::Success)) => {
                self.succeed(pass.generation, end.now);
                return;
            }
            _ => {}
        }
        let text = || said(end).or_else(text);
        self.change_told(&text, |core| core.settle(pass, sample, end.now()));
    }

    /// The head of the response to a call has come: a good one counts at once, since a body may take its time, and a
    /// probe is decided by it.
    #[inline]
    pub(in super::super) fn head(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        let pass = &mut permit.0;
        let gate = self.gate.see();
        // What most heads are.
        let is_plain = head.evidence == Evidence::Healthy
            && pass.standing == Standing::Passing
            && self.settings.slow_limit.is_none()
            && self.heed.is_off();
        if is_plain && gate.is_closed() && gate.generation() == pass.generation {
            pass.standing = Standing::Counted(self.succeed(pass.generation, head.now));
        } else {
            self.head_other(permit, head);
        }
    }

    #[cold]
    #[inline(never)]
    fn head_other(&self, permit: &mut BreakerPermit, head: &Head<'_>) {
        if !self.heed.is_off()
            && let Some(wait) = self.heed.at_head(head)
        {
            let status = || Some(said::text(head.status));
            self.heeded(permit, wait, head.now.now(), &status);
        }
        // Read here, it is the time to the head that the end knows.
        let slow = self
            .settings
            .slow_limit
            .is_some_and(|limit| head.elapsed().is_some_and(|took| took >= limit));
        let pass = &mut permit.0;
        let gate = self.gate.see();
        if gate.generation() != pass.generation {
            return;
        }
        match pass.standing {
            Standing::Passing if gate.is_closed() && head.evidence == Evidence::Healthy => {
                if slow {
                    self.head_locked(permit, head, slow);
                } else {
                    pass.standing = Standing::Counted(self.succeed(pass.generation, head.now));
                }
            }
            Standing::Probe(_) => self.head_locked(permit, head, slow),
            _ => {}
        }
    }

    #[cold]
    fn head_locked(&self, permit: &mut BreakerPermit, head: &Head<'_>, slow: bool) {
        let sample = sample(head.evidence, slow);
        let text = || {
            Some(match sample {
                Some(Sample::SlowSuccess) => said::text(format_args!("too slow: {}", head.status)),
                _ => said::text(head.status),
            })
        };
        let now = head.now.now();
        self.change_told(&text, |core| core.head(&mut permit.0, sample, now));
    }

    #[cold]
    fn heeded(
        &self,
        permit: &BreakerPermit,
        wait: Duration,
        now: Instant,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        self.change_told(text, |core| core.heed(permit.0.generation, wait, now));
    }

    /// Returns what the end of a call comes to; `None` is nothing.
    fn sample_of_end(&self, end: &End<'_>) -> Option<Sample> {
        // Without the time that the caller took to send its request, as the time to the head is.
        let without_head = || Some(end.elapsed()?.saturating_sub(end.waited));
        let took = || end.time_to_head().or_else(without_head);
        let limit = self.settings.slow_limit;
        let slow = limit.is_some_and(|limit| took().is_some_and(|took| took >= limit));
        let evidence = match end.evidence() {
            // Whoever gives up after so long was not hasty: the peer is slow, or hangs.
            Evidence::Inconclusive if slow && dropped_before_head(end) => Evidence::Unhealthy,
            evidence => evidence,
        };
        sample(evidence, slow)
    }

    /// Counts a success without the lock, and says where it went.
    #[inline]
    fn succeed(&self, generation: u64, now: &Moment) -> Counted {
        // First: if it finds its place in a later run than this, it is never taken out of one that it is not in.
        let run = self.run.load(Ordering::Acquire);
        let (tick, most) = match self.settings.window {
            // A ring that is full of successes need not be told of another. Two say that there is another besides any
            // one that turns out to be none.
            WindowKind::Count(calls) => (1, (calls as u64).max(2)),
            WindowKind::Time(..) => (self.ticks.at(now.now()), Pending::MOST),
        };
        match self.pending.add(generation, tick, most) {
            Added::Yes => {}
            // Now and then, that is: often enough to look for a new recorder.
            Added::First => self.show(),
            Added::Full if matches!(self.settings.window, WindowKind::Count(_)) => self.show(),
            Added::Full | Added::Elsewhere => self.succeed_locked(generation, tick),
        }
        Counted {
            tick: tick as u32,
            run,
            slow: false,
        }
    }

    /// The first success of a bucket: the word moves on to it, unless it is ahead already.
    #[cold]
    fn succeed_locked(&self, generation: u64, tick: u64) {
        let mut locked = self.lock();
        if locked.core.generation() != generation {
            return;
        }
        locked.core.successes(tick, 1);
        let was = locked.pending_tick;
        if tick > was {
            locked.pending_tick = tick;
            // Empty since the lock was taken, but for successes of the old bucket that came meanwhile.
            let late = self.pending.take(generation, tick);
            locked.core.successes(was, late);
        }
        drop(locked);
        self.show();
    }
}

fn sample(evidence: Evidence, slow: bool) -> Option<Sample> {
    match (evidence, slow) {
        (Evidence::Healthy, false) => Some(Sample::Success),
        (Evidence::Healthy, true) => Some(Sample::SlowSuccess),
        (Evidence::Unhealthy, false) => Some(Sample::Failure),
        (Evidence::Unhealthy, true) => Some(Sample::SlowFailure),
        (Evidence::Inconclusive, _) => None,
    }
}

fn dropped_before_head(end: &End<'_>) -> bool {
    end.outcome() == Outcome::Cancelled && end.status().is_none() && end.time_to_head().is_none()
}
