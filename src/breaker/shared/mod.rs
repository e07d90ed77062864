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
    core::{Answer, Core, Pass},
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
    protocol::upload::Upload,
    util::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
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
    /// The core's run of successes, for those who count one without the lock.
    run: AtomicU32,
    locked: Mutex<Locked>,
    pub(super) teller: Teller,
    /// Wakes whenever what it refuses may have changed.
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

/// Holds what a refusal tells of the breaker.
struct Refusing {
    wait: Option<Duration>,
    generation: u64,
    state: State,
    why: Option<Reason>,
    last_error: Option<Name>,
}

impl Locked {
    #[inline]
    fn decided(&self, answer: Answer) -> Result<Pass, Refusing> {
        match answer {
            Answer::Passes(pass) => Ok(pass),
            Answer::Refused(wait) => Err(Refusing {
                wait,
                generation: self.core.generation(),
                state: self.core.state(),
                why: self.why,
                last_error: self.last_error.clone(),
            }),
        }
    }
}

/// What a call holds that a breaker let pass.
#[derive(Debug)]
pub struct BreakerPermit(Pass);

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
            run: AtomicU32::new(0),
            teller,
            signal: Signal::new(),
        };
        shared.teller.begin(&shared.name, shared.state());
        shared
    }

    /// The state, without the lock.
    pub(super) fn state(&self) -> State {
        self.gate.see().state()
    }

    /// Shows the state to a metrics recorder that has not seen it. Never under the lock.
    pub(super) fn show(&self) {
        self.teller.show();
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

    /// Counts probes as failed whose time is over, without waiting for a call to notice.
    pub(super) fn expire(&self) {
        if self.gate.see().state() == State::HalfOpen {
            self.change(|core| core.expire(Instant::now()));
        }
    }

    /// Returns which of the calls that came now would be refused. A closed circuit needs neither lock nor clock.
    #[inline]
    pub(super) fn refuses(&self, now: &Moment) -> Refuses {
        let gate = self.gate.see();
        if !gate.wants_lock() {
            return Refuses::No;
        }
        self.refuses_locked(now)
    }

    /// Returns whether some of the calls that came now would be refused: while the circuit is not closed, it is never
    /// none. Needs neither lock nor clock.
    #[inline]
    pub(super) fn refuses_any(&self) -> bool {
        let gate = self.gate.see();
        gate.wants_lock() && (!self.is_shadow() || gate.state() == State::ForcedOpen)
    }

    #[cold]
    fn refuses_locked(&self, now: &Moment) -> Refuses {
        if self.gate.see().state() == State::ForcedOpen {
            return Refuses::Yes;
        }
        if self.is_shadow() {
            return Refuses::No;
        }
        let now = now.now();
        self.with(&|| None, |locked| {
            let change = locked.core.expire(now);
            (locked.core.refuses(now), change)
        })
    }

    /// Whether a call that came now would be refused.
    pub(super) fn would_refuse(&self) -> bool {
        self.refuses(&Moment::default()).all()
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
        if gate.is_closed() {
            return Ok(BreakerPermit(Pass::passing(gate.generation())));
        }
        self.admit_not_closed(now)
    }

    #[cold]
    fn admit_not_closed(&self, now: &Moment) -> Result<BreakerPermit, Rejection> {
        // Nothing that is counted later will show the state to a recorder that is new.
        self.show();
        let gate = self.gate.see();
        if gate.is_disabled() {
            return Ok(BreakerPermit(Pass::passing(gate.generation())));
        }
        self.admit_locked(now.now(), now.has_upload())
    }

    fn admit_locked(&self, now: Instant, has_upload: bool) -> Result<BreakerPermit, Rejection> {
        // Most of those that come here. A step that may be a transition takes more.
        let locked = self.lock();
        if let Some(answer) = locked.core.refuses_outright(now) {
            let decided = locked.decided(answer);
            drop(locked);
            return self.carry_out(decided);
        }
        let decided = self.with_lock(locked, &|| None, |locked| {
            let (answer, change) = locked.core.admit(now, has_upload);
            (locked.decided(answer), change)
        });
        self.carry_out(decided)
    }

    fn carry_out(&self, decided: Result<Pass, Refusing>) -> Result<BreakerPermit, Rejection> {
        let refusing = match decided {
            Ok(pass) => return Ok(BreakerPermit(pass)),
            Err(refusing) => refusing,
        };
        self.teller.refused(&self.name);
        // A shadow refuses nothing of its own accord; what it was told by hand or by a switch, it does.
        if self.is_shadow() && refusing.state != State::ForcedOpen {
            return Ok(BreakerPermit(Pass::void(refusing.generation)));
        }
        Err(Rejection::circuit_open(
            self.name.clone(),
            refusing.why.map(Reason::as_str),
            refusing.wait,
            refusing.last_error,
        ))
    }

    /// The call has a body that comes from a caller, who may stall it.
    pub(super) fn watch_upload(&self, permit: &BreakerPermit, upload: &Upload) {
        if permit.0.is_probe() {
            self.change(|core| {
                core.watch_upload(permit.0, upload.clone());
                None
            });
        }
    }

    /// The service could not become ready.
    pub(super) fn unready(&self) {
        self.change(|core| core.unready(Instant::now()));
    }
}
