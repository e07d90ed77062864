use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Unit};

use crate::{
    call::{Label, catch_hook},
    util::per_recorder::PerRecorder,
};

/// The rejections of a throttle, for metrics and for the registry.
#[derive(Debug)]
pub(super) struct ThrottleMetrics {
    name: Label,
    rejected: AtomicU64,
    /// Made when it is needed, so that a throttle that never rejects costs no series.
    counter: PerRecorder<Counter>,
}

impl ThrottleMetrics {
    pub(super) fn new(name: Label) -> Self {
        ThrottleMetrics {
            name,
            rejected: AtomicU64::new(0),
            counter: PerRecorder::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(super) fn count_rejection(&self) {
        // The registry's count first: the recorder may panic.
        self.rejected.fetch_add(1, Ordering::Relaxed);
        let make = || make_counter(&self.name);
        catch_hook(|| self.counter.with(make, |counter| counter.increment(1)));
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
