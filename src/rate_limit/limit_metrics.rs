use metrics::{Counter, Unit};

use crate::{call::Label, util::event_counts::EventCounts};

/// An event of calls that are not simply admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitEvent {
    /// A call was rejected, or would have been in shadow mode.
    Rejected,
    /// A call was admitted for later, and waits.
    Waited,
    /// A peer said that it is called too often.
    Emptied,
    /// A call had a new key for which there was no room.
    Overflowed,
}

const COUNT: usize = 4;

/// Counts of what is not simply admitted, for metrics and for the registry.
#[derive(Debug)]
pub(super) struct LimitMetrics {
    name: Label,
    counts: EventCounts<COUNT>,
}

impl LimitMetrics {
    pub(super) fn new(name: Label) -> Self {
        LimitMetrics {
            name,
            counts: EventCounts::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn get(&self, event: LimitEvent) -> u64 {
        self.counts.get(event as usize)
    }

    pub(super) fn count(&self, event: LimitEvent) {
        self.counts
            .count(event as usize, || make_counters(&self.name));
    }
}

/// Makes the counters in the order of the events.
fn make_counters(name: &Label) -> [Counter; COUNT] {
    metrics::describe_counter!(
        "tower_keep_rate_limit_rejections_total",
        Unit::Count,
        "Calls that a rate limit rejected, or would have rejected in shadow mode."
    );
    metrics::describe_counter!(
        "tower_keep_rate_limit_waits_total",
        Unit::Count,
        "Calls that a rate limit admitted for later, and that wait until then."
    );
    metrics::describe_counter!(
        "tower_keep_rate_limit_emptied_total",
        Unit::Count,
        "Answers of a peer that it is called too often, which emptied the rate limit."
    );
    metrics::describe_counter!(
        "tower_keep_rate_limit_overflows_total",
        Unit::Count,
        "Calls with a new key for which a keyed rate limit had no room, and which share one bucket."
    );
    let name = || name.to_string();
    [
        metrics::counter!("tower_keep_rate_limit_rejections_total", "rate_limit" => name()),
        metrics::counter!("tower_keep_rate_limit_waits_total", "rate_limit" => name()),
        metrics::counter!("tower_keep_rate_limit_emptied_total", "rate_limit" => name()),
        metrics::counter!("tower_keep_rate_limit_overflows_total", "rate_limit" => name()),
    ]
}
