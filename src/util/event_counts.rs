use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;

use super::{hook::catch_hook, per_recorder::PerRecorder};

/// Counts of events, which are indices: for the registry, and as metrics.
#[derive(Debug)]
pub(crate) struct EventCounts<const N: usize> {
    counts: [AtomicU64; N],
    /// The metrics of the same counts. Made when the first is needed, so that a handle to which nothing happens costs no series.
    counters: PerRecorder<[Counter; N]>,
}

impl<const N: usize> EventCounts<N> {
    pub(crate) fn new() -> Self {
        EventCounts {
            counts: [const { AtomicU64::new(0) }; N],
            counters: PerRecorder::new(),
        }
    }

    pub(crate) fn get(&self, event: usize) -> u64 {
        self.counts[event].load(Ordering::Relaxed)
    }

    /// Counts an event. `make` makes the counters of a recorder, in the order of the events.
    pub(crate) fn count(&self, event: usize, make: impl FnOnce() -> [Counter; N]) {
        // The registry's count first: the recorder may panic.
        self.counts[event].fetch_add(1, Ordering::Relaxed);
        catch_hook(|| {
            self.counters
                .with(make, |counters| counters[event].increment(1));
        });
    }
}
