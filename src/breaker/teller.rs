//! Where transitions go: metrics, the log, subscribers.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use metrics::Counter;
use tokio::sync::broadcast;

use super::{
    census::Membership,
    events::Transition,
    keyed::Seat,
    outlets::{log, new_channel, refusals_of, send},
    state::State,
};
use crate::{
    call::{Name, quietly},
    util::{late::Late, listener::Listener},
};

pub(super) struct Teller {
    /// Made for the first subscriber: most breakers have none, and there may be one for each key.
    subscribers: OnceLock<broadcast::Sender<Transition>>,
    meters: Meters,
    /// True once the state has been shown to the global recorder.
    is_shown: AtomicBool,
}

/// Who keeps the metrics.
enum Meters {
    Own(Box<Own>),
    /// One of the breakers of many keys, which are counted together.
    Shared(Seat),
}

struct Own {
    refusals: Late<Counter>,
    /// Since the breaker was made.
    membership: OnceLock<Membership>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Teller::with(Meters::Own(Box::new(Own {
            refusals: Late::new(),
            membership: OnceLock::new(),
        })))
    }

    pub(super) fn seated(seat: Seat) -> Self {
        Teller::with(Meters::Shared(seat))
    }

    fn with(meters: Meters) -> Self {
        Teller {
            subscribers: OnceLock::new(),
            meters,
            is_shown: AtomicBool::new(false),
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
                if let Some(membership) = own.membership.get() {
                    membership.turned(event.to);
                }
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

    /// The breaker has been made, and is in this state. One of many keys is counted when its key is.
    pub(super) fn begin(&self, breaker: &Name, state: State) {
        match &self.meters {
            Meters::Own(own) => {
                own.membership
                    .get_or_init(|| Membership::new(breaker, state));
            }
            Meters::Shared(seat) => seat.show(),
        }
    }

    /// Shows the state to a recorder that has not seen it, because it was installed after the breaker was built. Cheap
    /// enough for every call.
    #[inline]
    pub(super) fn show(&self) {
        let listener = Listener::now();
        let is_known = match listener {
            Listener::Nobody => true,
            Listener::Global => self.is_shown.load(Ordering::Relaxed),
            // Nothing tells it from another that was shown before.
            Listener::Local => false,
        };
        if !is_known {
            self.show_to(listener);
        }
    }

    #[cold]
    fn show_to(&self, listener: Listener) {
        match &self.meters {
            Meters::Own(own) => {
                if let Some(membership) = own.membership.get() {
                    membership.show();
                }
            }
            Meters::Shared(seat) => seat.show(),
        }
        let is_shown = listener == Listener::Global;
        self.is_shown.store(is_shown, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, breaker: &Name) {
        let refusals = match &self.meters {
            Meters::Own(own) => &own.refusals,
            Meters::Shared(seat) => seat.refusals(),
        };
        quietly(|| refusals.with(|| refusals_of(breaker), |counter| counter.increment(1)));
    }
}
