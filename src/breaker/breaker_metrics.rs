use std::sync::Arc;

use metrics::{Counter, Unit};
use tokio::{sync::broadcast, time::Instant};

use super::{
    keyed_readiness::KeyedReadiness,
    report::{Subscribers, subscribe},
    state::CircuitState,
    state_counts::{PerState, StateCounts},
    transition::Transition,
};
use crate::{
    call::{CallClock, Label, catch_hook},
    guard::ReadySignal,
    util::{
        per_recorder::PerRecorder,
        sync::{
            OnceLock,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        },
    },
};

/// The index of a breaker that is not counted yet. That of one that is counted is its state's in [`CircuitState::ALL`].
pub(super) const UNCOUNTED: usize = usize::MAX;
/// The index of a breaker that is not counted any more.
const REMOVED: usize = usize::MAX - 1;

/// The metrics of one breaker, or of the breakers of many keys: no key is a label.
pub(super) struct BreakerMetrics {
    /// All breakers of the name. Its lock is also that of the counts below.
    name_counts: Arc<StateCounts>,
    counts: [AtomicU64; 5],
    /// True once the last handle has been dropped. Breakers of single keys that are still held do not count any more.
    closed: AtomicBool,
    rejections: PerRecorder<Counter>,
    rejected: AtomicU64,
    evictions: PerRecorder<Counter>,
    evicted: AtomicU64,
    subscribers: Subscribers,
    /// `None` for a single breaker, which answers for itself.
    readiness: Option<KeyedReadiness>,
}

impl BreakerMetrics {
    pub(super) fn new(name: &Label) -> Arc<Self> {
        BreakerMetrics::with_readiness(name, None)
    }

    pub(super) fn new_keyed(name: &Label) -> Arc<Self> {
        BreakerMetrics::with_readiness(name, Some(KeyedReadiness::new()))
    }

    fn with_readiness(name: &Label, readiness: Option<KeyedReadiness>) -> Arc<Self> {
        Arc::new(BreakerMetrics {
            name_counts: StateCounts::get_or_create(name),
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            closed: AtomicBool::new(false),
            rejections: PerRecorder::new(),
            rejected: AtomicU64::new(0),
            evictions: PerRecorder::new(),
            evicted: AtomicU64::new(0),
            subscribers: OnceLock::new(),
            readiness,
        })
    }

    pub(super) fn name(&self) -> &Label {
        self.name_counts.name()
    }

    /// Returns how many of these breakers are in each state.
    pub(super) fn counts(&self) -> PerState {
        // Under the lock, so that a breaker on its way from one state to another is in neither none nor both.
        let _locked = self.name_counts.lock();
        self.counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Returns whether the circuit of any key may reject a call now. Reads the clock only if one is open.
    #[inline]
    pub(super) fn rejects_any(&self, clock: &CallClock) -> bool {
        // Relaxed: whoever waits is woken after the counts have changed, and asks again.
        let is_any = |state| self.counts[state as usize].load(Ordering::Relaxed) > 0;
        let is_open = |readiness: &KeyedReadiness| readiness.is_open_at(clock.now());
        is_any(CircuitState::ForcedOpen)
            || (is_any(CircuitState::Open) && self.readiness.as_ref().is_some_and(is_open))
    }

    /// Returns the signal of breakers of many keys, which wakes when one of them begins to reject.
    pub(super) fn ready_signal(&self) -> Option<&ReadySignal> {
        self.readiness.as_ref().map(|readiness| &readiness.signal)
    }

    /// Wakes those who wait for a service, if a circuit begins to reject. Must come after its state is counted.
    pub(super) fn wake_if_rejecting(&self, transition: &Transition) {
        let Some(readiness) = &self.readiness else {
            return;
        };
        match (transition.to, transition.open_for) {
            (CircuitState::Open, Some(open_for)) if !transition.shadow => {
                readiness.opened(Instant::now(), open_for);
            }
            (CircuitState::ForcedOpen, _) => {}
            _ => return,
        }
        readiness.signal.wake();
    }

    /// Returns how many calls were rejected, or would have been in shadow mode.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Returns the subscribers to the transitions of all keys.
    pub(super) fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        let receiver = subscribe(&self.subscribers);
        // A transition that was sent before, and so is missing here, is in the counts that the caller reads next.
        drop(self.name_counts.lock());
        receiver
    }

