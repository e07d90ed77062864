//! What the end of a call, or the head of its response, does to the breaker.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        said::{self, said},
        settings::WindowKind,
        window::Verdict,
        words::{Added, Pending},
    },
    BreakerPermit, Shared,
};
use crate::{
    call::{End, Moment, Outcome},
    guard::Head,
};

impl Shared {
    #[inline]
    pub(in super::super) fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        self.settle_told(permit, end, &|| None);
    }

    /// Counts what most calls are: a success while the circuit is closed, where no call is slow. `false` if it is
    /// anything else. Such an end needs no [`End`], and there is no hint in it to heed.
    #[inline]
    pub(in super::super) fn passed(
        &self,
        permit: &BreakerPermit,
        outcome: Outcome,
        now: &Moment,
    ) -> bool {
        let gate = self.gate.see();
        let is_plain = outcome == Outcome::Success && self.settings.slow_limit.is_none();
        let counts = permit.counts && gate.generation() == permit.generation;
        if !is_plain || !counts || !gate.is_closed() {
            return false;
        }
        self.succeed(permit.generation, now);
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
        if self.passed(&permit, end.outcome(), end.now) {
            return;
        }
        if !self.heed.is_off()
            && let Some(wait) = self.heed.at_end(end)
        {
            self.heeded(&permit, wait, end.now(), &|| said(end).or_else(text));
        }
        let gate = self.gate.see();
        if !permit.counts || gate.generation() != permit.generation || gate.is_disabled() {
            return;
        }
        let verdict = self.verdict(end);
        if gate.is_closed() {
            match verdict {
                None => return,
                Some(Verdict::Success) => return self.succeed(permit.generation, end.now),
                Some(_) => {}
            }
        }
        let text = || said(end).or_else(text);
        self.change_told(&text, |core| {
            core.settle(permit.generation, verdict, end.now())
        });
    }

    /// The head of the response to a call has come.
    #[inline]
    pub(in super::super) fn head(&self, permit: &BreakerPermit, head: &Head<'_>) {
        if !self.heed.is_off()
            && let Some(wait) = self.heed.at_head(head)
        {
            let status = || Some(said::text(head.status));
            self.heeded(permit, wait, head.now.now(), &status);
        }
    }

    #[cold]
    fn heeded(
        &self,
        permit: &BreakerPermit,
        wait: Duration,
        now: Instant,
        text: &dyn Fn() -> Option<Box<str>>,
    ) {
        self.change_told(text, |core| core.heed(permit.generation, wait, now));
    }

    fn verdict(&self, end: &End<'_>) -> Option<Verdict> {
        let limit = self.settings.slow_limit;
        let slow = limit.is_some_and(|limit| end.elapsed().is_some_and(|took| took >= limit));
        match (end.outcome(), slow) {
            (Outcome::Success, false) => Some(Verdict::Success),
            (Outcome::Success, true) => Some(Verdict::SlowSuccess),
            (Outcome::Ignored | Outcome::Rejected | Outcome::Cancelled, false) => None,
            (Outcome::Ignored | Outcome::Rejected, true) => None,
            (_, true) => Some(Verdict::SlowFailure),
            (_, false) => Some(Verdict::Failure),
        }
    }

    #[inline]
    fn succeed(&self, generation: u64, now: &Moment) {
        // A ring that is full of successes need not be told of another.
        let (tick, most) = match self.settings.window {
            WindowKind::Count(calls) => (1, calls as u64),
            WindowKind::Time(..) => (self.ticks.at(now.now()), Pending::MOST),
        };
        match self.pending.add(generation, tick, most) {
            Added::Yes => return,
            // Now and then, that is: often enough to look for a new recorder.
            Added::First => return self.show(),
            Added::Full if matches!(self.settings.window, WindowKind::Count(_)) => {
                return self.show();
            }
            Added::Full | Added::Elsewhere => {}
        }
        self.succeed_locked(generation, tick);
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
