//! What stands in for the teller in models: most of them need no metrics, whose locks no checker knows. It keeps what
//! it was told.

use std::sync::Mutex;

use loom::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast;

use crate::{
    breaker::{
        State, Transition,
        keyed::Seat,
        outlets::{new_channel, send},
    },
    call::Name,
    util::sync::OnceLock,
};

pub(in crate::breaker) struct Teller {
    seat: Option<Seat>,
    subscribers: OnceLock<broadcast::Sender<Transition>>,
    /// Never held while another thread can run, so it need not be the checker's.
    pub(in crate::breaker) told: Mutex<Vec<Transition>>,
    /// Telling takes its time: others may come in between.
    pause: AtomicUsize,
}

impl Teller {
    pub(in crate::breaker) fn new() -> Self {
        Teller {
            seat: None,
            subscribers: OnceLock::new(),
            told: Mutex::default(),
            pause: AtomicUsize::new(0),
        }
    }

    pub(in crate::breaker) fn seated(seat: Seat) -> Self {
        Teller {
            seat: Some(seat),
            ..Teller::new()
        }
    }

    pub(in crate::breaker) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(in crate::breaker) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.subscribers.get_or_init(new_channel).subscribe()
    }

    pub(in crate::breaker) fn tell(&self, event: &Transition) {
        self.pause.fetch_add(1, Ordering::Relaxed);
        self.told.lock().expect("whole").push(event.clone());
        if let Some(seat) = &self.seat {
            seat.turned(event.to);
        }
        if let Some(subscribers) = self.subscribers.get() {
            send(subscribers, event);
        }
        if let Some(seat) = &self.seat {
            seat.tell(event);
        }
    }

    pub(in crate::breaker) fn begin(&self, _: &Name, _: State) {}

    pub(in crate::breaker) fn show(&self) {}

    pub(in crate::breaker) fn refused(&self, _: &Name) {}
}
