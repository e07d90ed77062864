mod count;
#[cfg(all(test, tower_keep_loom))]
mod models;
mod tell;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    core::{Answer, Core},
    events::{Queue, Reason},
    heed::Heed,
    settings::{Plan, Settings, WindowKind},
    state::State,
    switch::{Position, Switch, Turn},
    teller::Teller,
    window::Ticks,
    words::{Gate, Pending},
};
use crate::{
    call::{Moment, Name, Rejection},
    guard::{Refuses, Signal},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
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
    pub(super) signal: Signal,
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
    pub(super) fn entered(mut plan: Plan, teller: Teller) -> Arc<Self> {
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
            signal: Signal::new(),
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
            self.signal.wake();
        }
    }

    /// Whether a call that came now would be refused.
    pub(super) fn would_refuse(&self) -> bool {
        self.gate.see().wants_lock() && !self.is_shadow() && {
            let now = Instant::now();
            self.lock().core.would_refuse(now) != Answer::Passes
        }
    }

    pub(super) fn refuses(&self, now: &Moment) -> Refuses {
        if !self.gate.see().wants_lock() || self.is_shadow() {
            return Refuses::No;
        }
        let now = now.now();
        match self.lock().core.would_refuse(now) {
            Answer::Passes => Refuses::Some,
            Answer::Refused(Some(wait)) => Refuses::Until(now + wait),
            Answer::Refused(None) => Refuses::Yes,
        }
    }

    /// The lock, and with it everything that is known.
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        // Only then are there any that wait; the state changes under the lock alone.
        if self.gate.see().is_closed() {
            let tick = locked.pending_tick;
            let times = self.pending.take(locked.core.generation(), tick);
            locked.core.successes(tick, times);
        }
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
            let refused = matches!(answer, Answer::Refused(_));
            let last_error = locked.last_error.as_ref().filter(|_| refused).cloned();
            let told = (answer, locked.core.generation(), locked.why, last_error);
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
        Err(Rejection::circuit_open(
            self.name.clone(),
            why.map(Reason::as_str),
            wait,
            last_error,
        ))
    }

    /// The service could not become ready.
    pub(super) fn unready(&self) {
        self.change(|core| core.unready(Instant::now()));
    }
}
