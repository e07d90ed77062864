use std::{sync::PoisonError, time::Duration};

use tokio::time::Instant;

use super::{
    bucket::Bucket,
    fast_path::FastPath,
    locked::Locked,
    permit::{BreakerPermit, PermitState},
    report::Reporter,
    state::CircuitState,
    state_machine::StateMachine,
    switch::SwitchMode,
    transition::Transition,
};
use crate::{
    call::{CallClock, Label, catch_hook},
    guard::{ReadySignal, Rejects},
    protocol::upload::Upload,
    util::{
        padded::Padded,
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
    },
};

/// Formats the error of a call; only called if the call opens the circuit.
pub(super) type ErrorText<'a> = &'a dyn Fn() -> Option<Box<str>>;

/// The state machine behind its lock, the fast path beside it, and who learns of transitions.
///
/// The lock is never held while user code runs: recorders, subscribers, wakers, the formatting of errors. The map of a
/// keyed breaker is the only lock that may be held while it is taken, and while it is held only the progress of an upload
/// is locked.
pub(super) struct BreakerCore {
    pub(super) fast_path: FastPath,
    /// Padded: whoever takes it must not take the lines of what every call reads.
    locked: Padded<Mutex<Locked>>,
    pub(super) shadow: AtomicBool,
    pub(super) reporter: Reporter,
    /// Wakes callers that wait for readiness whenever the calls that are rejected may have changed.
    pub(super) signal: ReadySignal,
}

impl BreakerCore {
    pub(super) fn new(
        machine: StateMachine,
        switch: (u64, SwitchMode),
        start: Instant,
        reporter: Reporter,
    ) -> Self {
        let shape = machine.window_shape();
        let bucket = shape.bucket_at(|| Duration::ZERO);
        let (version, mode) = switch;
        BreakerCore {
            fast_path: FastPath::new(machine.state(), start, shape, bucket),
            shadow: AtomicBool::new(machine.settings().shadow),
            locked: Padded(Mutex::new(Locked::new(machine, bucket, version, mode))),
            reporter,
            signal: ReadySignal::new(),
        }
    }

    /// Returns the state, without the lock.
    pub(super) fn state(&self) -> CircuitState {
        self.fast_path.state()
    }

    /// Reports the state to a metrics recorder that does not have it. Must not be called under the lock.
    #[inline]
    pub(super) fn report_state(&self) {
        self.reporter.report_state();
    }

    pub(super) fn is_shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    pub(super) fn set_shadow(&self, on: bool) {
        self.shadow.store(on, Ordering::Relaxed);
        // Under the lock: a circuit that opens later is a shadow to all whom its transition wakes.
        let is_closed = self.lock().machine.state() == CircuitState::Closed;
        // Some wait for the service, and may be rejected from now on; others for the circuit, and are not any more. While it
        // is closed there are none of those.
        if !on || !is_closed {
            self.signal.wake();
        }
    }

