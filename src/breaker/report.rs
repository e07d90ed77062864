//! Reports transitions to metrics, the log, subscribers and hooks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tokio::sync::broadcast;

use super::{
    breaker_metrics::{BreakerMetrics, UNCOUNTED},
    state::CircuitState,
    transition::Transition,
    transition_hook::TransitionHook,
};
use crate::{
    call::{Label, catch_hook},
    registry::{self, GuardTransition},
    util::{
        event::warn_or_info,
        recorder::RecorderKind,
        sync::{OnceLock, atomic::AtomicUsize},
    },
};

/// The number of transitions that a subscriber may lag behind.
const CHANNEL_CAPACITY: usize = 64;

/// The subscribers to transitions. The channel is created for the first one: most breakers have none, and there may be a
/// breaker for each key.
pub(super) type Subscribers = OnceLock<broadcast::Sender<Transition>>;

pub(super) fn subscribe(subscribers: &Subscribers) -> broadcast::Receiver<Transition> {
    subscribers
        .get_or_init(|| broadcast::Sender::new(CHANNEL_CAPACITY))
        .subscribe()
}

/// Sends a transition to subscribers. Sending wakes them, and a waker is user code.
pub(super) fn send(subscribers: &Subscribers, transition: &Transition) {
    if let Some(subscribers) = subscribers.get() {
        catch_hook(|| subscribers.send(transition.clone()).is_ok());
    }
}

/// Reports the transitions of one breaker.
pub(super) struct Reporter {
    /// The key, if the breaker is that of one key: it then shares its metrics with those of other keys.
    key: Option<Label>,
    /// `None` if the breaker is a part of another guard, which reports by its hook: then the hook is all that is called.
    metrics: Option<Arc<BreakerMetrics>>,
    /// The index of the state in which the metrics count the breaker. Changes under their lock.
    counted_state: AtomicUsize,
    subscribers: Subscribers,
    hook: Option<TransitionHook>,
    /// True once the global recorder has the state.
    is_state_reported: AtomicBool,
}

impl Reporter {
    pub(super) fn new(name: &Label) -> Self {
        Reporter::with_metrics(Some(BreakerMetrics::new(name)), None)
    }

    pub(super) fn new_keyed(metrics: &Arc<BreakerMetrics>, key: Label) -> Self {
        Reporter::with_metrics(Some(metrics.clone()), Some(key))
    }

    /// Returns the reporter of a breaker that is a part of another guard.
    #[cfg(feature = "balance")]
    pub(super) fn new_part(key: Label) -> Self {
        Reporter::with_metrics(None, Some(key))
    }

    fn with_metrics(metrics: Option<Arc<BreakerMetrics>>, key: Option<Label>) -> Self {
        Reporter {
            key,
            metrics,
            counted_state: AtomicUsize::new(UNCOUNTED),
            subscribers: OnceLock::new(),
            hook: None,
            is_state_reported: AtomicBool::new(false),
        }
    }

    pub(super) fn with_hook(mut self, hook: Option<TransitionHook>) -> Self {
        self.hook = hook;
        self
    }

    pub(super) fn key(&self) -> Option<&Label> {
        self.key.as_ref()
    }

    pub(super) fn counted_state(&self) -> &AtomicUsize {
        &self.counted_state
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        subscribe(&self.subscribers)
    }

    /// Reports a transition to everything that follows the breaker. A recorder or subscriber that panics is counted, and
    /// changes nothing.
    pub(super) fn report(&self, transition: &Transition) {
        if let Some(metrics) = &self.metrics {
            self.report_to(metrics, transition);
        }
        if let Some(hook) = &self.hook {
            hook.call(transition);
        }
    }

    fn report_to(&self, metrics: &BreakerMetrics, transition: &Transition) {
        // Subscribers last: whoever subscribes too late for a transition finds it in the counts.
        catch_hook(|| count_transition(transition));
        self.set_counted_state(transition.to);
        metrics.wake_if_rejecting(transition);
        catch_hook(|| log_transition(transition));
        send(&self.subscribers, transition);
        send(metrics.subscribers(), transition);
        registry::publish(|| guard_transition(transition));
    }

