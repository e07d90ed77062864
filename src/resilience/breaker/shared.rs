use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    core::{Answer, Change, Core},
    events::{Queue, Reason, Transition},
    heed::Heed,
    said::{self, said},
    settings::{Plan, Settings, WindowKind},
    state::State,
    switch::{Position, Switch, Turn},
    teller::Teller,
    waiters::Waiters,
    window::{Ticks, Verdict},
    words::{Added, Gate, Pending},
};
use crate::{
    call::{End, Moment, Name, Outcome, Rejection, RejectionKind, quietly},
    guard::Head,
};

/// What all handles of a breaker share: the core behind a lock, and the two words that a closed circuit needs.
pub(super) struct Shared {
    pub(super) name: Name,
    settings: Settings,
    heed: Heed,
    ticks: Ticks,
    shadow: AtomicBool,
    gate: Gate,
    /// Successes since the lock was last held.
    pending: Pending,
    locked: Mutex<Locked>,
    pub(super) teller: Teller,
    pub(super) waiters: Waiters,
}

pub(super) struct Locked {
    pub(super) core: Core,
    pending_tick: u64,
    /// The last turn of the switch that it has obeyed.
    turn: u64,
    queue: Queue,
    /// Why it is not closed; while probes are out, why it was opened.
    pub(super) why: Option<Reason>,
    /// What the call said that last opened it.
    pub(super) last_error: Option<Name>,
}

/// What a call holds that a breaker let pass.
#[derive(Debug)]
pub struct BreakerPermit {
    generation: u64,
    counts: bool,
}

impl Shared {
    /// Made, and entered where it obeys.
    pub(super) fn shared(mut plan: Plan, teller: Teller) -> Arc<Self> {
        let switch = plan.switch.take();
        let turn = switch.as_ref().map(Switch::now).unwrap_or_default();
        let shared = Arc::new(Shared::new(plan, turn, teller));
        if let Some(switch) = switch {
            switch.join(&shared);
        }
        shared
    }

    fn new(plan: Plan, turn: Turn, teller: Teller) -> Self {
        let Plan {
            name,
            settings,
            shadow,
            heed,
            switch: _,
        } = plan;
        let now = Instant::now();
        let ticks = match settings.window {
            WindowKind::Time(window, buckets) => Ticks::new(now, window, buckets),
            // All calls fall into one bucket of a ring that has none.
            WindowKind::Count(_) => Ticks::new(now, Duration::MAX, 1),
        };
        let shared = Shared {
            locked: Mutex::new(Locked {
                turn: turn.number,
                why: (turn.position != Position::Normal).then_some(Reason::Switched),
                core: Core::new(settings, ticks, turn.position, now),
                pending_tick: 1,
                queue: Queue::default(),
                last_error: None,
            }),
            name,
            settings,
            heed,
            ticks,
            shadow: AtomicBool::new(shadow),
            gate: Gate::new(match turn.position {
                Position::Normal => State::Closed,
                Position::ForcedOpen => State::ForcedOpen,
                Position::Disabled => State::Disabled,
            }),
            pending: Pending::new(),
            teller,
            waiters: Waiters::default(),
        };
        shared.show();
        shared
    }

    /// The state, without the lock.
    pub(super) fn state(&self) -> State {
        self.gate.see().state()
    }

    /// Shows the state to a metrics recorder that has not seen it. Never under the lock.
    pub(super) fn show(&self) {
        self.teller.show(&self.name, || self.state());
    }

    pub(super) fn is_shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    pub(super) fn set_shadow(&self, on: bool) {
        self.shadow.store(on, Ordering::Relaxed);
        if !on {
            self.waiters.wake();
        }
    }

    /// Whether a call that came now would be refused.
    pub(super) fn would_refuse(&self) -> bool {
        self.gate.see().wants_lock() && !self.is_shadow() && {
            let now = Instant::now();
            self.lock().core.would_refuse(now) != Answer::Passes
        }
    }

