use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use tokio::time::Instant;

#[cfg(feature = "ops-sqlite")]
use super::{file::TraceFileLimits, file_read, trace_file::TraceFile};
use super::{
    kept_trace::KeptTrace, metrics, query::TraceQuery, shared::Shared, span_filter::SpanFilter,
    span_layer::SpanLayer,
};
use crate::context::TraceId;
#[cfg(feature = "ops-sqlite")]
use crate::ops::store::Store;

/// The traces of a process. Clones share them.
#[derive(Clone)]
pub(crate) struct Traces {
    shared: Arc<Shared>,
    filter: SpanFilter,
    /// The file in which traces of before are read.
    #[cfg(feature = "ops-sqlite")]
    store: Store,
    /// The numbers that are in the metrics.
    reported: Arc<Mutex<TraceStats>>,
}

/// Numbers about the traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceStats {
    pub(crate) kept: usize,
    pub(crate) in_flight: usize,
    pub(crate) bytes: usize,
    pub(crate) max_bytes: usize,
    /// The number of the last one.
    pub(crate) last: u64,
    /// Evicted, to make room.
    pub(crate) evicted: u64,
    /// Neither sampled, nor slow, nor with an error.
    pub(crate) not_kept: u64,
    /// To be kept, and too many at once.
    pub(crate) lost: u64,
    pub(crate) dropped_spans: u64,
    pub(crate) dropped_values: u64,
    pub(crate) dropped_events: u64,
}

/// A page of traces, the newest first.
#[derive(Debug, Default)]
pub(crate) struct TracePage {
    pub(crate) traces: Vec<Arc<KeptTrace>>,
    /// The number at which the next page begins, if there is one.
    pub(crate) next: Option<u64>,
}

impl Traces {
    pub(super) fn new(shared: Arc<Shared>, filter: SpanFilter) -> Self {
        Traces {
            shared,
            filter,
            #[cfg(feature = "ops-sqlite")]
            store: Store::default(),
            reported: Arc::default(),
        }
    }

    /// Returns the layer that keeps spans, and what it is to be given.
    pub(in crate::ops) fn layer(&self) -> (SpanLayer, SpanFilter) {
        (SpanLayer::new(self.shared.clone()), self.filter)
    }

    /// Does what is due each second.
    pub(in crate::ops) fn tick(&self, now: Instant) {
        self.shared.tick(now);
        let stats = self.stats();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *reported, stats);
        drop(reported);
        metrics::report(&before, &stats);
    }

    /// Puts into the store what was kept since the last tick. Blocks for some milliseconds if that is much.
    pub(crate) fn refresh(&self) {
        self.shared.drain();
    }

    /// Keeps traces in the file of a store as well, if it has one.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn keep_in(mut self, store: &Store, limits: TraceFileLimits) -> Self {
        if let Some(signal) = store.signal() {
            let file = Arc::new(TraceFile::new(limits, signal));
            store.add_source(file.clone());
            let last = store.read(file_read::last_seq).unwrap_or(0);
            self.shared.store().start_after(last);
            let _ = self.shared.file.set(file);
            self.store = store.clone();
        }
        self
    }

    /// Returns a trace, if it is kept. Blocks for the time in which the file is read.
    pub(crate) fn get(&self, trace_id: TraceId) -> Option<Arc<KeptTrace>> {
        let kept = self.shared.store().get(trace_id).cloned();
        kept.or_else(|| self.get_from_file(trace_id))
    }

    #[cfg(feature = "ops-sqlite")]
    fn get_from_file(&self, trace_id: TraceId) -> Option<Arc<KeptTrace>> {
        let read = self.store.read(|file| file_read::get(file, trace_id));
        read.ok().flatten().map(Arc::new)
    }

    #[cfg(not(feature = "ops-sqlite"))]
    fn get_from_file(&self, _: TraceId) -> Option<Arc<KeptTrace>> {
        None
    }

    /// Returns whether a trace is in memory.
    pub(in crate::ops) fn contains(&self, trace_id: TraceId) -> bool {
        self.shared.store().get(trace_id).is_some()
    }

    /// Returns the traces that fulfill the conditions, with numbers lower than `before`. Blocks for the time in which the file is
    /// read.
    pub(crate) fn search(&self, query: &TraceQuery, before: u64, limit: usize) -> TracePage {
        // The lock is free while they are looked at.
        let all = self.shared.store().newest(before);
        let matching = all.into_iter().filter(|trace| query.matches(trace));
        let mut traces: Vec<_> = matching.take(limit + 1).collect();
        self.add_from_file(&mut traces, query, before, limit);
        let has_more = traces.len() > limit;
        traces.truncate(limit);
        TracePage {
            next: traces.last().filter(|_| has_more).map(|trace| trace.seq),
            traces,
        }
    }

    /// Adds traces that are in the file only, and leaves one more than the limit at most.
    #[cfg(feature = "ops-sqlite")]
    fn add_from_file(
        &self,
        traces: &mut Vec<Arc<KeptTrace>>,
        query: &TraceQuery,
        before: u64,
        limit: usize,
    ) {
        let read = self
            .store
            .read(|file| file_read::search(file, query, before, limit + 1));
        for trace in read.unwrap_or_default() {
            // In memory it is the same, or has later parts.
            if !traces.iter().any(|known| known.trace_id == trace.trace_id)
                && !self.contains(trace.trace_id)
            {
                traces.push(Arc::new(trace));
            }
        }
        traces.sort_unstable_by_key(|trace| std::cmp::Reverse(trace.seq));
        traces.truncate(limit + 1);
    }

    #[cfg(not(feature = "ops-sqlite"))]
    fn add_from_file(&self, _: &mut Vec<Arc<KeptTrace>>, _: &TraceQuery, _: u64, _: usize) {}

    #[cfg(feature = "ops-sqlite")]
    fn lost_on_the_way(&self) -> u64 {
        self.shared.file.get().map_or(0, |file| file.dropped())
    }

    #[cfg(not(feature = "ops-sqlite"))]
    fn lost_on_the_way(&self) -> u64 {
        0
    }

    pub(crate) fn stats(&self) -> TraceStats {
        let shared = &self.shared;
        let (kept, last, evicted, bytes, not_fitting) = {
            let store = shared.store();
            let (bytes, not_fitting) = (store.bytes(), store.not_fitting());
            (
                store.len(),
                store.last(),
                store.evicted(),
                bytes,
                not_fitting,
            )
        };
        let counters = &shared.counters;
        TraceStats {
            kept,
            in_flight: shared.in_flight.len(),
            bytes: bytes + shared.outside(),
            max_bytes: shared.options.max_bytes,
            last,
            evicted,
            not_kept: counters.not_kept.load(Relaxed),
            lost: counters.lost.load(Relaxed) + self.lost_on_the_way(),
            dropped_spans: counters.spans.load(Relaxed) + not_fitting,
            dropped_values: counters.values.load(Relaxed),
            dropped_events: counters.events.load(Relaxed),
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}
