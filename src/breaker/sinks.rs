//! What news of a breaker go through: metrics, the log, channels.

use metrics::{Counter, Gauge, Unit};
use tokio::sync::broadcast;

use super::{state::CircuitState, transition::Transition};
use crate::call::{Label, catch_hook};

/// How many transitions a subscriber may lag behind.
const CHANNEL_CAPACITY: usize = 64;

pub(super) fn new_channel() -> broadcast::Sender<Transition> {
    broadcast::Sender::new(CHANNEL_CAPACITY)
}

/// It wakes those who wait, and what a waker does is not ours.
pub(super) fn send_event(subscribers: &broadcast::Sender<Transition>, event: &Transition) {
    catch_hook(|| subscribers.send(event.clone()).is_ok());
}

pub(super) fn rejection_counter(breaker: &Label) -> Counter {
    metrics::describe_counter!(
        "tower_keep_breaker_refusals_total",
        Unit::Count,
        "Calls that a circuit breaker refused, or would have in shadow mode."
    );
    metrics::counter!("tower_keep_breaker_refusals_total", "breaker" => breaker.to_string())
}

/// One gauge for each state.
pub(super) fn state_gauges(breaker: &Label) -> [Gauge; 5] {
    metrics::describe_counter!(
        "tower_keep_breaker_transitions_total",
        Unit::Count,
        "Changes of a circuit breaker's state."
    );
    metrics::describe_gauge!(
        "tower_keep_breaker_state",
        Unit::Count,
        "How many circuit breakers of the name are in the state, in this process."
    );
    CircuitState::ALL.map(|each| {
        let name = breaker.to_string();
        metrics::gauge!("tower_keep_breaker_state", "breaker" => name, "state" => each.as_str())
    })
}

macro_rules! emit {
    ($level:expr, $event:ident) => {
        tracing::event!(
            target: "tower_keep::breaker",
            $level,
            breaker = $event.breaker.as_str(),
            key = $event.key.as_ref().map(Label::as_str),
            number = $event.number,
            from = $event.from.as_str(),
            to = $event.to.as_str(),
            reason = $event.reason.as_str(),
            last_error = $event.last_error.as_ref().map(Label::as_str),
            open_for_ms = $event.open_for.map(|time| time.as_millis() as u64),
            calls = $event.counts.calls,
            failures = $event.counts.failures,
            slow = $event.counts.slow,
            shadow = $event.shadow,
            "circuit breaker changed its state"
        )
    };
}

/// What needs somebody's attention is a warning: calls are refused, or nothing is protected any more.
pub(super) fn log_transition(event: &Transition) {
    match event.to {
        CircuitState::Open | CircuitState::ForcedOpen | CircuitState::Disabled => {
            emit!(tracing::Level::WARN, event)
        }
        CircuitState::Closed | CircuitState::HalfOpen => emit!(tracing::Level::INFO, event),
    }
}
