use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    active_trace::{ActiveTrace, FinishedPart, Locked},
    buffer::{BufferLimits, Dropped},
    callsite_fields::CallsiteFields,
    in_flight::InFlight,
    sampling::TraceSampling,
    store::TraceStore,
};
use crate::util::callsites::Callsites;

/// The parts that wait for the next tick at most.
const MAX_QUEUED: usize = 16_384;
/// The parts that are put into the store under one lock.
const AT_ONCE: usize = 64;
/// A trace that lasts longer is decided in parts.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The settings of a [`Traces`](super::Traces).
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) sampling: TraceSampling,
    pub(super) limits: BufferLimits,
    pub(super) max_in_flight: usize,
    pub(super) max_bytes: usize,
}

/// The knowledge of spans, shared by the layer and by who reads.
///
/// Threads of the application take the lock of their trace, of a shard of the traces in flight, and of the queue: each for a few
/// lines. The lock of the store is taken by who reads, and once per second.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) callsites: Callsites<CallsiteFields>,
    pub(super) in_flight: InFlight,
    /// Kept parts that are not in the store yet.
    queue: Mutex<Vec<FinishedPart>>,
    store: Mutex<TraceStore>,
    /// The bytes of traces in flight and in the queue.
    outside: AtomicUsize,
    pub(super) counters: TraceCounters,
    /// Set at the start, if there is one.
    #[cfg(feature = "ops-sqlite")]
    pub(super) file: std::sync::OnceLock<Arc<super::trace_file::TraceFile>>,
}

/// Counters of what became of traces and spans.
#[derive(Debug, Default)]
pub(super) struct TraceCounters {
    /// Parts of traces that were neither sampled, nor slow, nor had an error.
    pub(super) not_kept: AtomicU64,
    /// Parts that were to be kept, and found no room until the next tick.
    pub(super) lost: AtomicU64,
    pub(super) spans: AtomicU64,
    pub(super) values: AtomicU64,
    pub(super) events: AtomicU64,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Shared {
            options,
            callsites: Callsites::default(),
            in_flight: InFlight::new(options.max_in_flight),
            queue: Mutex::default(),
            store: Mutex::new(TraceStore::new(options.limits.spans)),
            outside: AtomicUsize::new(0),
            counters: TraceCounters::default(),
            #[cfg(feature = "ops-sqlite")]
            file: std::sync::OnceLock::new(),
        }
    }

    /// Returns whether traces in flight take so much that nothing can be added.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.outside.load(Relaxed) > self.options.max_bytes / 2
    }

    /// Counts the bytes that a trace has come to take. Called after each change of it.
    #[inline]
    pub(super) fn account(&self, locked: &mut Locked) {
        let bytes = locked.state.buffer.bytes();
        if bytes != locked.bytes {
            self.outside
                .fetch_add(bytes.wrapping_sub(locked.bytes), Relaxed);
            locked.bytes = bytes;
        }
    }

    /// Decides about what there is of a trace, whether or not spans are open.
    pub(super) fn finish(&self, trace: &Arc<ActiveTrace>, now: Instant) {
        let mut locked = trace.lock();
        self.account(&mut locked);
        let finished = locked.state.finish(self.options.sampling);
        let finished = finished.map(|part| trace.finished(&mut locked, part, now));
        drop(locked);
        if let Some(finished) = finished {
            self.put(finished, None);
        }
    }

    /// Takes a part of a trace that is finished. `over` is the trace if it is in flight no more.
    pub(super) fn put(&self, finished: FinishedPart, over: Option<&Arc<ActiveTrace>>) {
        let FinishedPart { part, bytes, .. } = &finished;
        let (trace_id, bytes) = (part.trace_id, *bytes);
        self.count_dropped(part.buffer.dropped);
        if part.kept.is_some() {
            if let Some(trace) = over {
                self.in_flight.remove(trace_id, trace, None);
            }
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.len() < MAX_QUEUED {
                return queue.push(finished);
            }
            drop(queue);
            self.counters.lost.fetch_add(1, Relaxed);
            self.outside.fetch_sub(bytes, Relaxed);
            return;
        }
        self.counters.not_kept.fetch_add(1, Relaxed);
        self.outside.fetch_sub(bytes, Relaxed);
        if let Some(trace) = over {
            let buffer = finished.part.buffer;
            // Dropped here if it is not used again: outside of the lock.
            drop(self.in_flight.remove(trace_id, trace, Some(buffer)));
        }
    }

    fn count_dropped(&self, dropped: Dropped) {
        if dropped != Dropped::default() {
            self.counters.spans.fetch_add(dropped.spans, Relaxed);
            self.counters.values.fetch_add(dropped.values, Relaxed);
            self.counters.events.fetch_add(dropped.events, Relaxed);
        }
    }

    /// Does what is due each second.
    pub(super) fn tick(&self, now: Instant) {
        for trace in self.in_flight.older_than(MAX_AGE, now) {
            let finished_at = trace.lock().finished_at;
            if now.saturating_duration_since(finished_at) >= MAX_AGE {
                self.finish(&trace, now);
            }
        }
        self.drain();
    }

    /// Puts into the store what was kept until now. Blocks for some milliseconds if that is much.
    pub(super) fn drain(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = std::mem::take(&mut *queue);
        drop(queue);
        let mut parts = parts.into_iter().peekable();
        while parts.peek().is_some() {
            // Whoever looks for one trace waits for a few of them only.
            let mut store = self.store();
            for part in parts.by_ref().take(AT_ONCE) {
                self.outside.fetch_sub(part.bytes, Relaxed);
                let kept = store.insert(part);
                self.put_into_file(kept);
            }
            let outside = self.outside.load(Relaxed);
            store.trim(self.options.max_bytes.saturating_sub(outside));
        }
    }

    #[cfg(feature = "ops-sqlite")]
    fn put_into_file(&self, kept: Option<Arc<super::kept_trace::KeptTrace>>) {
        if let (Some(file), Some(kept)) = (self.file.get(), kept) {
            file.put(kept);
        }
    }

    #[cfg(not(feature = "ops-sqlite"))]
    fn put_into_file(&self, _: Option<Arc<super::kept_trace::KeptTrace>>) {}

    /// Returns the store without what waits for the next [`drain`](Self::drain).
    pub(super) fn store(&self) -> MutexGuard<'_, TraceStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes of traces that are not in the store.
    pub(super) fn outside(&self) -> usize {
        self.outside.load(Relaxed)
    }

    pub(super) fn wall_clock(base_at: SystemTime) -> u64 {
        let since = base_at.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
    }
}
