//! The breakers of many keys, counted by their states: no key is a label of metrics.

use std::sync::{Arc, PoisonError};

use metrics::{Counter, Gauge, Unit};
use tokio::sync::broadcast;

use super::super::{
    events::Transition,
    outlets::{new_channel, send, state_gauges},
    state::State,
};
use crate::{
    call::{Name, quietly},
    observe::late::Late,
    sync::{
        Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// How many keys are in each state, by [`State::ALL`].
pub(super) type Census = [u64; 5];

/// What the breakers of one name share.
pub(super) struct Board {
    pub(super) name: Name,
    census: Mutex<Census>,
    states: Late<[Gauge; 5]>,
    refusals: Late<Counter>,
    evictions: Late<Counter>,
    evicted: AtomicU64,
    subscribers: OnceLock<broadcast::Sender<Transition>>,
}

impl Board {
    pub(super) fn new(name: Name) -> Arc<Self> {
        let board = Board {
            name,
            census: Mutex::default(),
            states: Late::new(),
            refusals: Late::new(),
            evictions: Late::new(),
            evicted: AtomicU64::new(0),
            subscribers: OnceLock::new(),
        };
        board.show();
        Arc::new(board)
    }

    pub(super) fn census(&self) -> Census {
        *self.lock()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        let events = self.subscribers.get_or_init(new_channel).subscribe();
        // What was told before that, and so not here, is seen by whoever looks at the states after it.
        drop(self.lock());
        events
    }

    fn lock(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn show(&self) {
        if !self.states.is_made() {
            self.count(|_| ());
        }
    }

    /// Changes the counts, and shows them in the order of the changes.
    fn count(&self, change: impl FnOnce(&mut Census)) {
        let make = || state_gauges(&self.name);
        // First, and without the lock: whoever makes the gauges must not wait for one who waits for them.
        quietly(|| self.states.with(make, |_| ()));
        let mut census = self.lock();
        change(&mut census);
        quietly(|| self.states.with(make, |gauges| set(gauges, &census)));
    }

    pub(super) fn count_evicted(&self, breakers: usize) {
        let breakers = breakers as u64;
        self.evicted.fetch_add(breakers, Ordering::Relaxed);
        let make = || {
            metrics::describe_counter!(
                "tower_keep_breaker_evictions_total",
                Unit::Count,
                "Keys whose circuit breaker made room for that of another."
            );
            metrics::counter!("tower_keep_breaker_evictions_total", "breaker" => self.name.to_string())
        };
        quietly(|| {
            self.evictions
                .with(make, |counter| counter.increment(breakers));
        });
    }
}

fn set(gauges: &[Gauge; 5], census: &Census) {
    for (gauge, keys) in gauges.iter().zip(census) {
        gauge.set(*keys as f64);
    }
}

/// The place of one key's breaker on the board.
pub(in super::super) struct Seat {
    board: Arc<Board>,
    key: Name,
    /// The state that it is counted in, by its place in [`State::ALL`]. Changed under the board's lock.
    counted: AtomicUsize,
}

/// Not counted yet.
const NOWHERE: usize = usize::MAX;
/// Not counted any more.
const GONE: usize = usize::MAX - 1;

impl Seat {
    pub(super) fn new(board: &Arc<Board>, key: Name) -> Self {
        Seat {
            board: board.clone(),
            key,
            counted: AtomicUsize::new(NOWHERE),
        }
    }

    pub(in super::super) fn key(&self) -> &Name {
        &self.key
    }

    #[inline]
    pub(in super::super) fn is_shown(&self) -> bool {
        self.board.states.is_made()
    }

    pub(in super::super) fn show(&self) {
        self.board.show();
    }

    pub(in super::super) fn refusals(&self) -> &Late<Counter> {
        &self.board.refusals
    }

    /// Counts from now on, unless it has been evicted in the meantime.
    pub(super) fn join(&self, state: impl FnOnce() -> State) {
        self.board.count(|census| {
            if self.counted.load(Ordering::Relaxed) == NOWHERE {
                let place = state() as usize;
                self.counted.store(place, Ordering::Relaxed);
                census[place] += 1;
            }
        });
    }

    /// Whatever becomes of its calls in flight, it counts no more.
    pub(super) fn leave(&self) {
        self.board.count(|census| {
            let place = self.counted.swap(GONE, Ordering::Relaxed);
            if let Some(keys) = census.get_mut(place) {
                *keys -= 1;
            }
        });
    }

    pub(in super::super) fn turned(&self, to: State) {
        self.board.count(|census| {
            let from = self.counted.load(Ordering::Relaxed);
            if let Some(keys) = census.get_mut(from) {
                *keys -= 1;
                census[to as usize] += 1;
                self.counted.store(to as usize, Ordering::Relaxed);
            }
        });
    }

    pub(in super::super) fn tell(&self, event: &Transition) {
        if let Some(subscribers) = self.board.subscribers.get() {
            send(subscribers, event);
        }
    }
}