    /// The lock, and with it everything that is known.
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = locked.pending_tick;
        let times = self.pending.take(locked.core.generation(), tick);
        locked.core.successes(tick, times);
        locked
    }

    #[inline]
    pub(super) fn admit(&self, now: &Moment) -> Result<BreakerPermit, Rejection> {
        if self.settings.slow_limit.is_some() {
            now.now();
        }
        let gate = self.gate.see();
        if !gate.wants_lock() {
            return Ok(BreakerPermit {
                generation: gate.generation(),
                counts: true,
            });
        }
        self.admit_locked(now.now())
    }

    #[cold]
    fn admit_locked(&self, now: Instant) -> Result<BreakerPermit, Rejection> {
        let (answer, generation, why, last_error) = self.with(&|| None, |locked| {
            let (answer, change) = locked.core.admit(now);
            let told = (
                answer,
                locked.core.generation(),
                locked.why,
                locked.last_error.clone(),
            );
            (told, change)
        });
        let Answer::Refused(wait) = answer else {
            return Ok(BreakerPermit {
                generation,
                counts: true,
            });
        };
        self.teller.refused(&self.name);
        if self.is_shadow() {
            return Ok(BreakerPermit {
                generation,
                counts: false,
            });
        }
        let mut rejection = Rejection::new(RejectionKind::CircuitOpen, self.name.clone());
        if let Some(why) = why {
            rejection = rejection.reason(why.as_str());
        }
        if let Some(error) = last_error {
            rejection = rejection.last_error(error);
        }
        Err(match wait {
            Some(wait) => rejection.retry_after(wait),
            None => rejection,
        })
    }

    #[inline]
    pub(super) fn settle(&self, permit: BreakerPermit, end: &End<'_>) {
        self.settle_told(permit, end, &|| None);
    }

    /// `text` is asked for if the circuit opens and the end itself has no error to show.
    #[inline]
    pub(super) fn settle_told(
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
        let gate = self.gate.see();
        if !permit.counts || gate.generation() != permit.generation || gate.is_disabled() {
            return;
        }
        let verdict = self.verdict(end);
        if gate.is_closed() {
            match verdict {
                None => return,
                Some(Verdict::Success) => return self.succeed(permit.generation, end),
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
    pub(super) fn head(&self, permit: &BreakerPermit, head: &Head<'_>) {
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
    fn succeed(&self, generation: u64, end: &End<'_>) {
        // A ring that is full of successes need not be told of another.
        let (tick, most) = match self.settings.window {
            WindowKind::Count(calls) => (1, calls as u64),
            WindowKind::Time(..) => (self.ticks.at(end.now()), Pending::MOST),
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
    }

    /// The service could not become ready.
    pub(super) fn unready(&self) {
        self.change(|core| core.unready(Instant::now()));
    }

    /// A switch has been turned. Turns may arrive out of order.
    pub(super) fn obey(&self, turn: Turn) {
        self.with(&|| None, |locked| {
            if turn.number <= locked.turn {
                return ((), None);
            }
            locked.turn = turn.number;
            ((), locked.core.switch(turn.position, Instant::now()))
        });
    }

    /// Runs a step that may be a transition.
    pub(super) fn change(&self, step: impl FnOnce(&mut Core) -> Option<Change>) {
        self.change_told(&|| None, step);
    }

    fn change_told(
        &self,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Core) -> Option<Change>,
    ) {
        self.with(text, |locked| ((), step(&mut locked.core)));
    }

    /// Runs a step that may be a transition, and tells of it after the lock is free. `text` is what the call says
    /// that makes the circuit open: formatting is user code, so it is done only then, and never under the lock.
    fn with<R>(
        &self,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Locked) -> (R, Option<Change>),
    ) -> R {
        let mut locked = self.lock();
        let (result, change) = step(&mut locked);
        let Some(change) = change else {
            return result;
        };
        let opened = matches!(change.to, State::Open | State::ForcedOpen);
        let number = self.turn(&mut locked, change);
        drop(locked);
        if opened {
            self.waiters.wake();
        }
        let text = if opened {
            quietly(text).flatten()
        } else {
            None
        };
        let last_error = text.map(|text| Name::from(String::from(text)));
        let mut locked = self.lock();
        if opened && locked.core.generation() == number {
            locked.last_error.clone_from(&last_error);
        }
        locked.queue.complete(number, last_error);
        self.tell(locked);
        result
    }

    /// The state is a new one, for everybody who looks; the number is its generation.
    fn turn(&self, locked: &mut Locked, change: Change) -> u64 {
        let (generation, state) = (locked.core.generation(), change.to);
        match state {
            State::Closed => locked.why = None,
            State::HalfOpen => {}
            State::Open | State::ForcedOpen | State::Disabled => {
                locked.why = Some(change.reason);
                locked.last_error = None;
            }
        }
        let mut event = Transition::new(&self.name, generation, change, self.is_shadow());
        event.key = self.teller.seat().map(|seat| seat.key().clone());
        locked.queue.push(event);
        // The word first: a success of the new generation must find it.
        self.pending.take(generation, locked.pending_tick);
        self.gate.show(generation, state);
        generation
    }

    fn tell<'a>(&'a self, mut locked: MutexGuard<'a, Locked>) {
        if !locked.queue.begin() {
            return;
        }
        while let Some(event) = locked.queue.next() {
            drop(locked);
            self.teller.tell(&event);
            locked = self.lock();
        }
    }
}
