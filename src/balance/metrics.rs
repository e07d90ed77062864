use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Unit};

use crate::{
    call::{Label, catch_hook},
    util::{per_recorder::PerRecorder, shared_gauges::SharedGauges},
};

/// The counts of a balancer, for metrics and for the registry. No endpoint is a label.
pub(super) struct BalanceMetrics {
    name: Label,
    ejections: AtomicU64,
    overflows: AtomicU64,
    rejected: AtomicU64,
    lookup_failures: AtomicU64,
    counters: PerRecorder<Counters>,
    gauges: SharedGauges<[Gauge; 2]>,
}

struct Counters {
    ejections: Counter,
    overflows: Counter,
    rejected: Counter,
    lookup_failures: Counter,
}

impl BalanceMetrics {
    pub(super) fn new(name: Label) -> Self {
        BalanceMetrics {
            name,
            ejections: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            lookup_failures: AtomicU64::new(0),
            counters: PerRecorder::new(),
            gauges: SharedGauges::new(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    pub(super) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    pub(super) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(super) fn lookup_failures(&self) -> u64 {
        self.lookup_failures.load(Ordering::Relaxed)
    }

    pub(super) fn count_ejection(&self) {
        self.count(&self.ejections, |counters| &counters.ejections);
    }

    pub(super) fn count_overflow(&self) {
        self.count(&self.overflows, |counters| &counters.overflows);
    }

    pub(super) fn count_rejection(&self) {
        self.count(&self.rejected, |counters| &counters.rejected);
    }

    pub(super) fn count_lookup_failure(&self) {
        self.count(&self.lookup_failures, |counters| &counters.lookup_failures);
    }

    fn count(&self, count: &AtomicU64, counter: fn(&Counters) -> &Counter) {
        // The registry's count first: the recorder may panic.
        count.fetch_add(1, Ordering::Relaxed);
        let make = || Counters::new(&self.name);
        catch_hook(|| {
            self.counters
                .with(make, |counters| counter(counters).increment(1));
        });
    }

    /// Shows the gauges to a recorder that does not have them. `true` if it has not had them until now.
    pub(super) fn register_gauges(&self) -> bool {
        if self.gauges.is_registered() {
            return false;
        }
        catch_hook(|| self.gauges.register(|| gauges(&self.name)));
        true
    }

    /// Reports the number of endpoints, and how many of them are ejected. Called under a lock of its own, for the order.
    pub(super) fn report_endpoints(&self, endpoints: usize, ejected: usize) {
        let in_rotation = endpoints.saturating_sub(ejected);
        catch_hook(|| {
            self.gauges.for_each(|gauges| {
                gauges[0].set(in_rotation as f64);
                gauges[1].set(ejected as f64);
            });
        });
    }
}

impl Counters {
    fn new(name: &Label) -> Self {
        const EJECTIONS: &str = "tower_keep_balance_ejections_total";
        const OVERFLOWS: &str = "tower_keep_balance_overflows_total";
        const REJECTIONS: &str = "tower_keep_balance_rejections_total";
        const LOOKUP_FAILURES: &str = "tower_keep_balance_lookup_failures_total";
        metrics::describe_counter!(
            LOOKUP_FAILURES,
            Unit::Count,
            "Look-ups of the endpoints of a balancer that failed, so that the endpoints stayed."
        );
        metrics::describe_counter!(
            EJECTIONS,
            Unit::Count,
            "Endpoints that a balancer ejected, or would have ejected in shadow mode."
        );
        metrics::describe_counter!(
            OVERFLOWS,
            Unit::Count,
            "Endpoints that a balancer did not eject, since as many were ejected as may be."
        );
        metrics::describe_counter!(
            REJECTIONS,
            Unit::Count,
            "Calls that a balancer rejected, since it had no endpoint."
        );
        let name = || name.to_string();
        Counters {
            ejections: metrics::counter!(EJECTIONS, "balance" => name()),
            overflows: metrics::counter!(OVERFLOWS, "balance" => name()),
            rejected: metrics::counter!(REJECTIONS, "balance" => name()),
            lookup_failures: metrics::counter!(LOOKUP_FAILURES, "balance" => name()),
        }
    }
}

fn gauges(name: &Label) -> [Gauge; 2] {
    const ENDPOINTS: &str = "tower_keep_balance_endpoints";
    metrics::describe_gauge!(
        ENDPOINTS,
        Unit::Count,
        "Endpoints of a balancer, by whether they get calls."
    );
    ["in_rotation", "ejected"]
        .map(|state| metrics::gauge!(ENDPOINTS, "balance" => name.to_string(), "state" => state))
}
