use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Unit};

use crate::{
    call::{Label, catch_hook},
    util::{
        padded::Padded, per_recorder::PerRecorder, shards::shard_count, thread_slot::thread_slot,
    },
};

/// The events that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheEvent {
    Hit,
    Stale,
    Miss,
    Stored,
    Bypassed,
}

impl CacheEvent {
    const ALL: [CacheEvent; 5] = [
        CacheEvent::Hit,
        CacheEvent::Stale,
        CacheEvent::Miss,
        CacheEvent::Stored,
        CacheEvent::Bypassed,
    ];

    /// Returns the label value.
    fn as_str(self) -> &'static str {
        match self {
            CacheEvent::Hit => "hit",
            CacheEvent::Stale => "stale",
            CacheEvent::Miss => "miss",
            CacheEvent::Stored => "stored",
            CacheEvent::Bypassed => "bypassed",
        }
    }
}

/// The counters of a cache, for metrics and for the registry.
#[derive(Debug)]
pub(super) struct CacheMetrics {
    name: Label,
    /// A shard for some of the threads each, since every call adds to it.
    counts: Box<[Padded<[AtomicU64; CacheEvent::ALL.len()]>]>,
    counters: PerRecorder<[Counter; CacheEvent::ALL.len()]>,
}

impl CacheMetrics {
    pub(super) fn new(name: Label) -> Self {
        CacheMetrics {
            name,
            counts: (0..shard_count()).map(|_| Padded::default()).collect(),
            counters: PerRecorder::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn get(&self, event: CacheEvent) -> u64 {
        let shards = self.counts.iter();
        shards
            .map(|shard| shard[event as usize].load(Relaxed))
            .sum()
    }

    pub(super) fn count(&self, event: CacheEvent) {
        // The registry's count first: the recorder may panic. The number of shards is a power of two.
        let shard = &self.counts[thread_slot() & (self.counts.len() - 1)];
        shard[event as usize].fetch_add(1, Relaxed);
        let make = || make_counters(&self.name);
        catch_hook(|| {
            self.counters
                .with(make, |counters| counters[event as usize].increment(1));
        });
    }
}

fn make_counters(name: &Label) -> [Counter; CacheEvent::ALL.len()] {
    const EVENTS: &str = "tower_keep_cache_events_total";
    metrics::describe_counter!(
        EVENTS,
        Unit::Count,
        "Fresh and stale results that a cache gave, calls that it had none for or nothing to do with, and results that it kept."
    );
    // In the order of the events, since they are the indices.
    CacheEvent::ALL.map(
        |event| metrics::counter!(EVENTS, "cache" => name.to_string(), "event" => event.as_str()),
    )
}
