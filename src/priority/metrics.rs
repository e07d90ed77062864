use metrics::{Counter, Unit};

use crate::{
    call::{Label, catch_hook},
    context::PriorityClass,
    util::{per_recorder::PerRecorder, recorder::RecorderKind},
};

/// The metrics of a prioritizer.
#[derive(Debug)]
pub(super) struct PriorityMetrics {
    name: Label,
    handles: PerRecorder<MetricHandles>,
}

/// A counter for each class, whose number is the index.
type ByClass = [Counter; PriorityClass::ALL.len()];

#[derive(Debug)]
struct MetricHandles {
    calls: ByClass,
    shed: ByClass,
    pushed_back: ByClass,
}

// A recorder may panic: each hook is caught, so that it changes nothing about the call.
impl PriorityMetrics {
    pub(super) fn new(name: Label) -> Self {
        PriorityMetrics {
            name,
            handles: PerRecorder::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    #[inline]
    pub(super) fn count_call(&self, class: PriorityClass) {
        let recorder = RecorderKind::current();
        if recorder != RecorderKind::None {
            self.increment(recorder, class, |handles| &handles.calls);
        }
    }

    pub(super) fn count_shed(&self, class: PriorityClass) {
        self.increment(RecorderKind::current(), class, |handles| &handles.shed);
    }

    pub(super) fn count_pushed_back(&self, class: PriorityClass) {
        self.increment(RecorderKind::current(), class, |handles| {
            &handles.pushed_back
        });
    }

    fn increment(
        &self,
        recorder: RecorderKind,
        class: PriorityClass,
        counters: fn(&MetricHandles) -> &ByClass,
    ) {
        catch_hook(|| {
            let make = || MetricHandles::new(self.name.as_str());
            self.handles.with_recorder(recorder, make, |handles| {
                counters(handles)[class as usize].increment(1);
            });
        });
    }
}

impl MetricHandles {
    fn new(name: &str) -> Self {
        const CALLS: &str = "tower_keep_priority_calls_total";
        const SHED: &str = "tower_keep_priority_shed_total";
        const PUSHED_BACK: &str = "tower_keep_priority_pushed_back_total";
        metrics::describe_counter!(
            CALLS,
            Unit::Count,
            "Calls that came to a prioritizer, those that were shed included."
        );
        metrics::describe_counter!(
            SHED,
            Unit::Count,
            "Calls that a prioritizer shed, or would have shed in shadow mode."
        );
        metrics::describe_counter!(
            PUSHED_BACK,
            Unit::Count,
            "Calls that a prioritizer admitted, and that found no room further in."
        );
        let by_class = |metric: &'static str| {
            PriorityClass::ALL.map(|class| {
                metrics::counter!(metric, "prioritizer" => name.to_owned(), "class" => class.as_str())
            })
        };
        MetricHandles {
            calls: by_class(CALLS),
            shed: by_class(SHED),
            pushed_back: by_class(PUSHED_BACK),
        }
    }
}
