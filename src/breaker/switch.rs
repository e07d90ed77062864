use std::{
    fmt,
    sync::{Arc, PoisonError, Weak},
};

use super::shared::BreakerShared;
use crate::{
    call::catch_hook,
    util::sync::{Mutex, MutexGuard},
};

/// The mode of a [`Switch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwitchMode {
    /// Each breaker decides by itself.
    #[default]
    Normal,
    /// Every breaker rejects all calls.
    ForcedOpen,
    /// Every breaker admits all calls, and counts none.
    Disabled,
}

/// A handle for many breakers, which forces them all open, or disables them, and back.
///
/// For operators, feature flags, a whole region that is drained. It overrides breakers that are built with
/// [`switch`](super::CircuitBreakerBuilder::switch); those that are built later take its present mode, without a transition.
/// It holds weak references to its breakers and notifies them, so calls never read it.
///
/// # Which override wins
///
/// While a mode is set, the switch. What a breaker is told [by itself](super::CircuitBreaker::force_open) before or
/// meanwhile is remembered, and holds once the switch is released: a breaker that was forced open itself stays so, the
/// others are closed and start again. [`reset`](super::CircuitBreaker::reset) takes back the override of the breaker, not that
/// of the switch.
///
/// # Clones
///
/// Clones are the same switch. A builder that got the switch holds one, and so does what builds breakers from such a
/// builder: a [`KeyedBreaker`](super::KeyedBreaker), a [`BreakerRegistry`](super::BreakerRegistry). A breaker holds none.
///
/// A switch whose last clone is dropped while a mode is set is [released](Self::release): no one could do so any more.
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
pub struct Switch(Arc<Mutex<SwitchInner>>);

/// The switch behind all of its handles; dropped with the last of them.
#[derive(Default)]
struct SwitchInner {
    mode: SwitchMode,
    /// The number of changes of the mode. A breaker applies the highest version that it has seen.
    version: u64,
    breakers: Vec<Weak<BreakerShared>>,
}

impl Switch {
    /// Creates a switch in the mode [`Normal`](SwitchMode::Normal).
    ///
    /// ```
    /// use tower_keep::breaker::{Switch, SwitchMode};
    ///
    /// assert_eq!(Switch::new().mode(), SwitchMode::Normal);
    /// ```
    pub fn new() -> Self {
        Switch::default()
    }

    /// Makes every breaker reject all calls, until another mode is set.
    pub fn force_open(&self) {
        self.set_mode(SwitchMode::ForcedOpen);
    }

    /// Makes every breaker admit all calls and count none, until another mode is set.
    pub fn disable(&self) {
        self.set_mode(SwitchMode::Disabled);
    }

    /// Lets each breaker decide by itself again.
    pub fn release(&self) {
        self.set_mode(SwitchMode::Normal);
    }

    /// Returns the mode.
    pub fn mode(&self) -> SwitchMode {
        self.current().1
    }

    /// Sets the mode.
    pub fn set_mode(&self, mode: SwitchMode) {
        let change = self.lock().set_mode(mode);
        // Without the lock: a subscriber may set the switch itself. Its version is higher, and wins.
        if let Some((version, breakers)) = change {
            notify(breakers, version, mode);
        }
    }

    /// Returns the version and the mode.
    pub(super) fn current(&self) -> (u64, SwitchMode) {
        let inner = self.lock();
        (inner.version, inner.mode)
    }

    /// Adds a breaker, which applies the mode from now on.
    pub(super) fn register(&self, breaker: &Arc<BreakerShared>) {
        let (version, mode) = {
            let mut inner = self.lock();
            inner.add(breaker);
            (inner.version, inner.mode)
        };
        // The mode may have changed since the breaker was created.
        breaker.core.apply_switch(version, mode);
    }

    fn lock(&self) -> MutexGuard<'_, SwitchInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SwitchInner {
    /// Returns the new version and the breakers to notify, or `None` if the mode is set already.
    fn set_mode(&mut self, mode: SwitchMode) -> Option<(u64, Vec<Arc<BreakerShared>>)> {
        if self.mode == mode {
            return None;
        }
        self.mode = mode;
        self.version += 1;
        // Held until all are notified. The version decides between this and a mode that is set meanwhile.
        let breakers = self.breakers.iter().filter_map(Weak::upgrade);
        Some((self.version, breakers.collect()))
    }

    fn add(&mut self, breaker: &Arc<BreakerShared>) {
        // References to dropped breakers are removed when the list would grow, so that at most half of it is unused.
        if self.breakers.len() == self.breakers.capacity() {
            self.breakers.retain(|breaker| breaker.strong_count() > 0);
            let additional = self.breakers.len().max(4);
            self.breakers.reserve_exact(additional);
        }
        self.breakers.push(Arc::downgrade(breaker));
    }
}

impl Drop for SwitchInner {
    fn drop(&mut self) {
        if let Some((version, breakers)) = self.set_mode(SwitchMode::Normal) {
            // Reporting runs user code, and the thread may be panicking.
            catch_hook(|| notify(breakers, version, SwitchMode::Normal));
        }
    }
}

fn notify(breakers: Vec<Arc<BreakerShared>>, version: u64, mode: SwitchMode) {
    for breaker in breakers {
        breaker.core.apply_switch(version, mode);
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CircuitBreaker;

    #[test]
    fn switch_forgets_dropped_breakers() {
        let switch = Switch::new();
        let build = || CircuitBreaker::builder("gone").switch(&switch).build();
        let alive = build().expect("valid settings");
        for _ in 0..1_000 {
            build().expect("valid settings");
        }
        assert!(switch.lock().breakers.len() <= 16);
        switch.force_open();
        assert!(alive.is_rejecting());
    }
}
