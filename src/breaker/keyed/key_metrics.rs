//! The breakers of many keys, counted by their states: no key is a label of metrics.

use std::sync::Arc;

use metrics::{Counter, Unit};
use tokio::sync::broadcast;

use super::super::{
    sinks::{new_channel, send_event},
    state::CircuitState,
    state_counts::{PerState, StateCounts},
    transition::Transition,
};
use crate::{
    call::{Label, catch_hook},
    util::{
        per_recorder::PerRecorder,
        sync::{
            OnceLock,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        },
    },
};

/// What the breakers of one set share.
pub(super) struct KeyedMetrics {
    /// All breakers of the name. Its lock is for the counts of this set, too.
    name_counts: Arc<StateCounts>,
    key_counts: [AtomicU64; 5],
    /// The last handle of the set is gone: whatever becomes of its breakers, they count no more.
    closed: AtomicBool,
    rejections: PerRecorder<Counter>,
    evictions: PerRecorder<Counter>,
    evicted: AtomicU64,
    subscribers: OnceLock<broadcast::Sender<Transition>>,
}

impl KeyedMetrics {
    pub(super) fn new(name: &Label) -> Arc<Self> {
        let board = KeyedMetrics {
            name_counts: StateCounts::get_or_create(name),
            key_counts: std::array::from_fn(|_| AtomicU64::new(0)),
            closed: AtomicBool::new(false),
            rejections: PerRecorder::new(),
            evictions: PerRecorder::new(),
            evicted: AtomicU64::new(0),
            subscribers: OnceLock::new(),
        };
        board.report_state();
        Arc::new(board)
    }

    pub(super) fn name(&self) -> &Label {
        self.name_counts.name()
    }

    /// The keys of this set alone.
    pub(super) fn state_counts(&self) -> PerState {
        let _all = self.name_counts.lock();
        self.key_counts
            .each_ref()
            .map(|own| own.load(Ordering::Relaxed))
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        let events = self.subscribers.get_or_init(new_channel).subscribe();
        // What was told before that, and so not here, is seen by whoever looks at the states after it.
        drop(self.name_counts.lock());
        events
    }

    /// Shows the counts to a recorder that has not seen them.
    pub(super) fn report_state(&self) {
        self.name_counts.report();
    }

    /// Counts one breaker out of a place and into another, as the step says.
    fn move_key(&self, step: impl FnOnce() -> (usize, usize)) {
        self.name_counts.update(|all| self.apply_move(all, step()));
    }

    /// Whatever becomes of their calls in flight, these count no more. All in one step: there may be thousands.
    pub(super) fn remove_all<'a>(&self, seats: impl Iterator<Item = &'a KeyMember>) {
        self.name_counts.update(|all| {
            for seat in seats {
                self.apply_move(all, (seat.index(), seat.set_index(REMOVED)));
            }
        });
    }

    /// Under the lock. Places that are no state are nowhere.
    fn apply_move(&self, all: &mut PerState, (from, to): (usize, usize)) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Some(own) = self.key_counts.get(from) {
            own.fetch_sub(1, Ordering::Relaxed);
            all[from] -= 1;
        }
        if let Some(own) = self.key_counts.get(to) {
            own.fetch_add(1, Ordering::Relaxed);
            all[to] += 1;
        }
    }

    /// Takes all that this set has counted out of the metrics.
    pub(super) fn close(&self) {
        self.name_counts.update(|all| {
            self.closed.store(true, Ordering::Relaxed);
            for (all, own) in all.iter_mut().zip(&self.key_counts) {
                *all -= own.swap(0, Ordering::Relaxed);
            }
        });
    }

    pub(super) fn record_evictions(&self, breakers: usize) {
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
        catch_hook(|| {
            self.evictions
                .with(make, |counter| counter.increment(breakers));
        });
    }
}

/// The place of one key's breaker on the board.
pub(in super::super) struct KeyMember {
    metrics: Arc<KeyedMetrics>,
    key: Label,
    /// The state that it is counted in, by its place in [`CircuitState::ALL`]. Changed under the board's lock.
    state_index: AtomicUsize,
}

/// Not counted yet.
const UNCOUNTED: usize = usize::MAX;
/// Not counted any more.
const REMOVED: usize = usize::MAX - 1;

impl KeyMember {
    pub(super) fn new(board: &Arc<KeyedMetrics>, key: Label) -> Self {
        KeyMember {
            metrics: board.clone(),
            key,
            state_index: AtomicUsize::new(UNCOUNTED),
        }
    }

    pub(in super::super) fn key(&self) -> &Label {
        &self.key
    }

    pub(in super::super) fn report_state(&self) {
        self.metrics.report_state();
    }

    pub(in super::super) fn rejections(&self) -> &PerRecorder<Counter> {
        &self.metrics.rejections
    }

    /// Counts from now on, unless it has been evicted in the meantime.
    pub(super) fn add(&self, state: impl FnOnce() -> CircuitState) {
        self.metrics.move_key(|| match self.index() {
            UNCOUNTED => (UNCOUNTED, self.set_index(state() as usize)),
            place => (place, place),
        });
    }

    pub(in super::super) fn transition(&self, to: CircuitState) {
        self.metrics.move_key(|| match self.index() {
            place @ (UNCOUNTED | REMOVED) => (place, place),
            from => (from, self.set_index(to as usize)),
        });
    }

    fn index(&self) -> usize {
        self.state_index.load(Ordering::Relaxed)
    }

    fn set_index(&self, place: usize) -> usize {
        self.state_index.store(place, Ordering::Relaxed);
        place
    }

    pub(in super::super) fn send_event(&self, event: &Transition) {
        if let Some(subscribers) = self.metrics.subscribers.get() {
            send_event(subscribers, event);
        }
    }
}