    /// Takes the lock, and counts the pending successes of the fast path.
    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a closed circuit has any. The state cannot change meanwhile: it changes under the lock alone.
        if self.state() == CircuitState::Closed {
            let bucket = locked.pending_bucket;
            let successes = self.fast_path.drain(locked.machine.generation(), bucket);
            locked.machine.record_successes(bucket.index, successes);
        }
        locked
    }

    #[inline]
    pub(super) fn record_success(&self, generation: u64, clock: &CallClock) -> PermitState {
        self.fast_path.record_success(
            generation,
            clock,
            || self.report_state(),
            || self.rotate_bucket(generation, clock),
        )
    }

    /// Counts the first success of a bucket under the lock, and moves the fast path on to that bucket unless it is ahead
    /// already.
    #[cold]
    fn rotate_bucket(&self, generation: u64, clock: &CallClock) -> Bucket {
        // Counts what is pending, so the old bucket is complete but for what comes in from here on.
        let mut locked = self.lock();
        // Again, under the lock: the window may have got another shape since.
        let bucket = self.fast_path.bucket(clock);
        // The circuit has changed since the success was found to belong to it: it is too late.
        if locked.machine.generation() != generation {
            return bucket;
        }
        locked.machine.record_successes(bucket.index, 1);
        // A thread that read the clock earlier must not turn the word back to its bucket.
        if bucket.index > locked.pending_bucket.index {
            self.move_pending(&mut locked, bucket);
        }
        // A recorder is user code.
        drop(locked);
        self.report_state();
        bucket
    }

    /// Makes the pending words those of this bucket. What they hold belongs to the bucket of before: successes that other
    /// threads have added since the lock was taken.
    pub(super) fn move_pending(&self, locked: &mut Locked, bucket: Bucket) {
        let before = std::mem::replace(&mut locked.pending_bucket, bucket);
        let generation = locked.machine.generation();
        let late = self.fast_path.drain(generation, bucket);
        locked.machine.record_successes(before.index, late);
    }

    /// Counts overdue probes as failed, without waiting for a call to notice.
    pub(super) fn expire_probes(&self) {
        if self.state() == CircuitState::HalfOpen {
            self.update(|machine| machine.expire(Instant::now()));
        }
    }

    /// Returns which calls would be rejected now. A closed circuit needs neither the lock nor the clock.
    #[inline]
    pub(super) fn rejects(&self, clock: &CallClock) -> Rejects {
        match self.state() {
            CircuitState::Closed | CircuitState::Disabled => Rejects::None,
            CircuitState::ForcedOpen => Rejects::All,
            CircuitState::Open | CircuitState::HalfOpen => self.rejects_locked(clock),
        }
    }

    #[cold]
    fn rejects_locked(&self, clock: &CallClock) -> Rejects {
        // A shadow rejects only when it is forced open, which has been answered before.
        if self.is_shadow() {
            return Rejects::None;
        }
        let now = clock.now();
        self.update_locked(self.lock(), &|| None, |locked| {
            // First: an overdue probe may end the phase, and a stalled one loses its slot.
            let transition = locked.machine.expire(now);
            (locked.machine.rejects(now), transition)
        })
    }

    /// Returns whether some calls would be rejected now. Needs neither the lock nor the clock.
    #[inline]
    pub(super) fn rejects_any(&self) -> bool {
        match self.state() {
            CircuitState::Closed | CircuitState::Disabled => false,
            CircuitState::ForcedOpen => true,
            CircuitState::Open | CircuitState::HalfOpen => !self.is_shadow(),
        }
    }

    /// Returns whether every call would be rejected now.
    pub(super) fn is_rejecting(&self) -> bool {
        self.rejects(&CallClock::default()).is_all()
    }

    /// Watches the upload of a call, which its caller may stall. Only that of a probe matters.
    pub(super) fn watch_upload(&self, permit: &BreakerPermit, upload: &Upload) {
        if matches!(permit.state, PermitState::Probe { .. }) {
            self.update(|machine| {
                machine.watch_upload(permit, upload.clone());
                None
            });
        }
    }

    /// Records that the service failed to become ready.
    pub(super) fn on_not_ready(&self) {
        self.update(|machine| machine.on_not_ready(Instant::now()));
    }

    /// Opens the circuit for as long as the peer asks in its answer to this call.
    pub(super) fn open_on_retry_after(
        &self,
        permit: &BreakerPermit,
        wait: Duration,
        now: Instant,
        text: ErrorText<'_>,
    ) {
        let generation = permit.generation;
        self.update_with_text(text, |machine| {
            machine.open_on_retry_after(generation, wait, now)
        });
    }

    /// Applies a mode of the switch. Versions may arrive out of order; the highest one wins.
    pub(super) fn apply_switch(&self, version: u64, mode: SwitchMode) {
        self.update_locked(self.lock(), &|| None, |locked| {
            if version <= locked.switch_version {
                return ((), None);
            }
            locked.switch_version = version;
            let transition = locked.machine.set_switch_mode(mode, Instant::now());
            ((), transition)
        });
    }

    /// Runs a step that may be a transition.
    pub(super) fn update(&self, step: impl FnOnce(&mut StateMachine) -> Option<Transition>) {
        self.update_with_text(&|| None, step);
    }

    pub(super) fn update_with_text(
        &self,
        text: ErrorText<'_>,
        step: impl FnOnce(&mut StateMachine) -> Option<Transition>,
    ) {
        self.update_locked(self.lock(), text, |locked| ((), step(&mut locked.machine)));
    }

    /// Runs a step that may be a transition, publishes the new state, and reports it once the lock is free.
    pub(super) fn update_locked<'a, R>(
        &'a self,
        mut locked: MutexGuard<'a, Locked>,
        text: ErrorText<'_>,
        step: impl FnOnce(&mut Locked) -> (R, Option<Transition>),
    ) -> R {
        let before = locked.machine.generation();
        let was_full = locked.machine.is_probing_at_limit();
        let (result, transition) = step(&mut locked);
        let has_free_slot = was_full && !locked.machine.is_probing_at_limit();
        // Before the state: whoever loads a new generation must find its run of successes.
        self.fast_path.store_run_id(locked.machine.run_id());
        let generation = locked.machine.generation();
        // Not by the transition: the reset of a closed circuit is none, and yet makes the calls in flight too late.
        if generation != before {
            // The pending words first: a success of the new generation must find it.
            self.fast_path.drain(generation, locked.pending_bucket);
            self.fast_path.store(generation, locked.machine.state());
        }
        match transition {
            Some(transition) => self.report(locked, transition, text),
            None => {
                drop(locked);
                // A probe without a result has left its slot to another call. That is no transition.
                if has_free_slot {
                    self.signal.wake();
                }
            }
        }
        result
    }

    /// Reports a transition, after those that other threads have queued before.
    fn report<'a>(
        &'a self,
        mut locked: MutexGuard<'a, Locked>,
        mut transition: Transition,
        text: ErrorText<'_>,
    ) {
        let is_open = matches!(transition.to, CircuitState::Open | CircuitState::ForcedOpen);
        transition.shadow = self.is_shadow();
        // Under the lock that made the transition, so that the queue has their order.
        let number = locked.queue(transition);
        drop(locked);
        // Callers that wait come first: what follows is user code and may take its time.
        self.signal.wake();
        let text = is_open.then(|| catch_hook(text)).flatten().flatten();
        let last_error = text.map(|text| Label::from(String::from(text)));
        let mut locked = self.lock();
        locked.complete(number, last_error);
        // The thread that is reporting comes to this transition as well. One that had come to it before would have stopped
        // there, and left the rest to this thread.
        if !locked.begin_reporting() {
            return;
        }
        while let Some(transition) = locked.next_transition() {
            drop(locked);
            self.reporter.report(&transition);
            locked = self.lock();
        }
    }
}
