use std::{
    fmt,
    sync::{Arc, PoisonError, Weak},
};

use super::shared::Shared;
use crate::{
    call::quietly,
    util::sync::{Mutex, MutexGuard},
};

/// What a [`Switch`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Position {
    /// Each breaker decides by itself.
    #[default]
    Normal,
    /// All refuse.
    ForcedOpen,
    /// All let everything pass, and count nothing.
    Disabled,
}

/// One handle for many breakers: forces them all open, or disables them, and back.
///
/// For operators, feature flags, a whole region that is drained. Breakers obey it that are built with
/// [`switch`](super::CircuitBreakerBuilder::switch); those built later take its present position, without an event.
/// Calls never look at it: it holds weak references to its breakers and tells them, so it costs nothing while it
/// stands still.
///
/// # Which order wins
///
/// While it is thrown, the switch. What a breaker is told [by hand](super::CircuitBreaker::force_open) before or in
/// the meantime is remembered, and holds once the switch is back: a breaker forced open by hand stays so, the others
/// are closed and begin anew. [`reset`](super::CircuitBreaker::reset) takes back what was said by hand, not the switch.
///
/// # Clones
///
/// Clones are the same switch. A builder that was told of it holds one, and so does whatever makes breakers from such a
/// builder: a [`KeyedBreaker`](super::KeyedBreaker), [`Breakers`](super::Breakers). A breaker holds none.
///
/// When the last clone is dropped while the switch is thrown, it is [released](Self::release): nobody could do so any
/// more.
///
/// ```
/// use tower_keep::{CircuitBreaker, breaker::{State, Switch}};
///
/// let maintenance = Switch::new();
/// let [a, b] = ["a", "b"].map(|name| CircuitBreaker::builder(name).switch(&maintenance));
/// let (a, b) = (a.build()?, b.build()?);
/// a.force_open();
///
/// maintenance.disable();
/// assert_eq!((a.state(), b.state()), (State::Disabled, State::Disabled));
/// maintenance.release();
/// assert_eq!((a.state(), b.state()), (State::ForcedOpen, State::Closed));
/// # Ok::<_, tower_keep::InvalidSetting>(())
/// ```
#[derive(Clone, Default)]
pub struct Switch {
    wiring: Arc<Wiring>,
}

/// State that all handles share; gone with the last of them.
#[derive(Default)]
struct Wiring {
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    now: Turn,
    members: Vec<Weak<Shared>>,
}

/// A position, and how often the switch had been turned by then: of two orders, the later holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) position: Position,
}

impl Switch {
    /// A switch that lets each breaker decide.
    pub fn new() -> Self {
        Switch::default()
    }

    /// Every breaker refuses everything until the switch is turned again.
    pub fn force_open(&self) {
        self.turn(Position::ForcedOpen);
    }

    /// Every breaker lets everything pass, and counts nothing, until the switch is turned again.
    pub fn disable(&self) {
        self.turn(Position::Disabled);
    }

    /// Back to normal.
    pub fn release(&self) {
        self.turn(Position::Normal);
    }

    /// What it says now.
    pub fn position(&self) -> Position {
        self.now().position
    }

    /// Turns it.
    pub fn turn(&self, position: Position) {
        self.wiring.turn(position);
    }

    pub(super) fn now(&self) -> Turn {
        self.lock().now
    }

    /// The breaker obeys from now on.
    pub(super) fn join(&self, breaker: &Arc<Shared>) {
        let now = {
            let mut board = self.lock();
            // The dead are swept when the list would grow, so that it is at most twice as long as it must be.
            if board.members.len() == board.members.capacity() {
                board.members.retain(|member| member.strong_count() > 0);
                let room = board.members.len().max(4);
                board.members.reserve_exact(room);
            }
            board.members.push(Arc::downgrade(breaker));
            board.now
        };
        // It may have been turned since the breaker was made.
        breaker.obey(now);
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.wiring.lock()
    }
}

impl Wiring {
    fn turn(&self, position: Position) {
        let (turn, members): (Turn, Vec<_>) = {
            let mut board = self.lock();
            if board.now.position == position {
                return;
            }
            board.now.position = position;
            board.now.number += 1;
            let alive = board.members.iter().filter_map(Weak::upgrade);
            (board.now, alive.collect())
        };
        // Told without the lock: a subscriber may turn the switch itself, and a later turn may be faster.
        for breaker in members {
            breaker.obey(turn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wiring {
    fn drop(&mut self) {
        // Telling is others' code, and this may be the drop of a thread that panics.
        quietly(|| self.turn(Position::Normal));
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CircuitBreaker;

    #[test]
    fn breakers_that_are_gone_do_not_pile_up() {
        let switch = Switch::new();
        let build = || CircuitBreaker::builder("gone").switch(&switch).build();
        let alive = build().expect("sound");
        for _ in 0..1_000 {
            build().expect("sound");
        }
        assert!(switch.lock().members.len() <= 16);
        switch.force_open();
        assert!(alive.would_refuse());
    }
}
