use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Unit};

use crate::{
    call::{Label, catch_hook},
    util::per_recorder::PerRecorder,
};

/// The events that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CoalesceEvent {
    Led,
    Joined,
    Alone,
    HandedOver,
    Rejected,
    TimedOut,
    BytesExceeded,
}

impl CoalesceEvent {
    const ALL: [CoalesceEvent; 7] = [
        CoalesceEvent::Led,
        CoalesceEvent::Joined,
        CoalesceEvent::Alone,
        CoalesceEvent::HandedOver,
        CoalesceEvent::Rejected,
        CoalesceEvent::TimedOut,
        CoalesceEvent::BytesExceeded,
    ];

    /// Returns the label value.
    fn as_str(self) -> &'static str {
        match self {
            CoalesceEvent::Led => "led",
            CoalesceEvent::Joined => "joined",
            CoalesceEvent::Alone => "alone",
            CoalesceEvent::HandedOver => "handed_over",
            CoalesceEvent::Rejected => "rejected",
            CoalesceEvent::TimedOut => "timed_out",
            CoalesceEvent::BytesExceeded => "bytes_exceeded",
        }
    }
}

/// The counters of a [`Coalesce`](super::Coalesce), for metrics and for the registry.
#[derive(Debug)]
pub(super) struct CoalesceMetrics {
    name: Label,
    counts: [AtomicU64; CoalesceEvent::ALL.len()],
    counters: PerRecorder<[Counter; CoalesceEvent::ALL.len()]>,
}

impl CoalesceMetrics {
    pub(super) fn new(name: Label) -> Self {
        CoalesceMetrics {
            name,
            counts: Default::default(),
            counters: PerRecorder::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn get(&self, event: CoalesceEvent) -> u64 {
        self.counts[event as usize].load(Relaxed)
    }

    pub(super) fn count(&self, event: CoalesceEvent) {
        // The registry's count first: the recorder may panic.
        self.counts[event as usize].fetch_add(1, Relaxed);
        let make = || make_counters(&self.name);
        catch_hook(|| {
            self.counters
                .with(make, |counters| counters[event as usize].increment(1));
        });
    }
}

fn make_counters(name: &Label) -> [Counter; CoalesceEvent::ALL.len()] {
    const CALLS: &str = "tower_keep_coalesce_calls_total";
    metrics::describe_counter!(
        CALLS,
        Unit::Count,
        "Calls that were made for others too, joined one in flight, were made alone, went on in another caller, were rejected, stopped waiting, or had a body without room among those in flight."
    );
    // In the order of the events, since they are the indices.
    CoalesceEvent::ALL.map(|event| {
        metrics::counter!(CALLS, "coalesce" => name.to_string(), "result" => event.as_str())
    })
}
