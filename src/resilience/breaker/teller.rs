//! Where transitions go: metrics, the log, subscribers.

use metrics::{Counter, Gauge, Unit};
use tokio::sync::broadcast;

use super::{events::Transition, state::State};
use crate::{
    call::{Name, quietly},
    observe::late::Late,
};

/// How many transitions a subscriber may lag behind.
const BACKLOG: usize = 64;

pub(super) struct Teller {
    pub(super) subscribers: broadcast::Sender<Transition>,
    refusals: Late<Counter>,
    states: Late<[Gauge; 5]>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Teller {
            subscribers: broadcast::Sender::new(BACKLOG),
            refusals: Late::new(),
            states: Late::new(),
        }
    }

    /// A recorder or subscriber that panics is counted and changes nothing.
    pub(super) fn tell(&self, event: &Transition) {
        quietly(|| {
            let name = event.breaker.to_string();
            metrics::counter!(
                "tower_keep_breaker_transitions_total",
                "breaker" => name, "to" => event.to.as_str(), "reason" => event.reason.as_str(),
            )
            .increment(1);
        });
        quietly(|| {
            self.states.with(
                || gauges(&event.breaker, event.to),
                |gauges| show(gauges, event.to),
            );
        });
        quietly(|| log(event));
        let _ = self.subscribers.send(event.clone());
    }

    /// Shows the state to a recorder that has not seen it, because it was installed after the breaker was built.
    #[cold]
    pub(super) fn show(&self, breaker: &Name, state: impl Fn() -> State) {
        quietly(|| self.states.with(|| gauges(breaker, state()), |_| ()));
    }

    pub(super) fn refused(&self, breaker: &Name) {
        let make = || {
            metrics::describe_counter!(
                "tower_keep_breaker_refusals_total",
                Unit::Count,
                "Calls that a circuit breaker refused, or would have in shadow mode."
            );
            metrics::counter!("tower_keep_breaker_refusals_total", "breaker" => breaker.to_string())
        };
        quietly(|| self.refusals.with(make, |counter| counter.increment(1)));
    }
}

/// One series for each state.
fn gauges(breaker: &Name, state: State) -> [Gauge; 5] {
    metrics::describe_counter!(
        "tower_keep_breaker_transitions_total",
        Unit::Count,
        "Changes of a circuit breaker's state."
    );
    metrics::describe_gauge!(
        "tower_keep_breaker_state",
        Unit::Count,
        "1 for the state that a circuit breaker is in, else 0."
    );
    let gauges = State::ALL.map(|each| {
        let name = breaker.to_string();
        metrics::gauge!("tower_keep_breaker_state", "breaker" => name, "state" => each.as_str())
    });
    show(&gauges, state);
    gauges
}

/// Only the present state is 1.
fn show(gauges: &[Gauge; 5], state: State) {
    for (gauge, each) in gauges.iter().zip(State::ALL) {
        gauge.set(if each == state { 1.0 } else { 0.0 });
    }
}

macro_rules! emit {
    ($level:expr, $event:ident) => {
        tracing::event!(
            target: "tower_keep::breaker",
            $level,
            breaker = $event.breaker.as_str(),
            number = $event.number,
            from = $event.from.as_str(),
            to = $event.to.as_str(),
            reason = $event.reason.as_str(),
            last_error = $event.last_error.as_ref().map(Name::as_str),
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
fn log(event: &Transition) {
    match event.to {
        State::Open | State::ForcedOpen | State::Disabled => emit!(tracing::Level::WARN, event),
        State::Closed | State::HalfOpen => emit!(tracing::Level::INFO, event),
    }
}
