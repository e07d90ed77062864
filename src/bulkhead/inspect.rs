//! The registry's entry of a bulkhead.

use super::shared::BulkheadShared;
use crate::registry::{Inspect, Stats};

impl Inspect for BulkheadShared {
    fn kind(&self) -> &'static str {
        "bulkhead"
    }

    fn name(&self) -> &str {
        BulkheadShared::name(self).as_str()
    }

    fn state(&self) -> &'static str {
        if self.slots.load().is_open() {
            "available"
        } else {
            "full"
        }
    }

    fn stats(&self, stats: &mut Stats) {
        let now = BulkheadShared::stats(self);
        // To a recorder that was installed, or has a bulkhead of the same name, since.
        self.metrics.report_limit(now.limit);
        stats.count("in_flight", now.in_flight);
        stats.count("limit", now.limit);
        stats.count("done", now.done);
        stats.count("failed", now.failed);
        stats.count("inconclusive", now.inconclusive);
        stats.count("rejected", now.rejected);
        stats.seconds("mean_run_seconds", now.mean_run);
        stats.seconds("recent_run_seconds", now.recent_run);
    }
}
