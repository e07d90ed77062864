//! Where transitions go: metrics, the log, subscribers.

use std::sync::OnceLock;

use metrics::{Counter, Gauge, Unit};
use tokio::sync::broadcast;

use super::{events::Transition, keyed::Seat, state::State};
use crate::{
    call::{Name, quietly},
    observe::late::Late,
};

/// How many transitions a subscriber may lag behind.
const BACKLOG: usize = 64;

pub(super) struct Teller {
    /// Made for the first subscriber: most breakers have none, and there may be one for each key.
    subscribers: OnceLock<broadcast::Sender<Transition>>,
    meters: Meters,
}

/// Who keeps the metrics.
enum Meters {
    Own(Box<Own>),
    /// One of the breakers of many keys, which are counted together.
    Shared(Seat),
}

struct Own {
    refusals: Late<Counter>,
    states: Late<[Gauge; 5]>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Teller::with(Meters::Own(Box::new(Own {
            refusals: Late::new(),
            states: Late::new(),
        })))
    }

    pub(super) fn seated(seat: Seat) -> Self {
        Teller::with(Meters::Shared(seat))
    }

    fn with(meters: Meters) -> Self {
        Teller {
            subscribers: OnceLock::new(),
            meters,
        }
    }

    /// The place among the breakers of many keys, if it is one of those.
    pub(super) fn seat(&self) -> Option<&Seat> {
        match &self.meters {
            Meters::Own(_) => None,
            Meters::Shared(seat) => Some(seat),
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.subscribers.get_or_init(new_channel).subscribe()
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
        match &self.meters {
            Meters::Own(own) => {
                let make = || gauges(&event.breaker, event.to);
                quietly(|| own.states.with(make, |gauges| show(gauges, event.to)));
            }
            Meters::Shared(seat) => seat.turned(event.to),
        }
        quietly(|| log(event));
        if let Some(subscribers) = self.subscribers.get() {
            send(subscribers, event);
        }
        if let Some(seat) = self.seat() {
            seat.tell(event);
        }
    }

    /// Shows the state to a recorder that has not seen it, because it was installed after the breaker was built.
    #[cold]
    pub(super) fn show(&self, breaker: &Name, state: impl Fn() -> State) {
        match &self.meters {
            Meters::Own(own) => {
                quietly(|| own.states.with(|| gauges(breaker, state()), |_| ()));
            }
            Meters::Shared(seat) => seat.show(),
        }
    }

    pub(super) fn refused(&self, breaker: &Name) {
        let refusals = match &self.meters {
            Meters::Own(own) => &own.refusals,
            Meters::Shared(seat) => seat.refusals(),
        };
        quietly(|| refusals.with(|| refusals_of(breaker), |counter| counter.increment(1)));
    }
}

pub(super) fn new_channel() -> broadcast::Sender<Transition> {
    broadcast::Sender::new(BACKLOG)
}

/// It wakes those who wait, and what a waker does is not ours.
pub(super) fn send(subscribers: &broadcast::Sender<Transition>, event: &Transition) {
    quietly(|| subscribers.send(event.clone()).is_ok());
}

fn refusals_of(breaker: &Name) -> Counter {
    metrics::describe_counter!(
        "tower_keep_breaker_refusals_total",
        Unit::Count,
        "Calls that a circuit breaker refused, or would have in shadow mode."
    );
    metrics::counter!("tower_keep_breaker_refusals_total", "breaker" => breaker.to_string())
}

/// One gauge for each state.
pub(super) fn state_gauges(breaker: &Name) -> [Gauge; 5] {
    metrics::describe_counter!(
        "tower_keep_breaker_transitions_total",
        Unit::Count,
        "Changes of a circuit breaker's state."
    );
    metrics::describe_gauge!(
        "tower_keep_breaker_state",
        Unit::Count,
        "How many circuit breakers of the name are in the state: 1 or 0, unless there is one for each key."
    );
    State::ALL.map(|each| {
        let name = breaker.to_string();
        metrics::gauge!("tower_keep_breaker_state", "breaker" => name, "state" => each.as_str())
    })
}

fn gauges(breaker: &Name, state: State) -> [Gauge; 5] {
    let gauges = state_gauges(breaker);
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
            key = $event.key.as_ref().map(Name::as_str),
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