    /// Reports the counts to a recorder that does not have them.
    pub(super) fn report_state(&self) {
        self.name_counts.report();
    }

    /// Counts a breaker in its state, unless it has been removed meanwhile.
    pub(super) fn add(&self, breaker: &AtomicUsize, state: impl FnOnce() -> CircuitState) {
        self.name_counts.update(|all| {
            if breaker.load(Ordering::Relaxed) == UNCOUNTED {
                self.move_to(all, breaker, state() as usize);
            }
        });
    }

    /// Counts a breaker in another state, if it is counted at all.
    pub(super) fn transition(&self, breaker: &AtomicUsize, to: CircuitState) {
        self.name_counts.update(|all| {
            if breaker.load(Ordering::Relaxed) < REMOVED {
                self.move_to(all, breaker, to as usize);
            }
        });
    }

    /// Counts these breakers no more, whatever their calls in flight do. One step for all: there may be thousands.
    pub(super) fn remove_all<'a>(&self, breakers: impl Iterator<Item = &'a AtomicUsize>) {
        self.name_counts.update(|all| {
            for breaker in breakers {
                self.move_to(all, breaker, REMOVED);
            }
        });
    }

    /// Moves a breaker to another index; called under the lock. An index that is no state does not count.
    fn move_to(&self, all: &mut PerState, breaker: &AtomicUsize, to: usize) {
        // Relaxed, like all of these: the lock of the name orders them.
        let from = breaker.swap(to, Ordering::Relaxed);
        // The counts are zero by then, and must stay so.
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Some(count) = self.counts.get(from) {
            count.fetch_sub(1, Ordering::Relaxed);
            all[from] -= 1;
        }
        if let Some(count) = self.counts.get(to) {
            count.fetch_add(1, Ordering::Relaxed);
            all[to] += 1;
        }
    }

    /// Takes these breakers out of the counts of their name.
    pub(super) fn close(&self) {
        self.name_counts.update(|all| {
            self.closed.store(true, Ordering::Relaxed);
            for (all, count) in all.iter_mut().zip(&self.counts) {
                *all -= count.swap(0, Ordering::Relaxed);
            }
        });
    }

    pub(super) fn count_rejection(&self, breaker: &Label) {
        // The registry's count first: the recorder may panic.
        self.rejected.fetch_add(1, Ordering::Relaxed);
        let make = || {
            metrics::describe_counter!(
                "tower_keep_breaker_rejections_total",
                Unit::Count,
                "Calls that a circuit breaker rejected, or would have rejected in shadow mode."
            );
            metrics::counter!("tower_keep_breaker_rejections_total", "breaker" => breaker.to_string())
        };
        catch_hook(|| self.rejections.with(make, |counter| counter.increment(1)));
    }

    pub(super) fn count_evictions(&self, evicted: usize) {
        let evicted = evicted as u64;
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
        let make = || {
            metrics::describe_counter!(
                "tower_keep_breaker_evictions_total",
                Unit::Count,
                "Keys whose circuit breaker was evicted to make room for that of another key."
            );
            metrics::counter!("tower_keep_breaker_evictions_total", "breaker" => self.name().to_string())
        };
        catch_hook(|| {
            self.evictions
                .with(make, |counter| counter.increment(evicted))
        });
    }
}

impl Drop for BreakerMetrics {
    fn drop(&mut self) {
        // A keyed set has closed them when it was dropped itself: breakers of its keys may live longer.
        if !self.closed.load(Ordering::Relaxed) {
            self.close();
        }
    }
}
