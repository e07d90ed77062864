//! Steps that may be transitions, and telling of them.

use tokio::time::Instant;

use super::{
    super::{
        core::{Change, Core},
        events::Transition,
        state::State,
        switch::Turn,
    },
    Locked, Shared,
};
use crate::{
    call::{Name, quietly},
    util::sync::{MutexGuard, atomic::Ordering},
};

impl Shared {
    /// A switch has been turned. Turns may arrive out of order.
    pub(in super::super) fn obey(&self, turn: Turn) {
        self.with(&|| None, |locked| {
            if turn.number <= locked.turn {
                return ((), None);
            }
            locked.turn = turn.number;
            ((), locked.core.switch(turn.position, Instant::now()))
        });
    }

    /// Runs a step that may be a transition.
    pub(in super::super) fn change(&self, step: impl FnOnce(&mut Core) -> Option<Change>) {
        self.change_told(&|| None, step);
    }

    pub(super) fn change_told(
        &self,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Core) -> Option<Change>,
    ) {
        self.with(text, |locked| ((), step(&mut locked.core)));
    }

    /// Runs a step that may be a transition, and tells of it after the lock is free. `text` is what the call says
    /// that makes the circuit open: formatting is user code, so it is done only then, and never under the lock.
    pub(super) fn with<R>(
        &self,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Locked) -> (R, Option<Change>),
    ) -> R {
        self.with_lock(self.lock(), text, step)
    }

    pub(super) fn with_lock<'a, R>(
        &'a self,
        mut locked: MutexGuard<'a, Locked>,
        text: &dyn Fn() -> Option<Box<str>>,
        step: impl FnOnce(&mut Locked) -> (R, Option<Change>),
    ) -> R {
        let (before, was_full) = (locked.core.generation(), locked.core.is_full());
        let (result, change) = step(&mut locked);
        let is_free = was_full && !locked.core.is_full();
        self.run.store(locked.core.run(), Ordering::Release);
        if locked.core.generation() != before {
            self.publish(&locked);
        }
        let Some(change) = change else {
            drop(locked);
            if is_free {
                self.signal.wake();
            }
            return result;
        };
        let opened = matches!(change.to, State::Open | State::ForcedOpen);
        let number = self.turn(&mut locked, change);
        drop(locked);
        self.signal.wake();
        let text = if opened {
            quietly(text).flatten()
        } else {
            None
        };
        let last_error = text.map(|text| Name::from(String::from(text)));
        let mut locked = self.lock();
        if opened && locked.core.transitions() == number {
            locked.last_error.clone_from(&last_error);
        }
        locked.queue.complete(number, last_error);
        self.tell(locked);
        result
    }

    /// Shows the new state to everybody who looks without the lock.
    fn publish(&self, locked: &Locked) {
        let (generation, state) = (locked.core.generation(), locked.core.state());
        // The word first: a success of the new generation must find it.
        self.pending.take(generation, locked.pending_tick);
        self.gate.show(generation, state);
    }

    /// Notes a transition, to be told; its number.
    fn turn(&self, locked: &mut Locked, change: Change) -> u64 {
        match change.to {
            State::Closed => locked.why = None,
            State::HalfOpen => {}
            State::Open | State::ForcedOpen | State::Disabled => {
                locked.why = Some(change.reason);
                locked.last_error = None;
            }
        }
        let number = change.number;
        let mut event = Transition::new(&self.name, change, self.is_shadow());
        event.key = self.teller.seat().map(|seat| seat.key().clone());
        locked.queue.push(event);
        number
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
