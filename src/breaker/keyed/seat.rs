//! The breakers of many keys, counted by their states: no key is a label of metrics.

use std::sync::Arc;

use metrics::{Counter, Unit};
use tokio::sync::broadcast;

use super::super::{
    census::{Census, Counts},
    events::Transition,
    outlets::{new_channel, send},
    state::State,
};
use crate::{
    call::{Name, quietly},
    util::{
        late::Late,
        sync::{
            OnceLock,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        },
    },
};

/// What the breakers of one set share.
pub(super) struct Board {
    /// All breakers of the name. Its lock is for the counts of this set, too.
    all: Arc<Census>,
    own: [AtomicU64; 5],
    /// The last handle of the set is gone: whatever becomes of its breakers, they count no more.
    closed: AtomicBool,
    refusals: Late<Counter>,
    evictions: Late<Counter>,
    evicted: AtomicU64,
    subscribers: OnceLock<broadcast::Sender<Transition>>,
}

impl Board {
    pub(super) fn new(name: &Name) -> Arc<Self> {
        let board = Board {
            all: Census::of(name),
            own: std::array::from_fn(|_| AtomicU64::new(0)),
            closed: AtomicBool::new(false),
            refusals: Late::new(),
            evictions: Late::new(),
            evicted: AtomicU64::new(0),
            subscribers: OnceLock::new(),
        };
        board.show();
        Arc::new(board)
    }

    pub(super) fn name(&self) -> &Name {
        self.all.name()
    }

    /// The keys of this set alone.
    pub(super) fn census(&self) -> Counts {
        let _all = self.all.lock();
        self.own.each_ref().map(|own| own.load(Ordering::Relaxed))
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        let events = self.subscribers.get_or_init(new_channel).subscribe();
        // What was told before that, and so not here, is seen by whoever looks at the states after it.
        drop(self.all.lock());
        events
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn show(&self) {
        self.all.show();
    }

    /// Counts one breaker out of a place and into another, as the step says.
    fn count(&self, step: impl FnOnce() -> (usize, usize)) {
        self.all.change(|all| self.tally(all, step()));
    }

    /// Whatever becomes of their calls in flight, these count no more. All in one step: there may be thousands.
    pub(super) fn count_out<'a>(&self, seats: impl Iterator<Item = &'a Seat>) {
        self.all.change(|all| {
            for seat in seats {
                self.tally(all, (seat.place(), seat.moves_to(GONE)));
            }
        });
    }

    /// Under the lock. Places that are no state are nowhere.
    fn tally(&self, all: &mut Counts, (from, to): (usize, usize)) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Some(own) = self.own.get(from) {
            own.fetch_sub(1, Ordering::Relaxed);
            all[from] -= 1;
        }
        if let Some(own) = self.own.get(to) {
            own.fetch_add(1, Ordering::Relaxed);
            all[to] += 1;
        }
    }

    /// Takes all that this set has counted out of the metrics.
    pub(super) fn close(&self) {
        self.all.change(|all| {
            self.closed.store(true, Ordering::Relaxed);
            for (all, own) in all.iter_mut().zip(&self.own) {
                *all -= own.swap(0, Ordering::Relaxed);
            }
        });
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
            metrics::counter!("tower_keep_breaker_evictions_total", "breaker" => self.name().to_string())
        };
        quietly(|| {
            self.evictions
                .with(make, |counter| counter.increment(breakers));
        });
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

    pub(in super::super) fn show(&self) {
        self.board.show();
    }

    pub(in super::super) fn refusals(&self) -> &Late<Counter> {
        &self.board.refusals
    }

    /// Counts from now on, unless it has been evicted in the meantime.
    pub(super) fn join(&self, state: impl FnOnce() -> State) {
        self.board.count(|| match self.place() {
            NOWHERE => (NOWHERE, self.moves_to(state() as usize)),
            place => (place, place),
        });
    }

    pub(in super::super) fn turned(&self, to: State) {
        self.board.count(|| match self.place() {
            place @ (NOWHERE | GONE) => (place, place),
            from => (from, self.moves_to(to as usize)),
        });
    }

    fn place(&self) -> usize {
        self.counted.load(Ordering::Relaxed)
    }

    fn moves_to(&self, place: usize) -> usize {
        self.counted.store(place, Ordering::Relaxed);
        place
    }

    pub(in super::super) fn tell(&self, event: &Transition) {
        if let Some(subscribers) = self.board.subscribers.get() {
            send(subscribers, event);
        }
    }
}
