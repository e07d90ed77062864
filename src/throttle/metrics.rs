use metrics::{Counter, Unit};

use crate::{call::Label, util::event_counts::EventCounts};

/// The rejections of a throttle, for metrics and for the registry.
#[derive(Debug)]
pub(super) struct ThrottleMetrics {
    name: Label,
    rejected: EventCounts<1>,
}

impl ThrottleMetrics {
    pub(super) fn new(name: Label) -> Self {
        ThrottleMetrics {
            name,
            rejected: EventCounts::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.get(0)
    }

    pub(super) fn count_rejection(&self) {
        self.rejected.count(0, || [make_counter(&self.name)]);
    }
}

fn make_counter(name: &Label) -> Counter {
    const REJECTIONS: &str = "tower_keep_throttle_rejections_total";
    metrics::describe_counter!(
        REJECTIONS,
        Unit::Count,
        "Calls that a throttle rejected, or would have rejected in shadow mode."
    );
    metrics::counter!(REJECTIONS, "throttle" => name.to_string())
}
