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
    sync::MutexGuard,
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
        let mut locked = self.lock();
        let (result, change) = step(&mut locked);
        let Some(change) = change else {
            return result;
        };
        let opened = matches!(change.to, State::Open | State::ForcedOpen);
        let number = self.turn(&mut locked, change);
        drop(locked);
        if opened {
            self.signal.wake();
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
