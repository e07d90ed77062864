use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{active_trace::ActiveTrace, buffer::TraceBuffer};
use crate::context::TraceId;

/// Threads that begin traces at once rarely wait for each other.
const SHARDS: usize = 16;
/// The buffers that a shard keeps for the next traces, and the largest of them.
const SPARE_BUFFERS: usize = 8;
const MAX_SPARE: usize = 16 * 1_024;
/// The time for which calls join a trace that is in flight, so that a trace to which calls are added forever is decided.
const JOIN_FOR: Duration = Duration::from_secs(60);

/// The traces in flight, by their IDs.
#[derive(Debug)]
pub(super) struct InFlight {
    shards: Box<[Mutex<Shard>]>,
    max_per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    traces: HashMap<TraceId, Arc<ActiveTrace>>,
    spare: Vec<TraceBuffer>,
}

/// The trace that a span without a parent belongs to.
#[derive(Debug)]
pub(super) struct JoinedTrace {
    pub(super) trace: Arc<ActiveTrace>,
    /// Traces that lost their places: one that is too old to join, and the oldest of too many.
    pub(super) displaced: [Option<Arc<ActiveTrace>>; 2],
}

impl InFlight {
    pub(super) fn new(max: usize) -> Self {
        InFlight {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_per_shard: max.div_ceil(SHARDS),
        }
    }

    /// Returns the trace of this ID, which begins if it is not in flight.
    pub(super) fn join(&self, trace_id: TraceId, now: Instant) -> JoinedTrace {
        let mut shard = self.shard(trace_id);
        let known = shard.traces.get(&trace_id);
        if let Some(trace) = known
            && trace.age(now) < JOIN_FOR
        {
            return JoinedTrace {
                trace: trace.clone(),
                displaced: [None, None],
            };
        }
        let buffer = shard.spare.pop().unwrap_or_default();
        let trace = ActiveTrace::new(trace_id, now, SystemTime::now(), buffer);
        let old = shard.traces.insert(trace_id, trace.clone());
        let is_full = shard.traces.len() > self.max_per_shard;
        let oldest = is_full.then(|| shard.remove_oldest()).flatten();
        JoinedTrace {
            trace,
            displaced: [old, oldest],
        }
    }

    /// Removes a trace that is over, and keeps its buffer for another one if that was not kept.
    pub(super) fn remove(
        &self,
        trace_id: TraceId,
        trace: &Arc<ActiveTrace>,
        buffer: Option<TraceBuffer>,
    ) -> Option<TraceBuffer> {
        let mut shard = self.shard(trace_id);
        let known = shard.traces.get(&trace_id);
        if known.is_some_and(|known| Arc::ptr_eq(known, trace)) {
            shard.traces.remove(&trace_id);
        }
        let mut buffer = buffer?;
        if shard.spare.len() >= SPARE_BUFFERS || buffer.bytes() > MAX_SPARE {
            return Some(buffer);
        }
        buffer.clear();
        shard.spare.push(buffer);
        None
    }

    /// Moves a trace that has got another ID, unless there is one of that ID.
    pub(super) fn rename(&self, from: TraceId, to: TraceId, trace: &Arc<ActiveTrace>) {
        self.remove(from, trace, None);
        let mut shard = self.shard(to);
        shard.traces.entry(to).or_insert_with(|| trace.clone());
    }

    /// Returns those that have been in flight for at least this time.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> Vec<Arc<ActiveTrace>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let old = shard.traces.values().filter(|trace| trace.age(now) >= age);
            found.extend(old.cloned());
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.traces.len()
        };
        self.shards.iter().map(len).sum()
    }

    fn shard(&self, trace_id: TraceId) -> MutexGuard<'_, Shard> {
        let bytes = trace_id.to_bytes();
        // Random in all generators. Whoever sends the same ones waits for itself.
        let index = usize::from(bytes[15]) % SHARDS;
        let shard = &self.shards[index];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn remove_oldest(&mut self) -> Option<Arc<ActiveTrace>> {
        let oldest = self.traces.iter().min_by_key(|(_, trace)| trace.base);
        let id = oldest.map(|(id, _)| *id)?;
        self.traces.remove(&id)
    }
}