    pub(super) fn set_counted_state(&self, state: CircuitState) {
        if let Some(metrics) = &self.metrics {
            metrics.transition(&self.counted_state, state);
        }
    }

    /// Counts a new breaker in its state. That of a key is counted once the key is [inserted](Self::add).
    pub(super) fn register(&self, state: CircuitState) {
        match (&self.metrics, &self.key) {
            (Some(metrics), None) => metrics.add(&self.counted_state, || state),
            (Some(metrics), Some(_)) => metrics.report_state(),
            (None, _) => {}
        }
    }

    /// Counts the breaker of a key from now on.
    pub(super) fn add(&self, state: impl FnOnce() -> CircuitState) {
        if let Some(metrics) = &self.metrics {
            metrics.add(&self.counted_state, state);
        }
    }

    /// Reports the state to a recorder that was installed after the breaker was built. Cheap enough for every call.
    #[inline]
    pub(super) fn report_state(&self) {
        let recorder = RecorderKind::current();
        let is_reported = match recorder {
            RecorderKind::None => true,
            RecorderKind::Global => self.is_state_reported.load(Ordering::Relaxed),
            // It may be another one than the last, at the same address.
            RecorderKind::Local => false,
        };
        if !is_reported {
            self.report_state_to(recorder);
        }
    }

    #[cold]
    fn report_state_to(&self, recorder: RecorderKind) {
        if let Some(metrics) = &self.metrics {
            metrics.report_state();
        }
        // Only that of the global recorder is remembered: a process has one, and keeps it.
        let is_global = recorder == RecorderKind::Global;
        self.is_state_reported.store(is_global, Ordering::Relaxed);
    }

    pub(super) fn rejected(&self) -> u64 {
        self.metrics
            .as_ref()
            .map_or(0, |metrics| metrics.rejected())
    }

    pub(super) fn count_rejection(&self, breaker: &Label) {
        if let Some(metrics) = &self.metrics {
            metrics.count_rejection(breaker);
        }
    }
}

/// Returns what the registry reports. The kinds are those of the entries of the registry.
fn guard_transition(transition: &Transition) -> GuardTransition {
    GuardTransition {
        kind: match transition.key {
            None => "circuit_breaker",
            Some(_) => "keyed_circuit_breaker",
        },
        name: transition.breaker.clone(),
        key: transition.key.clone(),
        from: transition.from.as_str(),
        to: transition.to.as_str(),
        limits: None,
        reason: transition.reason.as_str(),
        last_error: transition.last_error.clone(),
        shadow: transition.shadow,
        at: SystemTime::now(),
    }
}

fn count_transition(transition: &Transition) {
    metrics::counter!(
        "tower_keep_breaker_transitions_total",
        "breaker" => transition.breaker.to_string(),
        "to" => transition.to.as_str(),
        "reason" => transition.reason.as_str(),
    )
    .increment(1);
}

/// Logs a transition; as a warning what needs attention: calls are rejected, or the peer is not protected any more.
fn log_transition(transition: &Transition) {
    let needs_attention = match transition.to {
        CircuitState::Open | CircuitState::ForcedOpen | CircuitState::Disabled => true,
        CircuitState::Closed | CircuitState::HalfOpen => false,
    };
    warn_or_info!(
        needs_attention,
        target: "tower_keep::breaker",
        breaker = transition.breaker.as_str(),
        key = transition.key.as_ref().map(Label::as_str),
        number = transition.number,
        from = transition.from.as_str(),
        to = transition.to.as_str(),
        reason = transition.reason.as_str(),
        last_error = transition.last_error.as_ref().map(Label::as_str),
        open_for_ms = transition.open_for.map(|time| time.as_millis() as u64),
        calls = transition.counts.calls,
        failures = transition.counts.failures,
        slow = transition.counts.slow,
        shadow = transition.shadow,
        "circuit breaker changed its state"
    );
}
