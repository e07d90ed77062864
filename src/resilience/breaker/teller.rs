//! Where transitions go: metrics, the log, subscribers.

use std::sync::OnceLock;

use metrics::{Counter, Gauge};
use tokio::sync::broadcast;

use super::{
    events::Transition,
    keyed::Seat,
    outlets::{gauges, log, new_channel, refusals_of, send, show},
    state::State,
};
use crate::{
    call::{Name, quietly},
    observe::late::Late,
};

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
    #[inline]
    pub(super) fn show(&self, breaker: &Name, state: impl Fn() -> State) {
        let is_shown = match &self.meters {
            Meters::Own(own) => own.states.is_made(),
            Meters::Shared(seat) => seat.is_shown(),
        };
        if !is_shown {
            self.show_anew(breaker, state);
        }
    }

    #[cold]
    fn show_anew(&self, breaker: &Name, state: impl Fn() -> State) {
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
