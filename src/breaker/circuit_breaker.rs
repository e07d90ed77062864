use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::broadcast, time::Instant};

use super::{
    CallPermit, CircuitBreakerBuilder, keyed::KeyMember, settings::BreakerConfig, shared::Shared,
    state::CircuitState, state_machine::saturating_add, teller::Reporter, transition::Transition,
    window::CallCounts,
};
use crate::{
    call::{Label, Rejection},
    registry,
};

/// Stops calling what fails: see the [module](super). Clones are the same breaker.
#[derive(Clone)]
pub struct CircuitBreaker {
    pub(super) shared: Arc<Shared>,
}

impl CircuitBreaker {
    /// Returns a builder with the default settings.
    pub fn builder(name: impl Into<Label>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    /// Returns a builder for what textbooks draw: opens after five failures in a row, for 30 seconds, then one probe decides.
    pub fn classic(name: impl Into<Label>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into()).classic()
    }

    pub(super) fn from_config(plan: BreakerConfig) -> Self {
        let shared = Shared::new_registered(plan, Reporter::new());
        registry::register(&shared);
        CircuitBreaker { shared }
    }

    /// One of the breakers of many keys: it is listed with them, not by itself.
    pub(super) fn new_keyed(plan: BreakerConfig, seat: KeyMember) -> Self {
        CircuitBreaker {
            shared: Shared::new_registered(plan, Reporter::new_keyed(seat)),
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// Returns the state. An open circuit stays so until a call comes after its time; a half-open one whose probes are
    /// overdue opens when somebody asks.
    pub fn state(&self) -> CircuitState {
        self.shared.expire_probes();
        self.shared.state()
    }

    /// Returns what the window holds now.
    pub fn counts(&self) -> CallCounts {
        self.shared.lock().machine.counts(Instant::now())
    }

    /// Returns how many calls have failed in a row. A good head ends the row, unless its body then breaks.
    pub fn consecutive_failures(&self) -> u32 {
        self.shared.lock().machine.consecutive_failures()
    }

    /// Returns how many probes are on their way to the head of their response, and within their limit.
    pub fn probes_in_flight(&self) -> u32 {
        self.shared.expire_probes();
        self.shared.lock().machine.probes_in_flight()
    }

    /// Tells whether every call that came now would be refused.
    pub fn is_rejecting(&self) -> bool {
        self.shared.is_rejecting()
    }

    /// Opens the circuit for this time; one that is open already stays so for at least as long. For a peer that
    /// says when to come back. A forced or disabled breaker does not listen.
    pub fn open_for(&self, time: Duration) {
        self.open_until(saturating_add(Instant::now(), time));
    }

    /// Opens the circuit until then; see [`open_for`](Self::open_for).
    pub fn open_until(&self, until: Instant) {
        let now = Instant::now();
        self.shared.update(|core| core.open_until(until, now));
    }

    /// Refuses everything until [`reset`](Self::reset), in [shadow](Self::set_shadow) mode too.
    pub fn force_open(&self) {
        self.shared.update(|core| core.force_open(Instant::now()));
    }

    /// Lets everything pass, and counts nothing, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared.update(|core| core.disable(Instant::now()));
    }

    /// Closes the circuit and forgets all it has counted, whatever the state. If it is closed already, that is no
    /// transition. While a [`Switch`](super::Switch) is
    /// thrown, that comes into force when it is back.
    pub fn reset(&self) {
        self.shared.update(|core| core.reset(Instant::now()));
    }

    /// Switches shadow mode: the breaker counts and reports as ever, but refuses nothing of its own accord. What it is
    /// told [by hand](Self::force_open) or by a [`Switch`](super::Switch), it refuses all the same.
    pub fn set_shadow(&self, on: bool) {
        self.shared.set_shadow(on);
    }

    /// Tells whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.shared.is_shadow()
    }

    /// Subscribes to every transition from now on, in order. One who lags behind by more than 64 is told how many are lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        let events = self.shared.reporter.subscribe();
        // What was told before that, and so not here, is seen by whoever looks at the state after it.
        drop(self.shared.lock());
        events
    }

    /// Lets one call pass, to be settled by hand; dropping the permit cancels.
    ///
    /// # Errors
    ///
    /// The refusal, if the circuit is open.
    #[inline]
    pub fn try_acquire(&self) -> Result<CallPermit, Rejection> {
        CallPermit::acquire(self)
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.shared.name)
            .field("state", &self.shared.state())
            .finish_non_exhaustive()
    }
}
