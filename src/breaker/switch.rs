use std::{
    fmt,
    sync::{Arc, PoisonError, Weak},
};

use super::shared::Shared;
use crate::{
    call::catch_hook,
    util::sync::{Mutex, MutexGuard},
};

/// What a [`Switch`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwitchMode {
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
/// builder: a [`KeyedBreaker`](super::KeyedBreaker), [`BreakerRegistry`](super::BreakerRegistry). A breaker holds none.
///
/// When the last clone is dropped while the switch is thrown, it is [released](Self::release): nobody could do so any
/// more.
///
/// ```
/// use tower_keep::{CircuitBreaker, breaker::{CircuitState, Switch}};
///
/// let maintenance = Switch::new();
/// let [a, b] = ["a", "b"].map(|name| CircuitBreaker::builder(name).switch(&maintenance));
/// let (a, b) = (a.build()?, b.build()?);
/// a.force_open();
///
/// maintenance.disable();
/// assert_eq!((a.state(), b.state()), (CircuitState::Disabled, CircuitState::Disabled));
/// maintenance.release();
/// assert_eq!((a.state(), b.state()), (CircuitState::ForcedOpen, CircuitState::Closed));
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct Switch {
    shared: Arc<SwitchShared>,
}

/// State that all handles share; gone with the last of them.
#[derive(Default)]
struct SwitchShared {
    inner: Mutex<SwitchInner>,
}

#[derive(Default)]
struct SwitchInner {
    current: SwitchVersion,
    breakers: Vec<Weak<Shared>>,
}

/// A position, and how often the switch had been turned by then: of two orders, the later holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SwitchVersion {
    pub(super) version: u64,
    pub(super) mode: SwitchMode,
}

impl Switch {
    /// A switch that lets each breaker decide.
    pub fn new() -> Self {
        Switch::default()
    }

    /// Every breaker refuses everything until the switch is turned again.
    pub fn force_open(&self) {
        self.set_mode(SwitchMode::ForcedOpen);
    }

    /// Every breaker lets everything pass, and counts nothing, until the switch is turned again.
    pub fn disable(&self) {
        self.set_mode(SwitchMode::Disabled);
    }

    /// Back to normal.
    pub fn release(&self) {
        self.set_mode(SwitchMode::Normal);
    }

    /// What it says now.
    pub fn mode(&self) -> SwitchMode {
        self.current().mode
    }

    /// Turns it.
    pub fn set_mode(&self, position: SwitchMode) {
        self.shared.set_mode(position);
    }

    pub(super) fn current(&self) -> SwitchVersion {
        self.lock().current
    }

    /// The breaker obeys from now on.
    pub(super) fn register(&self, breaker: &Arc<Shared>) {
        let now = {
            let mut board = self.lock();
            // The dead are swept when the list would grow, so that it is at most twice as long as it must be.
            if board.breakers.len() == board.breakers.capacity() {
                board.breakers.retain(|member| member.strong_count() > 0);
                let room = board.breakers.len().max(4);
                board.breakers.reserve_exact(room);
            }
            board.breakers.push(Arc::downgrade(breaker));
            board.current
        };
        // It may have been turned since the breaker was made.
        breaker.apply_switch(now);
    }

    fn lock(&self) -> MutexGuard<'_, SwitchInner> {
        self.shared.lock()
    }
}

impl SwitchShared {
    fn set_mode(&self, position: SwitchMode) {
        let (turn, members): (SwitchVersion, Vec<_>) = {
            let mut board = self.lock();
            if board.current.mode == position {
                return;
            }
            board.current.mode = position;
            board.current.version += 1;
            let alive = board.breakers.iter().filter_map(Weak::upgrade);
            (board.current, alive.collect())
        };
        // Told without the lock: a subscriber may turn the switch itself, and a later turn may be faster.
        for breaker in members {
            breaker.apply_switch(turn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SwitchInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SwitchShared {
    fn drop(&mut self) {
        // Telling is others' code, and this may be the drop of a thread that panics.
        catch_hook(|| self.set_mode(SwitchMode::Normal));
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("position", &self.mode())
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
        assert!(switch.lock().breakers.len() <= 16);
        switch.force_open();
        assert!(alive.is_rejecting());
    }
}
