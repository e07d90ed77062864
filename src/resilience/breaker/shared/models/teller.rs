//! What stands in for the teller in models: metrics and subscribers have locks that no checker knows. It keeps
//! what it was told.

use std::sync::Mutex;

use loom::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast;

use crate::{
    breaker::{State, Transition},
    call::Name,
    resilience::breaker::{keyed::Seat, outlets::new_channel},
};

pub(in crate::resilience::breaker) struct Teller {
    seat: Option<Seat>,
    /// Never held while another thread can run, so it need not be the checker's.
    pub(in crate::resilience::breaker) told: Mutex<Vec<Transition>>,
    /// Telling takes its time: others may come in between.
    pause: AtomicUsize,
}

impl Teller {
    pub(in crate::resilience::breaker) fn new() -> Self {
        Teller {
            seat: None,
            told: Mutex::default(),
            pause: AtomicUsize::new(0),
        }
    }

    pub(in crate::resilience::breaker) fn seated(seat: Seat) -> Self {
        Teller {
            seat: Some(seat),
            ..Teller::new()
        }
    }

    pub(in crate::resilience::breaker) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(in crate::resilience::breaker) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        new_channel().subscribe()
    }

    pub(in crate::resilience::breaker) fn tell(&self, event: &Transition) {
        self.pause.fetch_add(1, Ordering::Relaxed);
        self.told.lock().expect("whole").push(event.clone());
    }

    pub(in crate::resilience::breaker) fn show(&self, _: &Name, _: impl Fn() -> State) {}

    pub(in crate::resilience::breaker) fn refused(&self, _: &Name) {}
}
