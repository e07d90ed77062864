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
    fast_path::{PackedState, PendingSuccesses},
    retry_after::RetryAfterRules,
    settings::{BreakerConfig, Settings, WindowKind},
    state::CircuitState,
    state_machine::{AdmissionDecision, RawPermit, StateMachine},
    switch::{Switch, SwitchMode, SwitchVersion},
    teller::Reporter,
    transition::{EventQueue, TransitionReason},
    window::BucketClock,
};
use crate::{
    call::{CallClock, Label, Rejection},
    guard::{ReadySignal, Rejects},
    protocol::upload::Upload,
    util::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

/// What all handles of a breaker share: the core behind a lock, and the two words that a closed circuit needs.
pub(super) struct Shared {
    pub(super) name: Label,
    settings: Settings,
    retry_after: RetryAfterRules,
    bucket_clock: BucketClock,
    shadow: AtomicBool,
    packed_state: PackedState,
    /// Successes since the lock was last held.
    pending_successes: PendingSuccesses,
    /// The core's run of successes, for those who count one without the lock.
    run_id: AtomicU32,
    locked: Mutex<Locked>,
    pub(super) reporter: Reporter,
    /// Wakes whenever what it refuses may have changed.
    pub(super) signal: ReadySignal,
}

pub(super) struct Locked {
    pub(super) machine: StateMachine,
    pending_bucket: u64,
    /// The last turn of the switch that it has obeyed.
    switch_version: u64,
    events: EventQueue,
    /// Why it is not closed; while probes are out, why it was opened.
    pub(super) open_reason: Option<TransitionReason>,
    /// What the call said that last opened it.
    pub(super) last_error: Option<Label>,
}

/// Holds what a refusal tells of the breaker.
struct RejectionDetails {
    retry_after: Option<Duration>,
    generation: u64,
    state: CircuitState,
    reason: Option<TransitionReason>,
    last_error: Option<Label>,
}

impl Locked {
    #[inline]
    fn explain(&self, answer: AdmissionDecision) -> Result<RawPermit, RejectionDetails> {
        match answer {
            AdmissionDecision::Admit(pass) => Ok(pass),
            AdmissionDecision::Reject(wait) => Err(RejectionDetails {
                retry_after: wait,
                generation: self.machine.generation(),
                state: self.machine.state(),
                reason: self.open_reason,
                last_error: self.last_error.clone(),
            }),
        }
    }
}

/// What a call holds that a breaker let pass.
#[derive(Debug)]
pub struct BreakerPermit(RawPermit);

impl Shared {
    /// Made, and entered where it obeys.
    pub(super) fn new_registered(mut plan: BreakerConfig, teller: Reporter) -> Arc<Self> {
        let switch = plan.switch.take();
        let turn = switch.as_ref().map(Switch::current).unwrap_or_default();
        let shared = Arc::new(Shared::new(plan, turn, teller));
        if let Some(switch) = switch {
            switch.register(&shared);
        }
        shared
    }

    fn new(plan: BreakerConfig, turn: SwitchVersion, teller: Reporter) -> Self {
        let BreakerConfig {
            name,
            settings,
            shadow,
            retry_after: heed,
            switch: _,
        } = plan;
        let now = Instant::now();
        let ticks = match settings.window {
            WindowKind::Time(window, buckets) => BucketClock::new(now, window, buckets),
            // All calls fall into one bucket of a ring that has none.
            WindowKind::Count(_) => BucketClock::new(now, Duration::MAX, 1),
        };
        let shared = Shared {
            locked: Mutex::new(Locked {
                switch_version: turn.version,
                open_reason: (turn.mode != SwitchMode::Normal).then_some(TransitionReason::Switch),
                machine: StateMachine::new(settings, ticks, turn.mode, now),
                pending_bucket: 1,
                events: EventQueue::default(),
                last_error: None,
            }),
            name,
            settings,
            retry_after: heed,
            bucket_clock: ticks,
            shadow: AtomicBool::new(shadow),
            packed_state: PackedState::new(match turn.mode {
                SwitchMode::Normal => CircuitState::Closed,
                SwitchMode::ForcedOpen => CircuitState::ForcedOpen,
                SwitchMode::Disabled => CircuitState::Disabled,
            }),
            pending_successes: PendingSuccesses::new(),
            run_id: AtomicU32::new(0),
            reporter: teller,
            signal: ReadySignal::new(),
        };
        shared.reporter.register(&shared.name, shared.state());
        shared
    }

    /// The state, without the lock.
    pub(super) fn state(&self) -> CircuitState {
        self.packed_state.load().state()
    }

    /// Shows the state to a metrics recorder that has not seen it. Never under the lock.
    pub(super) fn report_state(&self) {
        self.reporter.report_state();
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
    pub(super) fn expire_probes(&self) {
        if self.packed_state.load().state() == CircuitState::HalfOpen {
            self.update(|core| core.expire(Instant::now()));
        }
    }

    /// Returns which of the calls that came now would be refused. A closed circuit needs neither lock nor clock.
    #[inline]
    pub(super) fn rejects(&self, now: &CallClock) -> Rejects {
        let gate = self.packed_state.load();
        if !gate.needs_lock() {
            return Rejects::None;
        }
        self.rejects_locked(now)
    }

    /// Returns whether some of the calls that came now would be refused: while the circuit is not closed, it is never
    /// none. Needs neither lock nor clock.
    #[inline]
    pub(super) fn rejects_any(&self) -> bool {
        let gate = self.packed_state.load();
        gate.needs_lock() && (!self.is_shadow() || gate.state() == CircuitState::ForcedOpen)
    }

    #[cold]
    fn rejects_locked(&self, now: &CallClock) -> Rejects {
        if self.packed_state.load().state() == CircuitState::ForcedOpen {
            return Rejects::All;
        }
        if self.is_shadow() {
            return Rejects::None;
        }
        let now = now.now();
        self.with_locked(&|| None, |locked| {
            let change = locked.machine.expire(now);
            (locked.machine.rejects(now), change)
        })
    }

    /// Whether a call that came now would be refused.
    pub(super) fn is_rejecting(&self) -> bool {
        self.rejects(&CallClock::default()).is_all()
    }

    /// The lock, and with it everything that is known.
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        // Only then are there any that wait; the state changes under the lock alone.
        if self.packed_state.load().is_closed() {
            let tick = locked.pending_bucket;
            let times = self
                .pending_successes
                .drain(locked.machine.generation(), tick);
            locked.machine.record_successes(tick, times);
        }
        locked
    }

    #[inline]
    pub(super) fn admit(&self, now: &CallClock) -> Result<BreakerPermit, Rejection> {
        if self.settings.slow_call.is_some() {
            now.now();
        }
        let gate = self.packed_state.load();
        if gate.is_closed() {
            return Ok(BreakerPermit(RawPermit::admitted(gate.generation())));
        }
        self.admit_not_closed(now)
    }

    #[cold]
    fn admit_not_closed(&self, now: &CallClock) -> Result<BreakerPermit, Rejection> {
        // Nothing that is counted later will show the state to a recorder that is new.
        self.report_state();
        let gate = self.packed_state.load();
        if gate.is_disabled() {
            return Ok(BreakerPermit(RawPermit::admitted(gate.generation())));
        }
        self.admit_locked(now.now(), now.has_upload())
    }

    fn admit_locked(&self, now: Instant, has_upload: bool) -> Result<BreakerPermit, Rejection> {
        // Most of those that come here. A step that may be a transition takes more.
        let locked = self.lock();
        if let Some(answer) = locked.machine.reject_if_open(now) {
            let decided = locked.explain(answer);
            drop(locked);
            return self.finish_admission(decided);
        }
        let decided = self.with_guard(locked, &|| None, |locked| {
            let (answer, change) = locked.machine.admit(now, has_upload);
            (locked.explain(answer), change)
        });
        self.finish_admission(decided)
    }

    fn finish_admission(
        &self,
        decided: Result<RawPermit, RejectionDetails>,
    ) -> Result<BreakerPermit, Rejection> {
        let refusing = match decided {
            Ok(pass) => return Ok(BreakerPermit(pass)),
            Err(refusing) => refusing,
        };
        self.reporter.count_rejection(&self.name);
        // A shadow refuses nothing of its own accord; what it was told by hand or by a switch, it does.
        if self.is_shadow() && refusing.state != CircuitState::ForcedOpen {
            return Ok(BreakerPermit(RawPermit::uncounted(refusing.generation)));
        }
        Err(Rejection::circuit_open(
            self.name.clone(),
            refusing.reason.map(TransitionReason::as_str),
            refusing.retry_after,
            refusing.last_error,
        ))
    }

    /// The call has a body that comes from a caller, who may stall it.
    pub(super) fn watch_upload(&self, permit: &BreakerPermit, upload: &Upload) {
        if permit.0.is_probe() {
            self.update(|core| {
                core.watch_upload(permit.0, upload.clone());
                None
            });
        }
    }

    /// The service could not become ready.
    pub(super) fn on_not_ready(&self) {
        self.update(|core| core.on_not_ready(Instant::now()));
    }
}
