//! Steps that may be transitions, and telling of them.

use tokio::time::Instant;

use super::{
    super::{
        state::CircuitState,
        state_machine::{StateChange, StateMachine},
        switch::SwitchVersion,
        transition::Transition,
    },
    Locked, Shared,
};
use crate::{
    call::{Label, catch_hook},
    util::sync::{MutexGuard, atomic::Ordering},
};

impl Shared {
    /// A switch has been turned. Turns may arrive out of order.
    pub(in super::super) fn apply_switch(&self, turn: SwitchVersion) {
        self.with_locked(&|| None, |locked| {
            if turn.version <= locked.switch_version {
                return ((), None);
            }
            locked.switch_version = turn.version;
            (
                (),
                locked.machine.set_switch_mode(turn.mode, Instant::now()),
            )
        });
    }

    /// Runs a step that may be a transition.
    pub(in super::super) fn update(
        &self,
        step: impl FnOnce(&mut StateMachine) -> Option<StateChange>,
    ) {
        self.update_with_text(&|| None, step);
    }

    pub(super) fn update_with_text(
        &self,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut StateMachine) -> Option<StateChange>,
    ) {
        self.with_locked(text, |locked| ((), step(&mut locked.machine)));
    }

    /// Runs a step that may be a transition, and tells of it after the lock is free. `text` is what the call says
    /// that makes the circuit open: formatting is user code, so it is done only then, and never under the lock.
    pub(super) fn with_locked<R>(
        &self,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Locked) -> (R, Option<StateChange>),
    ) -> R {
        self.with_guard(self.lock(), text, step)
    }

    pub(super) fn with_guard<'a, R>(
        &'a self,
        mut locked: MutexGuard<'a, Locked>,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Locked) -> (R, Option<StateChange>),
    ) -> R {
        let (before, was_full) = (
            locked.machine.generation(),
            locked.machine.is_probing_at_limit(),
        );
        let (result, change) = step(&mut locked);
        let is_free = was_full && !locked.machine.is_probing_at_limit();
        self.run_id
            .store(locked.machine.run_id(), Ordering::Release);
        if locked.machine.generation() != before {
            self.store_state(&locked);
        }
        let Some(change) = change else {
            drop(locked);
            if is_free {
                self.signal.wake();
            }
            return result;
        };
        let opened = matches!(change.to, CircuitState::Open | CircuitState::ForcedOpen);
        let number = self.queue_transition(&mut locked, change);
        drop(locked);
        self.signal.wake();
        let text = if opened {
            catch_hook(text).flatten()
        } else {
            None
        };
        let last_error = text.map(|text| Label::from(String::from(text)));
        let mut locked = self.lock();
        if opened && locked.machine.transitions() == number {
            locked.last_error.clone_from(&last_error);
        }
        locked.events.complete(number, last_error);
        self.report_pending(locked);
        result
    }

    /// Shows the new state to everybody who looks without the lock.
    fn store_state(&self, locked: &Locked) {
        let (generation, state) = (locked.machine.generation(), locked.machine.state());
        // The word first: a success of the new generation must find it.
        self.pending_successes
            .drain(generation, locked.pending_bucket);
        self.packed_state.store(generation, state);
    }

    /// Notes a transition, to be told; its number.
    fn queue_transition(&self, locked: &mut Locked, change: StateChange) -> u64 {
        match change.to {
            CircuitState::Closed => locked.open_reason = None,
            CircuitState::HalfOpen => {}
            CircuitState::Open | CircuitState::ForcedOpen | CircuitState::Disabled => {
                locked.open_reason = Some(change.reason);
                locked.last_error = None;
            }
        }
        let number = change.number;
        let mut event = Transition::new(&self.name, change, self.is_shadow());
        event.key = self.reporter.member().map(|seat| seat.key().clone());
        locked.events.push(event);
        number
    }

    fn report_pending<'a>(&'a self, mut locked: MutexGuard<'a, Locked>) {
        if !locked.events.try_begin() {
            return;
        }
        while let Some(event) = locked.events.next() {
            drop(locked);
            self.reporter.report(&event);
            locked = self.lock();
        }
    }
}
