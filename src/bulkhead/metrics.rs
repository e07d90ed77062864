use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};

use super::{reject_reason::RejectReason, run_result::RunResult};
use crate::{
    call::{Label, catch_hook},
    util::{family::InFlightGauge, per_recorder::PerRecorder, recorder::RecorderKind},
};

const LIMIT: &str = "tower_keep_bulkhead_limit";
const IN_FLIGHT: &str = "tower_keep_bulkhead_in_flight";
const QUEUED: &str = "tower_keep_bulkhead_queued";
const WAIT: &str = "tower_keep_bulkhead_wait_seconds";
const RUN: &str = "tower_keep_bulkhead_run_seconds";
const REJECTIONS: &str = "tower_keep_bulkhead_rejections_total";

/// The metrics of a bulkhead.
#[derive(Debug)]
pub(super) struct BulkheadMetrics {
    name: Label,
    handles: PerRecorder<MetricHandles>,
}

#[derive(Debug)]
struct MetricHandles {
    limit: Gauge,
    in_flight: Gauge,
    queued: Gauge,
    wait: Histogram,
    run: [Histogram; RunResult::ALL.len()],
    rejections: [Counter; RejectReason::ALL.len()],
}

// A recorder may panic: each hook is caught, so that no slot is lost.
impl BulkheadMetrics {
    pub(super) fn new(name: Label) -> Self {
        BulkheadMetrics {
            name,
            handles: PerRecorder::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    /// Counts a call in flight. The first one of a recorder shows it the limit.
    #[inline]
    pub(super) fn enter(&self, limit: u32) -> InFlightGauge {
        self.increment(limit, |handles| &handles.in_flight)
    }

    /// Takes a call that was in flight out of the gauge that it is counted in.
    #[inline]
    pub(super) fn leave(&self, in_flight: InFlightGauge) {
        self.decrement(in_flight, |handles| &handles.in_flight);
    }

    /// Counts a call that waits.
    pub(super) fn enter_queue(&self, limit: u32) -> InFlightGauge {
        self.increment(limit, |handles| &handles.queued)
    }

    /// Takes a call that has waited out of the gauge that it is counted in, and records its wait.
    pub(super) fn leave_queue(&self, queued: InFlightGauge, wait: Duration, limit: u32) {
        self.decrement(queued, |handles| &handles.queued);
        catch_hook(|| {
            self.with_recorder(RecorderKind::current(), limit, |handles| {
                handles.wait.record(wait.as_secs_f64());
            });
        });
    }

    #[inline]
    fn increment(&self, limit: u32, gauge: fn(&MetricHandles) -> &Gauge) -> InFlightGauge {
        let recorder = RecorderKind::current();
        if recorder == RecorderKind::None {
            return InFlightGauge::NotCounted;
        }
        let mut counted = InFlightGauge::NotCounted;
        catch_hook(|| {
            self.with_recorder(recorder, limit, |handles| {
                let gauge = gauge(handles);
                gauge.increment(1.0);
                counted = match recorder {
                    RecorderKind::None => InFlightGauge::NotCounted,
                    RecorderKind::Global => InFlightGauge::Global,
                    RecorderKind::Local => InFlightGauge::Local(Box::new(gauge.clone())),
                };
            });
        });
        counted
    }

    #[inline]
    fn decrement(&self, counted: InFlightGauge, gauge: fn(&MetricHandles) -> &Gauge) {
        match counted {
            InFlightGauge::NotCounted => {}
            InFlightGauge::Global => {
                if let Some(handles) = self.handles.get_global() {
                    catch_hook(|| gauge(handles).decrement(1.0));
                }
            }
            InFlightGauge::Local(gauge) => {
                catch_hook(|| gauge.decrement(1.0));
            }
        }
    }

    #[inline]
    pub(super) fn record_run(&self, result: RunResult, time: Duration, limit: u32) {
        let recorder = RecorderKind::current();
        if recorder != RecorderKind::None {
            catch_hook(|| {
                self.with_recorder(recorder, limit, |handles| {
                    handles.run[result as usize].record(time.as_secs_f64());
                });
            });
        }
    }

    pub(super) fn count_rejection(&self, reason: RejectReason, limit: u32) {
        catch_hook(|| {
            self.with_recorder(RecorderKind::current(), limit, |handles| {
                handles.rejections[reason as usize].increment(1);
            });
        });
    }

    /// Reports the limit, of which a recorder may have another one.
    pub(super) fn report_limit(&self, limit: u32) {
        catch_hook(|| {
            self.with_recorder(RecorderKind::current(), limit, |handles| {
                handles.limit.set(f64::from(limit));
            });
        });
    }

    fn with_recorder(&self, recorder: RecorderKind, limit: u32, f: impl FnOnce(&MetricHandles)) {
        let make = || MetricHandles::new(self.name.as_str(), limit);
        self.handles.with_recorder(recorder, make, f);
    }
}

impl MetricHandles {
    fn new(name: &str, limit: u32) -> Self {
        describe();
        let name = || name.to_owned();
        let limit_gauge = metrics::gauge!(LIMIT, "bulkhead" => name());
        limit_gauge.set(f64::from(limit));
        MetricHandles {
            limit: limit_gauge,
            in_flight: metrics::gauge!(IN_FLIGHT, "bulkhead" => name()),
            queued: metrics::gauge!(QUEUED, "bulkhead" => name()),
            wait: metrics::histogram!(WAIT, "bulkhead" => name()),
            // In the order of the results and of the reasons, which are the indices.
            run: RunResult::ALL.map(|result| {
                metrics::histogram!(RUN, "bulkhead" => name(), "result" => result.as_str())
            }),
            rejections: RejectReason::ALL.map(|reason| {
                metrics::counter!(REJECTIONS, "bulkhead" => name(), "reason" => reason.as_str())
            }),
        }
    }
}

fn describe() {
    metrics::describe_gauge!(
        LIMIT,
        Unit::Count,
        "Calls that a bulkhead allows in flight at once."
    );
    metrics::describe_gauge!(
        IN_FLIGHT,
        Unit::Count,
        "Calls that have a slot of a bulkhead."
    );
    metrics::describe_gauge!(
        QUEUED,
        Unit::Count,
        "Calls that wait for a slot of a bulkhead."
    );
    metrics::describe_histogram!(
        WAIT,
        Unit::Seconds,
        "Calls that waited for a slot of a bulkhead, for how long they waited."
    );
    metrics::describe_histogram!(
        RUN,
        Unit::Seconds,
        "Calls that had a slot of a bulkhead, for how long they had it."
    );
    metrics::describe_counter!(REJECTIONS, Unit::Count, "Calls that a bulkhead rejected.");
}
